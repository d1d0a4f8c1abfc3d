"""Tampering with key uses, by name and at random; one checkpoint is kept where the attacker cannot write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Table, TextClause, delete, insert, literal, select, update
from sqlalchemy.exc import DBAPIError

from pki.errors import ErrorCode
from pki.journal import journal_line, line_hash, parse_line
from storage.engine import Database
from storage.key_use_tables import key_journal_gaps, key_use_segments, key_use_totals, key_uses
from storage.key_uses import KeyUses
from storage.ledger import Ledger
from storage.ledger_audit import LedgerReport
from storage.ledger_rows import raw
from storage.ledger_tables import audit_events
from storage.ledger_verification import verify_rows
from tests.storage.attacker import Attacker
from tests.storage.key_use_story import FIRST, SECOND, break_chain, build_uses, take
from tests.storage.story import LOG, NOW, ORIGIN, PUBLIC
from tests.storage.test_ledger_random_attacks import GARBAGE, Draw, changed, loose, pick_row
from tests.support.databases import DatabaseMaker
from tests.support.journals import MemoryJournal

TABLES = (key_uses, key_use_segments, key_journal_gaps, key_use_totals)
CELLS = [column for table in TABLES for column in table.c]
_u, _s = key_uses.c, key_use_segments.c
_g, _t = key_journal_gaps.c, key_use_totals.c
THIRD = (_u.custodian == SECOND, _u.sequence == 3)
LATER = (_s.custodian == SECOND, _s.first == 6)
Attack = Callable[[Attacker], object]


def change(column: Column[Any], value: Any, *where: Any) -> Attack:
    return lambda attacker: attacker.execute(update(column.table).where(*where).values({column: value}))


def drop(*where: Any) -> Attack:
    return lambda attacker: attacker.execute(delete(where[0].left.table).where(*where))


def rewrite_line(attacker: Attacker) -> None:
    """Make the third entry tell of another key, with all hashes after it right again."""
    rows = attacker.execute(select(_u.sequence, _u.line).where(_u.custodian == SECOND).order_by(_u.sequence)).all()
    previous = bytes(32)
    for row in rows:
        use = parse_line(row.line).use
        new = journal_line(row.sequence, previous, replace(use, key="another") if row.sequence == 3 else use)
        previous = line_hash(new)
        where = (_u.custodian == SECOND, _u.sequence == row.sequence)
        attacker.execute(update(key_uses).where(*where).values(line=new, line_hash=previous))


def cut_tail(attacker: Attacker) -> None:
    drop(_u.custodian == SECOND, _u.sequence >= 9)(attacker)
    drop(_s.custodian == SECOND, _s.first >= 9)(attacker)


def cut_tail_and_event(attacker: Attacker) -> None:
    event = attacker.execute(select(_s.event_id).where(_s.custodian == SECOND, _s.first == 9)).scalar_one()
    cut_tail(attacker)
    attacker.execute(delete(audit_events).where(audit_events.c.id == event))
    attacker.rebuild()


def forge_acknowledgement(attacker: Attacker) -> None:
    event = attacker.execute(select(_s.event_id).where(_s.custodian == SECOND, _s.first == 9)).scalar_one()
    change(_g.acknowledgement, event, _g.chain == 2)(attacker)


def insert_segment(attacker: Attacker) -> None:
    row = attacker.execute(select(key_use_segments).where(*LATER)).mappings().one()
    attacker.execute(insert(key_use_segments).values({**row, "first": 8, "last": 8, "event_id": "made-up"}))


ATTACKS: dict[str, Attack] = {
    "a line edited": change(_u.line, b"{}", *THIRD),
    "a line's hash edited": change(_u.line_hash, bytes(32), *THIRD),
    "a line dropped": drop(*THIRD),
    "the first line dropped": drop(_u.custodian == SECOND, _u.sequence == 1),
    "the last line dropped": drop(_u.custodian == SECOND, _u.sequence == 14),
    "a line moved to the other custodian": change(
        _u.custodian, "custodian-2", _u.custodian == SECOND, _u.sequence == 14
    ),
    "a chain moved": change(_u.chain, 7, _u.custodian == FIRST, _u.chain == 2),
    "a line and all hashes after it": rewrite_line,
    "the tail cut": cut_tail,
    "every line dropped": drop(_u.sequence >= 0),
    "a segment dropped": drop(*LATER),
    "a segment shortened": change(_s.last, 7, *LATER),
    "a segment's head edited": change(_s.head, bytes(32), *LATER),
    "a segment under another event": change(_s.event_id, "another", *LATER),
    "a segment made up": insert_segment,
    "a segment without end": change(_s.last, -1, *LATER),
    "a gap dropped": drop(_g.chain == 2),
    "a gap moved": change(_g.expected_sequence, 5, _g.chain == 2),
    "a gap found elsewhere": change(_g.found_hash, b"\1" * 32, _g.chain == 2),
    "an acknowledgement taken back": change(_g.acknowledgement, None, _g.chain == 2),
    "an acknowledgement of nothing": change(_g.acknowledgement, "another", _g.chain == 2),
    "an acknowledgement by another event": forge_acknowledgement,
    "a total edited": change(_t.uses, 3, _t.key == "token"),
    "a last use edited": change(_t.last_use, NOW + timedelta(days=1), _t.key == "token"),
    "a total dropped": drop(_t.key == "token"),
    "a total renamed": change(_t.key, "another", _t.key == "token"),
}


def codes(report: LedgerReport) -> set[ErrorCode]:
    return {finding.code for finding in report.findings}


def test_the_untouched_story_is_intact(database: Database) -> None:
    note = build_uses(database)
    report = Ledger(database).verify(PUBLIC, ORIGIN, note)
    assert report.findings == ()


def test_tampering_with_what_was_taken_is_found(database: Database) -> None:
    build_uses(database)
    found = {}
    for name, attack in ATTACKS.items():
        with Attacker.undone(database) as attacker:
            attack(attacker)
            found[name] = codes(verify_rows(attacker.connection, LOG, None))
    assert found == {name: {ErrorCode.HSM_JOURNAL_GAP} for name in ATTACKS}
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).intact


def test_whoever_takes_the_event_away_as_well_shows_in_the_ledger(database: Database) -> None:
    note = build_uses(database)
    with Attacker.undone(database) as attacker:
        cut_tail_and_event(attacker)
        change(_t.uses, 1, _t.key == "key-of-custodian-1")(attacker)
        assert codes(verify_rows(attacker.connection, LOG, note)) - {ErrorCode.HSM_JOURNAL_GAP}


def test_a_gap_that_nobody_looked_into_is_a_finding_until_somebody_did(database: Database) -> None:
    journal = MemoryJournal()
    journal.write_many(2)
    take(database, FIRST, journal)
    anew = MemoryJournal()
    gap = break_chain(database, FIRST, anew)
    report = Ledger(database).verify(PUBLIC, ORIGIN, None)
    (finding,) = report.findings
    assert (finding.code, finding.event_id) == (ErrorCode.HSM_JOURNAL_GAP, gap)
    KeyUses(database).acknowledge(gap, "officer-1", "seen", NOW)
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).intact


def test_a_journal_that_never_began_here_may_begin_anew(database: Database) -> None:
    anew = MemoryJournal()
    anew.write_many(3)
    KeyUses(database).acknowledge(break_chain(database, FIRST, anew), "officer-1", "seen", NOW)
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).intact


def everything(connection: Connection) -> list[Any]:
    return [
        connection.execute(select(*(raw(column, connection) for column in table.c)).order_by(*table.primary_key)).all()
        for table in TABLES
    ]


def attack_at_random(attacker: Attacker, draw: Draw) -> None:
    for _ in range(draw(st.integers(1, 3))):
        column: Column[Any] = draw(st.sampled_from(CELLS))
        table = column.table
        assert isinstance(table, Table)
        assume(attacker.execute(select(literal(1)).select_from(table).limit(1)).first() is not None)
        where, (value,) = pick_row(attacker, draw, table, column)
        if draw(st.integers(0, 3)) == 0:
            attacker.execute(delete(table).where(*where))
            continue
        if attacker.connection.dialect.name == "sqlite" and draw(st.booleans()):
            new = draw(st.sampled_from(GARBAGE))
        else:
            new = changed(value, draw)
        attacker.execute(
            update(table).where(*where).values({column: new if isinstance(new, TextClause) else loose(new)})
        )


def check_random_attacks(database: Database, examples: int) -> None:
    note = build_uses(database)
    with Attacker.on(database):  # on SQLite the guards go once and for all, which is faster
        pass
    with database.read() as connection:
        before = everything(connection)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        with database.engine.connect() as connection, connection.begin() as transaction:
            try:
                attack_at_random(Attacker(connection), data.draw)
            except DBAPIError:
                assume(False)
            assume(everything(connection) != before)
            report = verify_rows(connection, LOG, note)
            transaction.rollback()
        assert ErrorCode.HSM_JOURNAL_GAP in codes(report)

    attack()
    assert Ledger(database).verify(PUBLIC, ORIGIN, note).intact


def test_random_attacks_on_key_uses_are_all_found(sqlite_maker: DatabaseMaker) -> None:
    check_random_attacks(sqlite_maker(), 200)


@pytest.mark.real
def test_random_attacks_on_key_uses_on_postgresql_are_all_found(postgres_maker: DatabaseMaker) -> None:
    check_random_attacks(postgres_maker(), 30)
