"""Custodians' journals in memory, and someone who reaches them: honest until a test tampers with the lines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from hsm.client import JournalPart
from hsm.errors import HsmUnavailable
from pki.journal import DONE, START, KeyUse, journal_line, line_hash

BEGIN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def key_use(
    number: int, key: str = "ca-persons", act: str = "certificate", count: int = 1, outcome: str = DONE
) -> KeyUse:
    """Return the n-th use of a story."""
    return KeyUse(
        at=BEGIN + timedelta(milliseconds=number),
        role="server",
        uid=1000,
        key=key,
        act=act,
        count=count,
        digest=sha256(str(number).encode()).digest(),
        outcome=outcome,
    )


class MemoryJournal:
    """One custodian's journal: what it still holds, by sequence, and where it stands."""

    def __init__(self, sequence: int = 0, previous: bytes = START, *, keeps_all: bool = False) -> None:
        self.sequence, self.hash = sequence, previous
        self.entries: dict[int, bytes] = {}
        self.released = 0
        self._keeps_all = keeps_all

    @property
    def lines(self) -> list[bytes]:
        """What it still holds, in order."""
        return list(self.entries.values())

    def write(self, *uses: KeyUse) -> None:
        """Add entries."""
        for use in uses:
            line = journal_line(self.sequence + 1, self.hash, use)
            self.sequence, self.hash = self.sequence + 1, line_hash(line)
            self.entries[self.sequence] = line

    def write_many(self, count: int, key: str = "ca-persons") -> None:
        """Add entries that differ."""
        self.write(*(key_use(self.sequence + number, key) for number in range(count)))

    def read(self, after: int, limit: int) -> JournalPart:
        """Answer as a custodian does."""
        lines = [line for sequence, line in self.entries.items() if sequence > after]
        return JournalPart(tuple(lines[:limit]), self.sequence, self.hash)

    def release(self, through: int) -> None:
        """Forget what was released, unless it is a custodian that keeps more than it must."""
        self.released = max(self.released, through)
        if not self._keeps_all:
            self.entries = {sequence: line for sequence, line in self.entries.items() if sequence > through}


class MemoryCustodians:
    """Reaches journals in memory; `away` names those that do not answer, `before_release` is called in between."""

    def __init__(self, count: int = 1) -> None:
        self.journals = [MemoryJournal() for _ in range(count)]
        self.away: set[int] = set()
        self.pages: list[tuple[int, int, int]] = []
        self.before_release: Callable[[], None] = lambda: None

    @property
    def custodians(self) -> int:
        """How many there are."""
        return len(self.journals)

    def journal(self, index: int, after: int, limit: int) -> JournalPart:
        """Read a page."""
        self._reach(index)
        self.pages.append((index, after, limit))
        return self.journals[index].read(after, limit)

    def release_journal(self, index: int, through: int) -> None:
        """Release a journal."""
        self._reach(index)
        self.before_release()
        self.journals[index].release(through)

    def _reach(self, index: int) -> None:
        if index in self.away:
            raise HsmUnavailable("away")
