"""Entries, commits, restarts and faults in any order."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hsm.custodian.disk_sync import DiskSync
from hsm.custodian.journal import Journal
from hsm.errors import HsmUnavailable
from pki.journal import check_continues
from tests.hsm.journal_bench import KINDS_OF_SYNC, USE, HeldSync, Ticks, all_lines, newest, opened_sync

HELD = "held"


class JournalMachine(RuleBasedStateMachine):
    """Entries, commits and their ends, restarts (sound, torn) and releases in any order, against a list in memory."""

    folder: Path
    make_sync: Callable[[], DiskSync | None]

    def __init__(self) -> None:
        super().__init__()
        for path in self.folder.glob("*.journal"):
            path.unlink()
        self.sync = self.make_sync()
        self.journal = self.opened()
        self.durable: list[bytes] = []
        self.uncommitted = 0
        self.under_way: int | None = None
        self.signed = 0
        self.released = 0

    def opened(self) -> Journal:
        return Journal(self.folder, Ticks(), sync=self.sync, segment_octets=1500)

    def take_durable(self, count: int) -> None:
        """Read what a commit made durable, which must continue what was before."""
        before = self.position
        new: list[bytes] = []
        while found := self.journal.read(before[0] + len(new), 3):
            new += found
        assert check_continues(new, *before) == self.journal.head
        self.durable += new
        self.signed += count

    @property
    def position(self) -> tuple[int, bytes]:
        return check_continues(self.durable, 0, bytes(32))

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        self.journal.append(replace(USE, count=count))
        self.uncommitted += count

    @precondition(lambda self: self.under_way is None)
    @rule()
    def commit(self) -> None:
        self.journal.commit()
        self.take_durable(self.uncommitted)
        self.uncommitted = 0

    @precondition(lambda self: self.under_way is None)
    @rule(taken_on=st.booleans())
    def begin_commit(self, *, taken_on: bool) -> None:
        if isinstance(self.sync, HeldSync):
            self.sync.takes_on = taken_on
        begun = self.journal.begin_commit()
        if isinstance(self.sync, HeldSync):
            assert begun == (taken_on and self.uncommitted > 0)
            self.sync.takes_on = True
        else:
            assert begun == (self.sync is not None and self.uncommitted > 0)
        if begun:
            self.under_way = self.uncommitted
        else:
            self.take_durable(self.uncommitted)
        self.uncommitted = 0

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def end_commit(self) -> None:
        self.journal.end_commit()
        self.take_durable(self.under_way or 0)
        self.under_way = None

    @precondition(lambda self: self.under_way is not None and isinstance(self.sync, HeldSync))
    @rule()
    def end_commit_with_an_error(self) -> None:
        assert isinstance(self.sync, HeldSync)
        self.sync.error = OSError(errno.EIO, "Input/output error")
        with pytest.raises(HsmUnavailable):
            self.journal.end_commit()
        self.under_way, self.uncommitted = None, 0

    @rule(torn=st.booleans())
    def restart(self, *, torn: bool) -> None:
        self.journal.close()
        if torn:
            with newest(self.folder).open("ab") as file:
                file.write(b'{"act":"certificate","at":"2026-')
        self.journal = self.opened()
        self.take_durable(self.under_way or 0)
        self.uncommitted, self.under_way = 0, None

    @precondition(lambda self: self.durable)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.released = max(self.released, data.draw(st.integers(0, len(self.durable))))
        self.journal.release(self.released)

    @invariant()
    def everything_durable_that_was_not_taken_is_there(self) -> None:
        assert self.journal.incident == ""
        assert self.journal.head == self.position
        assert all_lines(self.journal, self.released) == self.durable[self.released :]
        counted = self.journal.uses.get("issuing")
        assert (counted.count if counted else 0) == self.signed

    def teardown(self) -> None:
        self.journal.close()
        if self.sync is not None:
            self.sync.close()


@pytest.mark.parametrize("kind", [*KINDS_OF_SYNC, HELD])
def test_a_journal_as_a_machine_never_loses_an_entry(tmp_path: Path, kind: str) -> None:
    class Machine(JournalMachine):
        folder = tmp_path / "journal"

        @staticmethod
        def make_sync() -> DiskSync | None:
            return HeldSync() if kind == HELD else opened_sync(kind)

    Machine.folder.mkdir()
    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=30))
