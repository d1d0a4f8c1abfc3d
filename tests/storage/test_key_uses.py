"""Taking journals into the database, on both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from pki.audit import AuditAction
from pki.errors import Conflict, InvalidInput, NotFound
from pki.jose import json_object
from pki.journal import START
from storage.engine import Database
from storage.key_use_events import MAX_LISTED_KEYS, JournalPlace, KeyTotal
from storage.key_use_tables import key_journal_gaps, key_use_segments, key_use_totals, key_uses
from storage.key_uses import KeyUses, continuing
from storage.ledger import Ledger
from storage.ledger_tables import audit_events
from tests.storage.key_use_story import FIRST, SECOND, break_chain, take
from tests.storage.story import NOW, ORIGIN, PUBLIC
from tests.support.journals import BEGIN, MemoryJournal, key_use


def written(count: int) -> MemoryJournal:
    journal = MemoryJournal()
    journal.write_many(count)
    return journal


def events(database: Database) -> list[tuple[str, str, dict[str, object]]]:
    with database.read() as connection:
        rows = connection.execute(select(audit_events).order_by(audit_events.c.id)).all()
    return [(row.action, row.subject, json_object(row.facts.encode())) for row in rows]


def row_count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(key_uses)).scalar_one())


def test_a_journal_that_was_never_read_is_read_from_its_beginning(database: Database) -> None:
    assert KeyUses(database).place(FIRST) == JournalPlace(1, 0, START)


def test_lines_are_kept_octet_for_octet_with_one_event(database: Database) -> None:
    journal = written(3)
    journal.write(key_use(7, "tsa", "timestamp", count=5), key_use(8, "tsa", "certificate", outcome="not-allowed"))
    journal.write(key_use(9, "new", "generate"))
    assert take(database, FIRST, journal) == JournalPlace(1, 6, journal.hash)
    with database.read() as connection:
        kept = connection.execute(select(key_uses.c.line).order_by(key_uses.c.sequence)).scalars().all()
    assert kept == journal.lines
    assert events(database) == [
        (
            AuditAction.KEYS_USED,
            FIRST,
            {
                "chain": 1,
                "first": 1,
                "last": 6,
                "head": journal.hash.hex(),
                "keys": "ca-persons=3 tsa=5",
                "more_keys": 0,
                "administered": 1,
                "refused": 1,
            },
        )
    ]


def test_totals_count_messages_that_were_signed_and_remember_the_last(database: Database) -> None:
    journal = MemoryJournal()
    journal.write(key_use(5, "token", count=20), key_use(3, "token"), key_use(9, "token", outcome="not-allowed"))
    take(database, FIRST, journal)
    journal.write(key_use(4, "token"), key_use(6, "seal"), key_use(7, "new", "bind"))
    take(database, FIRST, journal)
    assert KeyUses(database).totals() == {
        "token": KeyTotal(count=22, last_use=BEGIN + timedelta(milliseconds=5)),
        "seal": KeyTotal(count=1, last_use=BEGIN + timedelta(milliseconds=6)),
    }


def test_the_event_of_very_many_keys_says_how_many_it_leaves_out(database: Database) -> None:
    journal = MemoryJournal()
    labels = [f"{number:04}{chr(34) * 60}" for number in range(1000)]  # quotes are written as two characters
    journal.write(*(key_use(number, label) for number, label in enumerate(labels)))
    take(database, FIRST, journal)
    ((_, _, facts),) = events(database)
    assert facts["more_keys"] == 1000 - MAX_LISTED_KEYS
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).intact


def test_lines_that_were_taken_by_another_program_are_not_taken_again(database: Database) -> None:
    uses, journal = KeyUses(database), written(4)
    place = uses.place(FIRST)
    lines = continuing(place, journal.lines)
    end = uses.take(FIRST, place, lines, NOW)
    assert uses.take(FIRST, place, lines, NOW) == end
    assert uses.begin_chain(FIRST, place, (0, START), journal.lines, NOW) == end
    assert (row_count(database), len(events(database))) == (4, 1)


def test_programs_that_take_at_once_take_each_line_once(database: Database) -> None:
    journal = written(60)

    def work(_number: int) -> None:
        uses = KeyUses(database)
        while (place := uses.place(FIRST)).sequence < journal.sequence:
            uses.take(FIRST, place, continuing(place, journal.read(place.sequence, 7).lines), NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert row_count(database) == 60
    assert KeyUses(database).totals()["ca-persons"].count == 60
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).intact


def test_custodians_do_not_mix(database: Database) -> None:
    one, other = written(2), written(5)
    take(database, FIRST, one)
    take(database, SECOND, other)
    uses = KeyUses(database)
    assert (uses.place(FIRST).sequence, uses.place(SECOND).sequence) == (2, 5)


def test_only_what_continues_is_taken() -> None:
    journal = written(5)
    place = JournalPlace()
    assert [line.line for line in continuing(place, journal.lines)] == journal.lines
    assert continuing(place, journal.lines[1:]) == []
    assert len(continuing(place, [*journal.lines[:2], *journal.lines[3:]])) == 2
    assert len(continuing(place, [*journal.lines[:2], b"?", *journal.lines[2:]])) == 2
    assert continuing(JournalPlace(1, 0, b"\1" * 32), journal.lines) == []


def test_a_gap_is_recorded_with_what_was_expected_and_found_and_its_lines_are_kept(database: Database) -> None:
    journal, anew = written(4), written(2)
    end = take(database, FIRST, journal)
    gap_id = break_chain(database, FIRST, anew)
    uses = KeyUses(database)
    assert uses.place(FIRST) == JournalPlace(2, 2, anew.hash)
    assert row_count(database) == 6
    (gap,) = uses.open_gaps()
    assert (gap.id, gap.custodian, gap.at) == (gap_id, FIRST, NOW)
    assert (gap.expected, gap.found) == (end, JournalPlace(2, 0, START))
    told = events(database)
    assert sorted(event[0] for event in told) == [AuditAction.KEY_JOURNAL_GAP, *[AuditAction.KEYS_USED] * 2]
    (facts,) = (event[2] for event in told if event[0] == AuditAction.KEY_JOURNAL_GAP)
    assert (facts["expected_sequence"], facts["expected_hash"]) == (4, end.hash.hex())
    assert (facts["found_sequence"], facts["found_hash"]) == (0, START.hex())


def test_a_chain_that_begins_without_a_line_goes_on_with_the_first(database: Database) -> None:
    take(database, FIRST, written(4))
    anew = MemoryJournal()
    break_chain(database, FIRST, anew)
    assert KeyUses(database).place(FIRST) == JournalPlace(2, 0, START)
    anew.write_many(1)
    assert take(database, FIRST, anew) == JournalPlace(2, 1, anew.hash)


def test_a_gap_is_closed_once_by_an_officer_with_a_reason(database: Database) -> None:
    take(database, FIRST, written(1))
    uses, gap = KeyUses(database), break_chain(database, FIRST, written(1))
    for reason in ("", "  ", "x" * 501):
        with pytest.raises(InvalidInput):
            uses.acknowledge(gap, "officer-1", reason, NOW)
    with pytest.raises(NotFound):
        uses.acknowledge("another", "officer-1", "seen", NOW)
    assert len(uses.open_gaps()) == 1
    uses.acknowledge(gap, "officer-1", "seen", NOW)
    assert uses.open_gaps() == ()
    with pytest.raises(Conflict):
        uses.acknowledge(gap, "officer-2", "seen", NOW)
    assert (AuditAction.KEY_GAP_ACKNOWLEDGED, gap, {"reason": "seen"}) in events(database)


def test_lines_and_event_come_together_or_not_at_all(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = written(3)

    def fails(*_arguments: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("storage.key_uses._add_totals", fails)
        with pytest.raises(RuntimeError):
            take(database, FIRST, journal)
    assert (row_count(database), events(database)) == (0, [])
    assert take(database, FIRST, journal).sequence == 3


@pytest.mark.parametrize(
    "statement",
    [
        update(key_uses).values(line=b"x"),
        delete(key_uses),
        update(key_use_segments).values(last=7),
        delete(key_use_segments),
        update(key_journal_gaps).values(found_sequence=7),
        update(key_journal_gaps).values(acknowledgement=None),
        update(key_journal_gaps).values(acknowledgement="another"),
        delete(key_journal_gaps),
    ],
    ids=str,
)
def test_written_rows_are_guarded(database: Database, statement: object) -> None:
    take(database, FIRST, written(1))
    KeyUses(database).acknowledge(break_chain(database, FIRST, written(1)), "officer-1", "seen", NOW)
    with pytest.raises((DBAPIError,)), database.begin() as unit:
        unit.connection.execute(statement)  # type: ignore[call-overload]  # any statement


def test_a_whole_table_cannot_be_emptied_at_once_on_postgresql(database: Database) -> None:
    if database.dialect != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    for table in ("key_uses", "key_use_segments", "key_journal_gaps"):
        with pytest.raises(DBAPIError), database.begin() as unit:
            unit.connection.execute(text(f"TRUNCATE {table}"))


def test_totals_may_change(database: Database) -> None:
    take(database, FIRST, written(1))
    with database.begin() as unit:
        assert unit.connection.execute(update(key_use_totals).values(uses=2)).rowcount == 1
