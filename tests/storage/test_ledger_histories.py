"""Any history of writes, failures, sequencer runs, checkpoints and restarts leaves one intact, growing ledger."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pki.notes import Checkpoint, open_checkpoint
from storage.engine import Database, open_database
from storage.ledger import Ledger
from storage.ledger_entries import EventId
from storage.ledger_export import verify_export
from storage.ledger_proof import verify_proof
from storage.unit_of_work import UnitOfWork
from tests.storage.attacker import Attacker
from tests.storage.story import KEY, LOG, NOW, ORIGIN, PUBLIC, event_number, record


class LedgerHistory(RuleBasedStateMachine):
    """The model: which events were committed, how many have a leaf, which checkpoints were given out."""

    template: Path

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mohr-history-"))
        self.path = self.folder / "mohr.db"
        shutil.copyfile(self.template, self.path)
        self.database: Database = open_database(f"sqlite:///{self.path}")
        self.committed: list[EventId] = []
        self.placed = 0
        self.notes: list[str] = []
        self.numbers = 0

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            shutil.rmtree(self.folder)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.database)

    @rule(count=st.integers(1, 20))
    def commit(self, count: int) -> None:
        self.committed += record(self.database, self.numbers, count)
        self.numbers += count

    @rule(count=st.integers(1, 5))
    def fail(self, count: int) -> None:
        with pytest.raises(KeyError), self.database.begin() as unit:
            self._record_and_fail(unit, count)

    def _record_and_fail(self, unit: UnitOfWork, count: int) -> None:
        for number in range(self.numbers, self.numbers + count):
            unit.audit.record(event_number(number))
        raise KeyError

    @rule(limit=st.integers(1, 25))
    def sequence(self, limit: int) -> None:
        waiting = len(self.committed) - self.placed
        assert self.ledger.sequence(limit) == min(limit, waiting)
        self.placed += min(limit, waiting)

    @rule()
    def checkpoint(self) -> None:
        note = self.ledger.checkpoint(KEY, ORIGIN, NOW)
        assert open_checkpoint(note, LOG).size == self.placed
        if note not in self.notes:
            self.notes.append(note)

    @rule()
    def restart(self) -> None:
        self.database.close()
        self.database = open_database(f"sqlite:///{self.path}")

    @precondition(lambda self: self.notes)
    @rule(data=st.data())
    def prove(self, data: st.DataObject) -> None:
        size = open_checkpoint(self.notes[-1], LOG).size
        if size:
            seq = data.draw(st.integers(0, size - 1))
            proof = self.ledger.inclusion_proof(self.committed[seq])
            assert proof.seq == seq
            verify_proof(proof, PUBLIC, ORIGIN)

    @precondition(lambda self: self.notes)
    @rule(data=st.data())
    def audit(self, data: st.DataObject) -> None:
        note = data.draw(st.sampled_from(self.notes))
        report = self.ledger.verify(PUBLIC, ORIGIN, note)
        assert report.intact, report.findings
        assert (report.size, report.checkpoints) == (self.placed, len(self.notes))
        assert report.pending == len(self.committed) - self.placed

    @precondition(lambda self: self.notes)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        folder = self.folder / "export"
        count = self.ledger.export(folder)
        report = verify_export(folder, PUBLIC, ORIGIN, data.draw(st.sampled_from(self.notes)))
        assert report.intact, report.findings
        assert count == report.size == open_checkpoint(self.notes[-1], LOG).size
        shutil.rmtree(folder)

    @precondition(lambda self: self.notes and open_checkpoint(self.notes[-1], LOG).size > 0)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        """Someone cuts the ledger below its last checkpoint, neatly; the auditor has the note and sees it."""
        before = self.path.with_suffix(".before")
        last: Checkpoint = open_checkpoint(self.notes[-1], LOG)
        self.database.close()
        shutil.copyfile(self.path, before)
        with Attacker.on(self.database) as attacker:
            attacker.truncate(data.draw(st.integers(0, last.size - 1)))
        assert not self.ledger.verify(PUBLIC, ORIGIN, self.notes[-1]).intact
        self.database.close()
        shutil.move(before, self.path)

    @invariant()
    def the_last_checkpoint_is_the_last_given_out(self) -> None:
        if hasattr(self, "database"):
            assert self.ledger.latest_checkpoint() == (self.notes[-1] if self.notes else None)


def test_every_history_leaves_one_intact_ledger(sqlite_template: Path) -> None:
    LedgerHistory.template = sqlite_template
    run_state_machine_as_test(
        LedgerHistory,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
