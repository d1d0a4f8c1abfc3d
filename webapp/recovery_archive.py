"""A backup of the database and of what its deployment needs beside keys: one file, checked as a whole.

A tar archive (POSIX.1-2001): `manifest.json` first, then the database and files under HOME. Each member's SHA-256 and
size are in the manifest. Keys, PINs, tokens and secrets are not in it: `mohr hsm backup` keeps those, under shares. It
names people: owner only, and encrypted to a recipient (C2SP age) unless somebody said otherwise.
"""

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

from hsm.age.header import VERSION_LINE, Header, read_header
from hsm.age.stream import SealedReader, SealedWriter
from pki.errors import Conflict, ErrorCode, InvalidInput, Unavailable, VerificationFailed
from pki.jose import canonical_json, json_object

MANIFEST: Final = "manifest.json"
DATABASE: Final = "database"
HOME: Final = "home"
VERSION: Final = 1
MAX_MANIFEST: Final = 16 * 1024 * 1024

_CHUNK: Final = 1024 * 1024
_MEMBERS: Final = frozenset(
    {
        *("version", "created", "kind", "revision", "rows", "files", "origin"),
        *("ledger_size", "ledger_root", "checkpoint", "feed_position"),
    }
)
_SHAPES: Final = {"files": dict, "rows": dict, "created": str, "kind": str, "revision": str, "ledger_size": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file of the archive."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How one archive is encrypted: its header, written before anything else, and the key that is wrapped in it."""

    header: bytes
    file_key: bytes = field(repr=False)
    random_octets: Callable[[int], bytes]


Unlock = Callable[[Header], bytes]
"""Finds the key of a file by its header."""


def digest_file(path: Path) -> Member:
    """Return the digest and size of a file."""
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            size += len(data)
    return Member(sha256=digest.hexdigest(), size=size)


def write_archive(path: Path, manifest: Mapping[str, Any], files: Mapping[str, Path], sealing: Sealing | None) -> str:
    """Write a new owner-only file, whole or not at all; return its SHA-256 in hexadecimal.

    Conflict where something is there, Unavailable (`file-unwritable`).
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # left by one that was killed
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with (
                    _sealed(file, sealing) as body,
                    tarfile.open(fileobj=body, mode="w|", format=tarfile.PAX_FORMAT) as archive,
                ):
                    _add_manifest(archive, canonical_json(dict(manifest)))
                    for name, source in files.items():
                        _add(archive, name, source)
                file.flush()
                os.fsync(file.fileno())
            digest = digest_file(fresh).sha256
            os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    except FileExistsError as error:
        raise Conflict(ErrorCode.CONFLICT, f"{path.name} is there already") from error
    except OSError as error:
        raise Unavailable(ErrorCode.FILE_UNWRITABLE, f"{path.name}: {error.strerror}") from error
    return digest


@contextmanager
def _sealed(file: IO[bytes], sealing: Sealing | None) -> Iterator[IO[bytes]]:
    if sealing is None:
        yield file
        return
    file.write(sealing.header)
    body = SealedWriter(file, sealing.file_key, sealing.random_octets)
    yield cast("IO[bytes]", body)
    body.finish()


def _add_manifest(archive: tarfile.TarFile, data: bytes) -> None:
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode = len(data), 0o600
    archive.addfile(info, io.BytesIO(data))


def _add(archive: tarfile.TarFile, name: str, source: Path) -> None:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    with source.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        archive.addfile(info, file)


@contextmanager
def opened_archive(path: Path, unlock: Unlock) -> Iterator[tuple[dict[str, Any], Iterator[tuple[str, IO[bytes]]]]]:
    """Open a backup for the block: its manifest, and its members, each to be read at once; `unlock` an encrypted one.

    Every member is compared with the manifest as it is read to its end; VerificationFailed where one differs or is
    missing, or the file was changed, InvalidInput for what is no backup, Unavailable (`file-unreadable`) where the disk
    does not give it.
    """
    with ExitStack() as held:
        try:
            file = held.enter_context(path.open("rb"))
            body = _opened(file, unlock)
            archive = held.enter_context(tarfile.open(fileobj=body, mode="r|"))
            manifest = _read_manifest(archive)
        except tarfile.TarError as error:
            raise InvalidInput(ErrorCode.FILE_UNREADABLE, f"{path.name} is not a backup") from error
        except OSError as error:
            raise _unread(path.name, error) from error
        yield manifest, _members(body, archive, manifest)


def _opened(file: IO[bytes], unlock: Unlock) -> IO[bytes]:
    is_sealed = file.read(len(VERSION_LINE)) == VERSION_LINE
    file.seek(0)
    if not is_sealed:
        return file
    header = read_header(file)
    file_key = unlock(header)
    header.check(file_key)
    return cast("IO[bytes]", SealedReader(file, file_key))


def _read_manifest(archive: tarfile.TarFile) -> dict[str, Any]:
    first = archive.next()
    source = None if first is None or first.name != MANIFEST else archive.extractfile(first)
    data = b"" if source is None else source.read(MAX_MANIFEST)
    manifest: dict[str, Any] = json_object(data) if data else {}
    if manifest.keys() != _MEMBERS or manifest["version"] != VERSION:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not a backup of a version known here")
    if not all(isinstance(manifest[name], kind) for name, kind in _SHAPES.items()):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the manifest is not of the form of its version")
    for name, told in manifest["files"].items():
        check_name(name)
        if not isinstance(told, dict) or told.keys() != {"sha256", "size"}:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the manifest is not of the form of its version")
    return manifest


def check_name(name: str) -> None:
    """Refuse a name that is not a plain path below one of the archive's folders; InvalidInput."""
    parts = PurePosixPath(name).parts
    plain = all(part not in ("", ".", "..") and "\0" not in part for part in parts)
    if len(parts) < 2 or parts[0] not in (DATABASE, HOME) or not plain or "/".join(parts) != name:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a backup holds no file of the name {name!r:.80}")


def _members(body: IO[bytes], archive: tarfile.TarFile, manifest: dict[str, Any]) -> Iterator[tuple[str, IO[bytes]]]:
    expected = dict(manifest["files"])
    try:
        while (info := archive.next()) is not None:
            told = expected.pop(info.name, None)
            source = archive.extractfile(info) if info.isfile() else None
            if told is None or source is None or info.size != told["size"]:
                raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the backup holds what it does not name")
            checked = _Checked(source)
            yield info.name, checked  # type: ignore[misc]
            checked.finish(info.name, told["sha256"])
        while body.read(_CHUNK):  # to the end, which an encrypted file proves
            continue
    except tarfile.TarError as error:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the backup is damaged") from error
    except OSError as error:
        raise _unread("the backup", error) from error
    if expected:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"the backup lacks {min(expected)}")


def _unread(name: str, error: OSError) -> Unavailable:
    return Unavailable(ErrorCode.FILE_UNREADABLE, f"{name}: {error.strerror or error}")


class _Checked:
    """A member whose octets are summed up as they are read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._digest = source, sha256()

    def read(self, size: int = _CHUNK) -> bytes:
        try:
            data = self._source.read(size)
        except tarfile.TarError as error:
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the backup is damaged, or is cut short") from error
        except OSError as error:
            raise _unread("the backup", error) from error
        self._digest.update(data)
        return data

    def finish(self, name: str, expected: str) -> None:
        while self.read():
            continue
        if self._digest.hexdigest() != expected:
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"{name} was changed")
