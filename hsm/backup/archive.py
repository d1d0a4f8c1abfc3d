"""A token's backup for a second site: one file, encrypted under a key that people hold in shares.

`magic || length (4 octets) || header || nonce (12) || AES-256-GCM ciphertext`; everything before the ciphertext is
authenticated with it. The header is JSON and public: what the backup is of, when it was made, the share set of its key
and a keyed digest of each file. Inside is what the device itself wrote: a private key that its token does not give out
is as little given out by its copy. Octets in, octets out; `hsm.backup.files` reads and writes them.
"""

import hmac
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsm.sharing.share_set import ShareSet
from hsm.sharing.shares import Share, split_secret
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.instants import format_instant, parse_instant
from pki.jose import canonical_json, json_object

MAX_FILES: Final = 32_768
MAX_BACKUP_OCTETS: Final = 64 * 1024 * 1024
MAX_NAME_OCTETS: Final = 200

_MAGIC: Final = b"MOHRBKP\x01"
_VERSION: Final = 1
_MAX_HEADER_OCTETS: Final = 8 * 1024 * 1024
_LENGTH: Final = struct.Struct("!I")
_ENTRY: Final = struct.Struct("!HI")
_KEY_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}")
_MEMBERS: Final = {"version": int, "created": str, "token": str, "home": str, "share_set": dict, "files": dict}


