"""What goes into a backup and comes out of it, as files: read as of one moment, written whole or not at all."""

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hsm.backup.archive import MAX_BACKUP_OCTETS
from hsm.errors import ConfigurationInvalid, HsmUnavailable
from hsm.private_files import sync_folder
from pki.errors import Conflict, ErrorCode, InvalidInput

LOCK_SECONDS: Final = 10.0
STEADY_TRIES: Final = 50

_POLL_SECONDS: Final = 0.02
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LOCK_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlan:
    """What is backed up: `files` in this order, then `folders` whole, all under `home`.

    While they are read, `locks` (files, or folders that are there) are held as their writers hold them, after each of
    `prepare` was called under them. What refers to other things comes first, so that whatever it names is there.
    """

    home: Path
    files: Sequence[Path]
    folders: Sequence[Path]
    locks: Sequence[Path] = field(default_factory=tuple)
    prepare: Sequence[Callable[[], None]] = field(default_factory=tuple)


def read_plan(plan: BackupPlan) -> dict[str, bytes]:
    """Read everything as it was at one moment, by its path under the home.

    ConfigurationInvalid for what is missing, is no plain file or lies elsewhere; HsmUnavailable when a lock is held for
    ten seconds or the files do not come to rest.
    """
    for _ in range(STEADY_TRIES):
        with contextlib.ExitStack() as held:
            for lock in plan.locks:
                held.enter_context(_locked(lock))
            for prepared in plan.prepare:
                prepared()
            before = _listed(plan)
            found = {_name(plan.home, path): _read(path) for path in before}
            if None not in found.values() and _listed(plan) == before:
                return {name: data for name, data in found.items() if data is not None}
        time.sleep(_POLL_SECONDS)
    raise HsmUnavailable("the token's files do not come to rest")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        descriptor = _opened_lock(path)
    except OSError as error:
        raise HsmUnavailable(f"{path.name} cannot be locked: {error.strerror}") from error
    try:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise HsmUnavailable(f"{path.name} is held by another process") from error
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _opened_lock(path: Path) -> int:
    """Open a lock's file; one that root makes here must belong to those who will want the lock after it."""
    try:
        return os.open(path, _READ_FLAGS if path.is_dir() else _LOCK_FLAGS)
    except FileNotFoundError:
        owner = path.parent.stat()
        descriptor = os.open(path, _LOCK_FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor


def _listed(plan: BackupPlan) -> dict[Path, tuple[int, int, int]]:
    """Return every file with what tells that it changed: inode, time and size."""
    paths = list(plan.files)
    for folder in plan.folders:
        if folder.is_symlink() or not folder.is_dir():
            raise ConfigurationInvalid(f"{folder.name} is not a folder")
        paths += sorted(
            path
            for path in folder.rglob("*")
            if not path.name.startswith(".")  # what is being written, or was when its writer was killed
            and (path.is_symlink() or not path.is_dir())
        )
    listed = {}
    for path in paths:
        try:
            status = path.lstat()
        except FileNotFoundError as error:
            if path in plan.files:
                raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error
            continue
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationInvalid(f"{path.name} is not a regular file")
        listed[path] = (status.st_ino, status.st_mtime_ns, status.st_size)
    if sum(size for _, _, size in listed.values()) > MAX_BACKUP_OCTETS:
        raise ConfigurationInvalid(f"more than {MAX_BACKUP_OCTETS} octets to back up")
    return listed


def _name(home: Path, path: Path) -> str:
    try:
        return path.relative_to(home).as_posix()
    except ValueError as error:
        raise ConfigurationInvalid(f"{path.name} does not lie under {home.name}") from error


def _read(path: Path) -> bytes | None:
    """Return the content; None for a file that went away."""
    try:
        with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
            return file.read(MAX_BACKUP_OCTETS + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error


def read_backup(path: Path) -> bytes:
    """Read a backup's file; InvalidInput (`file-unreadable`, `input-too-large`)."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BACKUP_OCTETS + 1)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, f"{path.name}: {error.strerror}") from error
    if len(data) > MAX_BACKUP_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"{path.name} is larger than any backup")
    return data


def write_backup(path: Path, archive: bytes) -> None:
    """Write a new owner-only file, whole or not at all; Conflict where something is, HsmUnavailable otherwise."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # left by one that was killed
        _write(fresh, archive)
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()
        sync_folder(path.parent)
    except FileExistsError as error:
        raise Conflict(ErrorCode.CONFLICT, f"{path.name} is there already") from error
    except OSError as error:
        raise HsmUnavailable(f"{path.name} cannot be written: {error.strerror}") from error


def check_absent(folder: Path) -> None:
    """Refuse a folder that holds anything, before people are asked for their shares; Conflict."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise Conflict(ErrorCode.CONFLICT, f"{folder.name} is there already")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a new owner-only folder with `files` (checked names), whole or not at all.

    They are written beside it and get its name at once. Conflict where the folder holds anything, HsmUnavailable when
    it cannot be written.
    """
    check_absent(folder)
    fresh = folder.with_name(f".{folder.name}.new")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if fresh.is_dir() and not fresh.is_symlink():
            shutil.rmtree(fresh)  # left by one that was killed
        fresh.mkdir(mode=0o700)
        for name, data in files.items():
            path = fresh / name
            for parent in reversed(path.relative_to(fresh).parents):
                (fresh / parent).mkdir(mode=0o700, exist_ok=True)
            _write(path, data)
        for made in (*(path for path in fresh.rglob("*") if path.is_dir()), fresh):
            sync_folder(made)
        fresh.rename(folder)  # over an empty folder or nothing, else it fails
        sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise HsmUnavailable(f"{folder.name} cannot be written: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, _WRITE_FLAGS, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
