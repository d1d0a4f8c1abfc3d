"""A custodian's journal for tests: its entries, its clock, its ways to the disk, and what can be read of it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsm.custodian.disk_sync import DiskSync, disk_sync
from hsm.custodian.journal import Journal
from pki.errors import ErrorCode
from pki.journal import DONE, KeyUse, parse_line

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
USE = KeyUse(at=NOW, role="worker", uid=998, key="issuing", act="certificate", count=1, digest=bytes(32), outcome=DONE)
REFUSED = replace(USE, outcome=ErrorCode.HSM_PURPOSE_REFUSED)

WAITING, KERNEL = "waiting", "kernel"
KINDS_OF_SYNC = (WAITING, KERNEL)


class Ticks:
    """A monotonic clock that tests put forward."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class HeldSync(DiskSync):
    """A way to the disk that takes as long as a test likes, and ends as it likes."""

    def __init__(self) -> None:
        """Ask nothing of the kernel."""
        self.under_way = False
        self.begun = 0
        self.takes_on = True
        self.error: OSError | None = None

    descriptor = -1

    def begin(self, file: int) -> bool:
        """Take the file on, or not."""
        assert file >= 0
        assert not self.under_way, "one sync is under way at a time"
        self.begun += 1
        self.under_way = self.takes_on
        return self.takes_on

    def end(self) -> None:
        """End, with an error if there is one."""
        assert self.under_way
        self.under_way = False
        error, self.error = self.error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Have nothing to give back."""


def opened_sync(kind: str) -> DiskSync | None:
    """Return a way to the disk, for the caller to close; skips where the kernel has none."""
    if kind == WAITING:
        return None
    found = disk_sync()
    if found is None:
        pytest.skip("the kernel has no asynchronous fdatasync here")
    return found


@pytest.fixture
def ticks() -> Ticks:
    """A clock that stands."""
    return Ticks()


@pytest.fixture(params=KINDS_OF_SYNC)
def sync(request: pytest.FixtureRequest) -> Iterator[DiskSync | None]:
    """Each way to the disk that a custodian may go."""
    found = opened_sync(request.param)
    yield found
    if found is not None:
        found.close()


@pytest.fixture
def journal(tmp_path: Path, ticks: Ticks, sync: DiskSync | None) -> Iterator[Journal]:
    """A new journal, by each way to the disk."""
    with closing(Journal(tmp_path / "journal", ticks, sync=sync)) as opened:
        yield opened


def reopened(folder: Path, sync: DiskSync | None = None) -> Journal:
    """Go on with a journal, as the next start does."""
    return Journal(folder, Ticks(), sync=sync)


def all_lines(journal: Journal, after: int = 0, limit: int = 7) -> list[bytes]:
    """Read every durable line behind an entry."""
    lines: list[bytes] = []
    while found := journal.read(after, limit):
        lines += found
        after = parse_line(found[-1]).sequence
    return lines


def write(journal: Journal, entries: int, /, **changes: object) -> None:
    """Append so many entries alike, and make them durable."""
    for _ in range(entries):
        journal.append(replace(USE, **changes))  # type: ignore[arg-type]
    journal.commit()


def newest(folder: Path) -> Path:
    """Return the file that is appended to."""
    return max(folder.glob("*.journal"))
