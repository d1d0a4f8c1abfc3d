"""The journal made durable beside the loop: while one group of entries is on its way to the disk, the next gathers."""

import os
import threading
from queue import SimpleQueue

from hsm.custodian.journal import Commit, Journal
from hsm.errors import HsmUnavailable


class Committer:
    """Have one thread do nothing but write the journal and wait for the disk.

    The loop's thread owns the journal and everything here; the other one only calls `Journal.write`.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._orders: SimpleQueue[Commit | None] = SimpleQueue()
        self._under_way: Commit | None = None
        self._failure: HsmUnavailable | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Return what can be read once the commit under way has ended."""
        return self._wake

    @property
    def busy(self) -> bool:
        """True while a commit is under way."""
        return self._under_way is not None

    def begin(self) -> bool:
        """Begin a commit of everything appended so far; False when there is nothing, or one is under way."""
        if self._under_way is not None:
            return False
        self._under_way = self._journal.begin_commit()
        if self._under_way is None:
            return False
        self._orders.put(self._under_way)
        return True

    def end(self) -> HsmUnavailable | None:
        """Take the end of the commit under way; return why it failed, if it did."""
        os.eventfd_read(self._wake)
        commit, self._under_way = self._under_way, None
        if commit is not None:
            self._journal.end_commit(commit, durable=self._failure is None)
        return self._failure

    def close(self) -> None:
        """Wait for the commit under way, whose answers nobody awaits any more, and end the thread."""
        self._orders.put(None)
        self._thread.join()
        if self._under_way is not None:
            self.end()
        os.close(self._wake)

    def _write_all(self) -> None:
        while (commit := self._orders.get()) is not None:
            try:
                self._journal.write(commit)
            except HsmUnavailable as error:
                self._failure = error
            else:
                self._failure = None
            os.eventfd_write(self._wake, 1)
