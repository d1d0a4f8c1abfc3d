"""A bound on what waits: beyond it a request is refused at once, and its sender told when to come again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pki.errors import ErrorCode, Unavailable


class Places:
    """So many requests of a kind at once in this process; safe to share between threads."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._waiting = 0  # roughly, in a race; then one comes before another

    def take(self) -> bool:
        """Take a place; tell whether there was one, for which nobody waits."""
        return not self._waiting and self._free.acquire(blocking=False)

    def take_within(self, seconds: float) -> bool:
        """Take a place, waiting for it at most so long; tell whether there was one."""
        self._waiting += 1
        try:
            return self._free.acquire(timeout=seconds)
        finally:
            self._waiting -= 1

    def give_back(self) -> None:
        """Give back one that was taken."""
        self._free.release()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one place for the block; Unavailable (`overloaded`) when none is free."""
        if not self.take():
            raise Unavailable(ErrorCode.OVERLOADED, "too many orders wait already")
        try:
            yield
        finally:
            self.give_back()
