"""Files that are replaced whole or not at all; what root makes in a service's folder is the service's."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from pki.errors import ErrorCode, Unavailable

PUBLIC_FOLDER: Final = 0o755


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` so that a crash leaves the old file or the new one, on disk.

    Folders that are missing are made. What root makes in another user's folder is that user's. Unavailable
    (`file-unwritable`) when the disk is full or refuses.
    """
    _replace(path, data, mode, for_anybody=False)


def publish_file(path: Path, data: bytes) -> None:
    """Replace a file that any web server may serve, as `write_atomically`: 0644 below 0755, whatever the umask is."""
    _replace(path, data, 0o644, for_anybody=True)


def _replace(path: Path, data: bytes, mode: int, *, for_anybody: bool) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        make_folder(path.parent, PUBLIC_FOLDER if for_anybody else None)
        part.unlink(missing_ok=True)
        with os.fdopen(create_file(part, mode), "wb") as file:
            if for_anybody:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # it may never have been there; the first error is the one to tell
            part.unlink()
        raise Unavailable(ErrorCode.FILE_UNWRITABLE, path.name) from error


def create_file(path: Path, mode: int) -> int:
    """Make a file that is not there yet, and open it for writing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    owner = _service_of(path.parent)
    if owner is not None:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fchmod(descriptor, mode)
    return descriptor


def make_folder(folder: Path, mode: int | None = None) -> None:
    """Make a folder and those above it, of this mode where one is given, else as the umask has it.

    One that root makes in a service's folder is like that folder.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, mode)
    folder.mkdir(exist_ok=True)
    if mode is not None:
        folder.chmod(mode)
    owner = _service_of(folder.parent)
    if owner is not None:
        os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)
        folder.chmod(stat.S_IMODE(owner.st_mode))


def _service_of(folder: Path) -> os.stat_result | None:
    """Say, to root alone, whose folder this is if it is not root's: a service that must be able to write there."""
    if os.geteuid() != 0:
        return None
    status = folder.stat()
    return None if status.st_uid == 0 else status


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