def _refuse(reason: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupHeader:
    """What is public of a backup. `home` is the folder that its files' names start from at the first site.

    `digests` are HMAC-SHA256 values under the backup's key: without it they tell nothing, not even of a short PIN.
    """

    created: datetime
    token_label: str
    home: str
    share_set: ShareSet
    digests: Mapping[str, str]

    def to_json(self) -> bytes:
        """Write the header."""
        return canonical_json(
            {
                "version": _VERSION,
                "created": format_instant(self.created),
                "token": self.token_label,
                "home": self.home,
                "share_set": self.share_set.members(),
                "files": dict(self.digests),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBackup:
    """A backup and the shares of its key, which the caller hands out and wipes."""

    archive: bytes
    header: BackupHeader
    shares: tuple[Share, ...]


def check_names(names: Sequence[str]) -> None:
    """Refuse names that are not plain relative paths, or of which one would be a folder of another; InvalidInput."""
    if not 1 <= len(names) <= MAX_FILES:
        raise _refuse(f"a backup holds 1 to {MAX_FILES} files")
    known = set(names)
    for name in names:
        if len(name) > MAX_NAME_OCTETS or not _NAME.fullmatch(name):
            raise _refuse(f"a backup holds no file of the name {name!r:.80}")
        folders = name.split("/")[:-1]
        if any("/".join(folders[:depth]) in known for depth in range(1, len(folders) + 1)):
            raise _refuse(f"{name} cannot lie in a file")


def seal_backup(
    files: Mapping[str, bytes],
    *,
    token_label: str,
    home: str,
    created: datetime,
    threshold: int,
    custodians: Sequence[str],
    random_octets: Callable[[int], bytes],
) -> SealedBackup:
    """Encrypt `files` (by relative path) under a new key and divide it among `custodians`; InvalidInput."""
    check_names(tuple(files))
    key = bytearray(random_octets(_KEY_OCTETS))
    try:
        share_set, shares = split_secret(
            key,
            threshold=threshold,
            custodians=custodians,
            about=f"backup of token {token_label}, {format_instant(created)}",
            created=created,
            random_octets=random_octets,
        )
        header = BackupHeader(
            created=created,
            token_label=token_label,
            home=home,
            share_set=share_set,
            digests={name: _digest(key, name, data) for name, data in sorted(files.items())},
        )
        written = header.to_json()
        start = _MAGIC + _LENGTH.pack(len(written)) + written + random_octets(_NONCE_OCTETS)
        body = b"".join(_entry(name, data) for name, data in sorted(files.items()))
        archive = start + _cipher(key).encrypt(start[-_NONCE_OCTETS:], body, start)
    finally:
        key[:] = bytes(len(key))
    if len(archive) > MAX_BACKUP_OCTETS or len(written) > _MAX_HEADER_OCTETS:
        raise _refuse(f"more than {MAX_BACKUP_OCTETS} octets in one backup")
    return SealedBackup(archive=archive, header=header, shares=shares)


def read_header(archive: bytes) -> BackupHeader:
    """Read what a backup says of itself, before its key has proved it; InvalidInput."""
    return _header(_start(archive))


def open_backup(archive: bytes, key: bytearray) -> dict[str, bytes]:
    """Return the files of a backup, all checked; VerificationFailed when key or any octet is another one.

    The caller wipes `key`.
    """
    start = _start(archive)
    header = _header(start)
    try:
        body = _cipher(key).decrypt(start[-_NONCE_OCTETS:], archive[len(start) :], start)
    except (InvalidTag, ValueError) as error:
        raise VerificationFailed(
            ErrorCode.VERIFICATION_FAILED, "the backup was changed, or this is not its key"
        ) from error
    files = _files(body)
    if header.digests != {name: _digest(key, name, data) for name, data in files.items()}:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the backup does not hold the files it names")
    return files


def _cipher(key: bytearray) -> AESGCM:
    return AESGCM(hmac.digest(key, b"mohr backup encryption v1", "sha256"))


def _digest(key: bytearray, name: str, data: bytes) -> str:
    own = hmac.digest(key, b"mohr backup digests v1", "sha256")
    return hmac.digest(own, name.encode() + b"\0" + data, "sha256").hex()


def _start(archive: bytes) -> bytes:
    """Return everything before the ciphertext."""
    fixed = len(_MAGIC) + _LENGTH.size
    if len(archive) > MAX_BACKUP_OCTETS or not archive.startswith(_MAGIC) or len(archive) < fixed:
        raise _refuse("not a backup of a version known here")
    (length,) = _LENGTH.unpack_from(archive, len(_MAGIC))
    if length > _MAX_HEADER_OCTETS or len(archive) < fixed + length + _NONCE_OCTETS:
        raise _refuse("the backup is cut short")
    return archive[: fixed + length + _NONCE_OCTETS]


def _header(start: bytes) -> BackupHeader:
    members: dict[str, Any] = json_object(start[len(_MAGIC) + _LENGTH.size : -_NONCE_OCTETS])
    if members.keys() != _MEMBERS.keys() or any(type(members[name]) is not kind for name, kind in _MEMBERS.items()):
        raise _refuse("a backup's header has other members")
    if members["version"] != _VERSION:
        raise _refuse("a backup of a version not known here")
    check_names(tuple(members["files"]))
    if not all(isinstance(digest, str) for digest in members["files"].values()):
        raise _refuse("digests are text")
    return BackupHeader(
        created=parse_instant(members["created"]),
        token_label=members["token"],
        home=members["home"],
        share_set=ShareSet.from_members(members["share_set"]),
        digests=members["files"],
    )


def _entry(name: str, data: bytes) -> bytes:
    return _ENTRY.pack(len(name), len(data)) + name.encode() + data


def _files(body: bytes) -> dict[str, bytes]:
    """Read the entries; InvalidInput when they do not fill `body` or a name comes twice."""
    files: dict[str, bytes] = {}
    offset = 0
    while offset < len(body):
        if offset + _ENTRY.size > len(body):
            raise _refuse("an entry is cut short")
        name_size, size = _ENTRY.unpack_from(body, offset)
        data_start = offset + _ENTRY.size + name_size
        offset = data_start + size
        if offset > len(body):
            raise _refuse("an entry is cut short")
        name = body[data_start - name_size : data_start].decode("ascii", "replace")
        if name in files:
            raise _refuse("a name comes twice")
        files[name] = body[data_start:offset]
    check_names(tuple(files))
    return files
