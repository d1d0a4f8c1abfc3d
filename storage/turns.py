"""Taking turns at writing one SQLite file: threads of a process by a lock, processes by a lock on a file beside it.

SQLite alone polls for its write lock, asleep for up to 100 ms at a time while the lock is free and others take it.
Whoever waits here is woken in its turn. The kernel takes the lock from a process that dies. SQLite's own lock still
keeps the file whole, also from programs that do not wait here.
"""

import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from pki.errors import ErrorCode, Unavailable


class WriteTurns:
    """The turns at one database file; threads may share it."""

    def __init__(self, database_file: Path, patience: timedelta) -> None:
        """Wait at most `patience` for a turn."""
        self._database_file, self._patience = database_file, patience.total_seconds()
        self._file = database_file.with_name(f"{database_file.name}-turn")
        self._threads = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the one writer for the block; Unavailable when nobody lets us within our patience."""
        end = time.monotonic() + self._patience
        if not self._threads.acquire(timeout=self._patience):
            raise _held()
        try:
            with self._turn_of_processes(end):
                yield
        finally:
            self._threads.release()

    @contextmanager
    def _turn_of_processes(self, end: float) -> Iterator[None]:
        descriptor = self._open()
        if descriptor is None:
            yield
            return
        _lock(descriptor, end)
        try:
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int | None:
        """Open our file, made like the database's own; None where we may not."""
        with suppress(OSError):
            try:
                return os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return self._make()
        return None

    def _make(self) -> int:
        """Make a file that whoever can open the database can open."""
        like = self._database_file.stat()
        descriptor = os.open(self._file, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with suppress(PermissionError):  # another process was faster, and it is that one's
            if os.geteuid() == 0:
                os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        return descriptor


def _held() -> Unavailable:
    return Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "another writer holds the database")


def _lock(descriptor: int, end: float) -> None:
    """Lock an open file; where that fails by `end` it is closed, at once or soon, and Unavailable raised."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _Waiter(descriptor).wait(end)


class _Waiter:
    """Waits in a thread of its own: flock(2) knows no deadline. One that is given up lets go once it has the lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._settling = threading.Lock()
        self._locked = threading.Event()
        self._given_up = False

    def wait(self, end: float) -> None:
        """Wait until the lock is ours; Unavailable when it was not by `end`."""
        threading.Thread(target=self._take, daemon=True).start()
        if self._locked.wait(max(0.0, end - time.monotonic())):
            return
        with self._settling:
            if self._locked.is_set():
                return
            self._given_up = True
        raise _held()

    def _take(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._settling:
            if self._given_up:
                os.close(self._descriptor)
            else:
                self._locked.set()
