"""Taking the custodians' journals: no entry is lost, none is taken twice, and no break stays unseen."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from hsm.errors import HsmUnavailable
from pki.errors import ErrorCode, VerificationFailed
from pki.journal import START
from storage.engine import Database, open_database
from storage.key_use_events import JournalPlace
from storage.key_use_tables import key_uses
from storage.key_uses import KeyUses
from storage.ledger import Ledger
from storage.migrate import upgrade
from tests.storage.story import ORIGIN, PUBLIC
from tests.support.clock import FakeClock
from tests.support.journals import BEGIN, MemoryCustodians, MemoryJournal, key_use
from webapp.key_journal import MAX_PAGES, NOTE_REST, PAGE_LINES, JournalTaker, waiting_totals

FIRST, SECOND = "custodian-0", "custodian-1"
NOW = BEGIN + timedelta(minutes=1)


class Killed(BaseException):
    """The worker ends here."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "mohr.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture
def database(template: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copyfile(template, tmp_path / "mohr.db")
    opened = open_database(f"sqlite:///{tmp_path / 'mohr.db'}")
    yield opened
    opened.close()


def taker(database: Database, custodians: MemoryCustodians, clock: FakeClock | None = None) -> JournalTaker:
    """A worker that was just started."""
    return JournalTaker(KeyUses(database), custodians, clock or FakeClock(NOW))


def kept(database: Database, custodian: str = FIRST, chain: int = 1) -> list[bytes]:
    query = select(key_uses.c.line).where(key_uses.c.custodian == custodian, key_uses.c.chain == chain)
    with database.read() as connection:
        return list(connection.execute(query.order_by(key_uses.c.sequence)).scalars())


def findings(database: Database) -> list[str]:
    return [finding.detail for finding in Ledger(database).verify(PUBLIC, ORIGIN, None).findings]


def test_each_custodian_hands_over_its_journal_and_is_told_that_it_may_forget(database: Database) -> None:
    custodians = MemoryCustodians(2)
    for journal, count in zip(custodians.journals, (3, 5), strict=True):
        journal.write_many(count)
    before = [list(journal.lines) for journal in custodians.journals]
    taker(database, custodians).sweep()
    assert [kept(database, FIRST), kept(database, SECOND)] == before
    assert [(journal.released, journal.lines) for journal in custodians.journals] == [(3, []), (5, [])]
    assert findings(database) == []


def test_pages_are_bounded_and_a_sweep_leaves_time_for_others(database: Database) -> None:
    custodians = MemoryCustodians()
    custodians.journals[0].write_many(PAGE_LINES + 5)
    before = list(custodians.journals[0].lines)
    taker(database, custodians).sweep()
    assert kept(database) == before
    assert {limit for _, _, limit in custodians.pages} == {PAGE_LINES}
    assert len(custodians.pages) <= MAX_PAGES


def test_a_custodian_that_is_away_is_tried_again_and_holds_no_other_back(database: Database) -> None:
    custodians = MemoryCustodians(2)
    for journal in custodians.journals:
        journal.write_many(2)
    custodians.away = {0}
    worker = taker(database, custodians)
    with pytest.raises(HsmUnavailable):
        worker.sweep()
    assert (len(kept(database, FIRST)), len(kept(database, SECOND))) == (0, 2)
    custodians.away = set()
    worker.sweep()
    assert len(kept(database, FIRST)) == 2


def test_nothing_is_released_before_it_is_committed(database: Database) -> None:
    custodians = MemoryCustodians()
    custodians.journals[0].write_many(2)
    seen: list[int] = []
    custodians.before_release = lambda: seen.append(len(kept(database)))
    taker(database, custodians).sweep()
    assert seen[-1] == 2


def test_a_worker_killed_between_commit_and_release_loses_nothing_and_takes_nothing_twice(database: Database) -> None:
    custodians = MemoryCustodians()
    journal = custodians.journals[0]
    journal.write_many(4)
    before = list(journal.lines)

    def kill() -> NoReturn:
        raise Killed

    custodians.before_release = kill
    with pytest.raises(Killed):
        taker(database, custodians).sweep()
    assert (kept(database), journal.lines) == (before, before)
    custodians.before_release = lambda: None
    taker(database, custodians).sweep()  # the next worker
    assert (kept(database), journal.lines, journal.released) == (before, [], 4)
    assert findings(database) == []


def test_a_worker_killed_between_pages_goes_on_with_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.key_journal.PAGE_LINES", 3)
    custodians = MemoryCustodians()
    custodians.journals[0].write_many(8)
    before = list(custodians.journals[0].lines)
    released: list[int] = []

    def kill_at_the_second() -> None:
        released.append(1)
        if len(released) == 2:
            raise Killed

    custodians.before_release = kill_at_the_second
    with pytest.raises(Killed):
        taker(database, custodians).sweep()
    custodians.before_release = lambda: None
    taker(database, custodians).sweep()
    assert kept(database) == before
    assert findings(database) == []


def test_a_checkpoint_alone_is_not_recorded_at_once_since_recording_it_calls_for_the_next(database: Database) -> None:
    custodians, clock = MemoryCustodians(), FakeClock(BEGIN + timedelta(seconds=1))
    journal = custodians.journals[0]
    worker = taker(database, custodians, clock)
    journal.write(key_use(1, "seal", "note"))
    worker.sweep()
    assert (kept(database), len(journal.lines)) == ([], 1)
    clock.time += NOTE_REST
    worker.sweep()
    assert (len(kept(database)), journal.lines) == (1, [])


@pytest.mark.parametrize("other", [key_use(2, "tsa", "timestamp"), key_use(2, "seal", "note", outcome="not-allowed")])
def test_any_other_use_is_recorded_at_once_with_the_checkpoints_before_it(database: Database, other: object) -> None:
    custodians = MemoryCustodians()
    custodians.journals[0].write(key_use(1, "seal", "note"), other)  # type: ignore[arg-type]  # parametrised
    taker(database, custodians, FakeClock(BEGIN + timedelta(seconds=1))).sweep()
    assert len(kept(database)) == 2


def test_a_checkpoint_from_the_future_does_not_rest_for_ever(database: Database) -> None:
    custodians = MemoryCustodians()
    custodians.journals[0].write(key_use(1, "seal", "note"))
    taker(database, custodians, FakeClock(BEGIN - timedelta(hours=1))).sweep()
    assert len(kept(database)) == 1


# --- gaps ---


def taken(database: Database, count: int) -> MemoryCustodians:
    custodians = MemoryCustodians()
    custodians.journals[0].write_many(count)
    taker(database, custodians).sweep()
    return custodians


def gap_after_sweeps(database: Database, custodians: MemoryCustodians) -> tuple[JournalPlace, JournalPlace]:
    """Sweep with two workers, twice each: what is broken is told once."""
    for worker in (taker(database, custodians), taker(database, custodians)):
        worker.sweep()
        worker.sweep()
    (gap,) = KeyUses(database).open_gaps()
    return gap.expected, gap.found


def test_a_journal_that_was_deleted_is_a_gap_at_once_and_goes_on_as_a_new_chain(database: Database) -> None:
    custodians = taken(database, 4)
    end = JournalPlace(1, 4, custodians.journals[0].hash)
    custodians.journals[0] = MemoryJournal()
    assert gap_after_sweeps(database, custodians) == (end, JournalPlace(2, 0, START))
    custodians.journals[0].write_many(2)
    before = list(custodians.journals[0].lines)
    taker(database, custodians).sweep()
    assert kept(database, chain=2) == before
    assert len(KeyUses(database).open_gaps()) == 1


@pytest.mark.parametrize("count", [1, 4, 6])
def test_a_journal_begun_anew_is_a_gap_however_long_it_has_become(database: Database, count: int) -> None:
    custodians = taken(database, 4)
    end = JournalPlace(1, 4, custodians.journals[0].hash)
    custodians.journals[0] = MemoryJournal()
    custodians.journals[0].write_many(count, key="tsa")
    before = list(custodians.journals[0].lines)
    assert gap_after_sweeps(database, custodians) == (end, JournalPlace(2, 0, START))
    assert kept(database, chain=2) == before


def test_lost_lines_are_a_gap(database: Database) -> None:
    custodians = taken(database, 2)
    journal = custodians.journals[0]
    end = JournalPlace(1, 2, journal.hash)
    journal.write_many(3)
    lost = journal.hash
    journal.entries.clear()
    journal.write_many(2)
    before = list(journal.lines)
    assert gap_after_sweeps(database, custodians) == (end, JournalPlace(2, 5, lost))
    assert kept(database, chain=2) == before


def test_lines_lost_at_the_end_are_a_gap_before_the_next_use(database: Database) -> None:
    custodians = taken(database, 2)
    journal = custodians.journals[0]
    journal.write_many(3)
    journal.entries.clear()
    assert gap_after_sweeps(database, custodians)[1] == JournalPlace(2, 5, journal.hash)


def test_a_shorter_journal_is_a_gap(database: Database) -> None:
    custodians = taken(database, 4)
    custodians.journals[0] = MemoryJournal()
    custodians.journals[0].write_many(2)
    custodians.journals[0].entries.clear()
    assert gap_after_sweeps(database, custodians)[1] == JournalPlace(2, 2, custodians.journals[0].hash)


def test_a_damaged_journal_begins_behind_its_last_entry_with_no_hash(database: Database) -> None:
    custodians = taken(database, 4)
    custodians.journals[0] = MemoryJournal(4, START)
    assert gap_after_sweeps(database, custodians)[1] == JournalPlace(2, 4, START)


def test_a_line_that_cannot_be_read_is_lost_and_the_rest_is_kept(database: Database) -> None:
    custodians = taken(database, 1)
    journal = custodians.journals[0]
    journal.write_many(3)
    journal.entries[3] = b'{"not":"a line"}'
    assert gap_after_sweeps(database, custodians)[1].sequence == 3
    assert (len(kept(database)), len(kept(database, chain=2))) == (2, 1)


def test_a_journal_of_which_nothing_can_be_read_is_an_alarm_and_is_not_released(database: Database) -> None:
    custodians = MemoryCustodians()
    journal = custodians.journals[0]
    journal.entries[1] = b"{}"
    with pytest.raises(VerificationFailed) as failure:
        taker(database, custodians).sweep()
    assert failure.value.code is ErrorCode.HSM_JOURNAL_GAP
    assert journal.lines == [b"{}"]


def test_a_fork_keeps_what_was_taken_and_begins_where_it_forks(database: Database) -> None:
    custodians, honest = MemoryCustodians(), MemoryJournal(keeps_all=True)
    honest.write_many(4)
    custodians.journals[0] = honest
    taker(database, custodians).sweep()
    fork = MemoryJournal(keeps_all=True)
    fork.write_many(2)
    at = fork.hash
    fork.write_many(4, key="tsa")
    custodians.journals[0] = fork
    before = list(fork.lines)
    assert gap_after_sweeps(database, custodians)[1] == JournalPlace(2, 2, at)
    assert kept(database, chain=2) == before[2:]
    assert KeyUses(database).totals()["ca-persons"].count == 4


def test_a_database_of_yesterday_is_a_gap(database: Database) -> None:
    custodians = taken(database, 0)
    journal = custodians.journals[0]
    journal.write_many(5)
    journal.release(5)  # to the database that was lost
    at = journal.hash
    journal.write_many(1)
    assert gap_after_sweeps(database, custodians) == (JournalPlace(), JournalPlace(2, 5, at))


@settings(max_examples=25)
@given(st.data())
def test_any_history_of_deaths_and_outages_loses_nothing_property(template: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("webapp.key_journal.PAGE_LINES", 3)
        shutil.copyfile(template, Path(folder) / "mohr.db")
        database = open_database(f"sqlite:///{folder}/mohr.db")
        custodians = MemoryCustodians(2)
        written: list[list[bytes]] = [[], []]
        worker = taker(database, custodians)

        def maybe_kill() -> None:
            if data.draw(st.integers(0, 2)) == 0:
                raise Killed

        custodians.before_release = maybe_kill
        for _ in range(data.draw(st.integers(1, 8))):
            index = data.draw(st.integers(0, 1))
            journal = custodians.journals[index]
            count = data.draw(st.integers(0, 5))
            journal.write_many(count)
            written[index] += journal.lines[len(journal.lines) - count :]
            custodians.away = data.draw(st.sets(st.integers(0, 1)))
            try:
                worker.sweep()
            except (Killed, HsmUnavailable):
                worker = taker(database, custodians)
        custodians.away, custodians.before_release = set(), lambda: None
        taker(database, custodians).sweep()
        assert [kept(database, FIRST), kept(database, SECOND)] == written
        assert KeyUses(database).open_gaps() == ()
        assert findings(database) == []
        database.close()


def test_totals_hold_what_the_custodians_did_not_hand_over_yet(database: Database) -> None:
    custodians = MemoryCustodians(2)
    custodians.journals[0].write_many(3)
    taker(database, custodians).sweep()
    for journal in custodians.journals:
        journal.write_many(2)
    totals, silent = waiting_totals(KeyUses(database), custodians)
    assert (totals["ca-persons"].count, silent) == (7, 0)
    custodians.away = {1}
    totals, silent = waiting_totals(KeyUses(database), custodians)
    assert (totals["ca-persons"].count, silent) == (5, 1)
