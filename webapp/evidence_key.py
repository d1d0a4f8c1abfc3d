"""The key that scans are sealed by: a file of its own under HOME, made when the first scan comes."""

import contextlib
import os
import secrets
import threading
from pathlib import Path

from ca.evidence.sealing import KEY_OCTETS
from pki.errors import ErrorCode, Unavailable
from webapp.atomic_files import create_file, make_folder


class EvidenceKey:
    """The key in a file; threads and processes may share it. Without the file's copy no scan is opened again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: bytes | None = None

    def __call__(self) -> bytes:
        """Return the key, made now where there is none; Unavailable (`file-unreadable`, `file-unwritable`)."""
        if self._key is None:
            key = self._read()
            if key is None:
                key = self._make()
            if len(key) != KEY_OCTETS:
                raise Unavailable(ErrorCode.FILE_UNREADABLE, f"{self._path.name} holds no key")
            self._key = key
        return self._key

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(KEY_OCTETS + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNREADABLE, self._path.name) from error

    def _make(self) -> bytes:
        """Put a whole key in place at once; where another program was first, its key is the one."""
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            make_folder(self._path.parent)
            part.unlink(missing_ok=True)
            try:
                with os.fdopen(create_file(part, 0o600), "wb") as file:
                    file.write(secrets.token_bytes(KEY_OCTETS))
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    self._path.hardlink_to(part)
            finally:
                part.unlink(missing_ok=True)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # before any scan is sealed by it
            finally:
                os.close(folder)
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, self._path.name) from error
        return self._read() or b""
