"""A bound on what waits: beyond it a request is refused at once, and its sender told when to come again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pki.errors import ErrorCode, Unavailable


class Places:
    """So many requests of a kind at once in this process; safe to share between threads."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one place for the block; Unavailable (`overloaded`) when none is free."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(ErrorCode.OVERLOADED, "too many orders wait already")
        try:
            yield
        finally:
            self._free.release()
