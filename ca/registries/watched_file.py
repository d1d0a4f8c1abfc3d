"""A file that people edit while programs read it: parsed again whenever it changes."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pki.errors import ServiceError

_Content = TypeVar("_Content")


class WatchedFile(Generic[_Content]):
    """What the file at `path` says now. Threads may share it."""

    def __init__(self, path: Path, parse: Callable[[bytes], _Content], limit: int) -> None:
        """Take the file; `parse` gets at most `limit` + 1 octets and refuses too many."""
        self._path, self._parse, self._limit = path, parse, limit
        self._lock = threading.Lock()
        self._mark: tuple[int, int, int] | None = None
        self._content: _Content | None = None

    def current(self) -> _Content | None:
        """Return what the file says; None when it is missing, unreadable or malformed."""
        with self._lock:
            try:
                status = self._path.stat()
                mark = (status.st_mtime_ns, status.st_size, status.st_ino)
                if mark != self._mark:
                    self._mark, self._content = mark, None
                    self._content = self._parse(self._bytes())
            except OSError:
                self._mark, self._content = None, None
            except ServiceError:
                self._content = None
            return self._content

    def _bytes(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(self._limit + 1)
