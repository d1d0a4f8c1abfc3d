"""Tampering, named and random. The auditor holds the public key and one checkpoint that the attacker cannot reach."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Table, TextClause, delete, insert, literal, select, text, type_coerce, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType, UserDefinedType

from pki.errors import ErrorCode
from pki.merkle import root_of
from pki.notes import Checkpoint, sign_checkpoint
from storage.engine import Database, open_database
from storage.ledger import Ledger
from storage.ledger_audit import MAX_FINDINGS, LedgerReport
from storage.ledger_rows import raw
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes
from storage.ledger_verification import verify_rows
from tests.storage.attacker import Attacker
from tests.storage.conftest import DatabaseMaker
from tests.storage.story import KEY, LOG, NOW, ORIGIN, PUBLIC, SealKey, build_history, record

SIZES = (5, 12, 21)
COVERED = SIZES[-1]
BEYOND = 3  # entries after the last checkpoint
EDITED, REMOVED = ErrorCode.LEDGER_EDITED, ErrorCode.LEDGER_REMOVED
TRUNCATED, FORKED = ErrorCode.LEDGER_TRUNCATED, ErrorCode.LEDGER_FORKED
INVALID = ErrorCode.CHECKPOINT_INVALID


def build_victim(database: Database) -> str:
    """Fill a database as every test here finds it; return the checkpoint kept elsewhere."""
    note = build_history(database, *SIZES)[-1]
    record(database, COVERED, BEYOND)
    Ledger(database).sequence()
    record(database, COVERED + BEYOND, 2)
    return note


@contextmanager
def undone(database: Database) -> Iterator[Attacker]:
    """Attack in a transaction that is rolled back afterwards."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        yield Attacker(connection)
        transaction.rollback()


def audit(attacker: Attacker, external: str | None) -> LedgerReport:
    return verify_rows(attacker.connection, LOG, external)


def codes(report: LedgerReport) -> set[ErrorCode]:
    return {finding.code for finding in report.findings}


def event(seq: int) -> Any:
    return update(audit_events).where(audit_events.c.seq == seq)


def test_the_untouched_victim_is_intact(database: Database) -> None:
    note = build_victim(database)
    for external in (None, note):
        report = Ledger(database).verify(PUBLIC, ORIGIN, external)
        assert report.intact
        assert (report.size, report.pending, report.checkpoints) == (COVERED + BEYOND, 2, len(SIZES))


# --- Named attacks --------------------------------------------------------------------------------

Attack = Callable[[Attacker], object]


def insert_late(attacker: Attacker) -> None:
    attacker.shift(7, 1)
    row = attacker.execute(select(audit_events).where(audit_events.c.seq == 3)).mappings().one()
    attacker.execute(insert(audit_events).values({**row, "id": "late", "seq": 7}))
    attacker.rebuild()


def remove_and_close_the_gap(attacker: Attacker) -> None:
    attacker.execute(delete(audit_events).where(audit_events.c.seq == 7))
    attacker.shift(8, -1)
    attacker.rebuild()


def edit_and_rebuild(attacker: Attacker) -> None:
    attacker.execute(event(7).values(actor="nobody"))
    attacker.rebuild()


def edit_rebuild_and_drop_later_checkpoints(attacker: Attacker) -> None:
    edit_and_rebuild(attacker)
    attacker.execute(delete(checkpoints).where(checkpoints.c.size > 7))


def sign_anew(attacker: Attacker, key: SealKey, origin: str) -> None:
    edit_rebuild_and_drop_later_checkpoints(attacker)
    leaves = attacker.execute(select(ledger_leaves.c.leaf_hash).order_by(ledger_leaves.c.seq)).scalars().all()
    checkpoint = Checkpoint(origin=origin, size=COVERED, root=root_of(bytes(leaf) for leaf in leaves[:COVERED]))
    note = sign_checkpoint(checkpoint, key)
    attacker.execute(insert(checkpoints).values(size=COVERED, root=checkpoint.root, note=note, created=NOW))


def truncate_and_grow_again(attacker: Attacker) -> None:
    rows = attacker.execute(select(audit_events).where(audit_events.c.seq < 7)).mappings().all()
    attacker.truncate(5)
    for number in range(5, COVERED + BEYOND):
        row = {**rows[number % len(rows)], "id": f"made-up-{number}", "seq": number}
        attacker.execute(insert(audit_events).values(row))
    attacker.rebuild()


def change(table: Table, **values: Any) -> Attack:
    """Change the row of entry 7, or of the checkpoint of 12 entries, or of a node of level 2."""
    where = {
        audit_events: audit_events.c.seq == 7,
        ledger_leaves: ledger_leaves.c.seq == 7,
        ledger_nodes: ledger_nodes.c.level == 2,
        checkpoints: checkpoints.c.size == 12,
    }[table]
    return lambda attacker: attacker.execute(update(table).where(where).values(**values))


def drop(*places: ColumnElement[bool]) -> Attack:
    def attack(attacker: Attacker) -> None:
        for place in places:
            attacker.execute(delete(place.left.table).where(place))

    return attack


def exchange(column: Column[Any], *, rebuild: bool = False) -> Attack:
    def attack(attacker: Attacker) -> None:
        attacker.swap(column, 4, 9)
        if rebuild:
            attacker.rebuild()

    return attack


LAST = COVERED + BEYOND - 1
FOUND_ALONE: dict[str, tuple[Attack, set[ErrorCode]]] = {
    "an actor edited": (change(audit_events, actor="nobody"), {EDITED}),
    "a time edited": (change(audit_events, at=NOW), {EDITED}),
    "facts with a space more": (change(audit_events, facts=audit_events.c.facts + " "), {EDITED}),
    "a salt emptied": (change(audit_events, salt=b""), {EDITED}),
    "an event deleted": (drop(audit_events.c.seq == 7), {REMOVED}),
    "an event unsequenced": (change(audit_events, seq=None), {REMOVED}),
    "an event moved away": (change(audit_events, seq=700), {REMOVED}),
    "a leaf edited": (change(ledger_leaves, leaf_hash=bytes(32)), {EDITED, FORKED}),
    "a leaf shortened": (change(ledger_leaves, leaf_hash=b"x"), {EDITED}),
    "a leaf deleted": (drop(ledger_leaves.c.seq == 7), {REMOVED}),
    "the last leaf deleted": (drop(ledger_leaves.c.seq == LAST), {REMOVED, EDITED}),
    "a leaf sent to the end of numbers": (change(ledger_leaves, seq=2**63 - 1), {REMOVED}),
    "a leaf sent below zero": (change(ledger_leaves, seq=-(2**62)), {EDITED, REMOVED}),
    "an entry deleted": (drop(audit_events.c.seq == 7, ledger_leaves.c.seq == 7), {REMOVED}),
    "two events exchanged by place": (exchange(audit_events.c.seq), {EDITED}),
    "two subjects exchanged": (exchange(audit_events.c.subject), {EDITED}),
    "two leaves exchanged": (exchange(ledger_leaves.c.leaf_hash), {EDITED, FORKED}),
    "two leaf names exchanged": (exchange(ledger_leaves.c.event_id), {EDITED}),
    "two entries exchanged and all rebuilt": (exchange(audit_events.c.seq, rebuild=True), {FORKED}),
    "nodes edited": (change(ledger_nodes, hash=bytes(32)), {EDITED}),
    "nodes deleted": (drop(ledger_nodes.c.level == 3), {REMOVED}),
    "a node added": (lambda a: a.execute(insert(ledger_nodes).values(level=40, position=0, hash=bytes(32))), {EDITED}),
    "an event inserted late": (insert_late, {FORKED}),
    "an event removed and the gap closed": (remove_and_close_the_gap, {FORKED}),
    "an event edited and all rebuilt": (edit_and_rebuild, {FORKED}),
    "a checkpoint's root edited": (change(checkpoints, root=bytes(32)), {INVALID}),
    "a checkpoint's note edited": (change(checkpoints, note="no note"), {INVALID}),
    "a checkpoint's size edited": (change(checkpoints, size=14), {INVALID}),
    "a checkpoint from the future": (change(checkpoints, size=2**63 - 1), {INVALID}),
    "the tail cut, the checkpoints left": (lambda a: a.truncate(9, checkpoints_too=False), {TRUNCATED}),
    "the tree signed anew by another key": (lambda a: sign_anew(a, SealKey(b"\x01" * 32), ORIGIN), {INVALID}),
    "the tree signed anew under another name": (lambda a: sign_anew(a, KEY, "ledger.example/other"), {INVALID}),
}
# A history rewritten throughout is consistent in itself: only what was kept elsewhere tells.
FOUND_BY_CHECKPOINT: dict[str, tuple[Attack, set[ErrorCode]]] = {
    "the tail cut without a trace": (lambda a: a.truncate(9), {TRUNCATED}),
    "everything emptied": (lambda a: a.truncate(0), {TRUNCATED}),
    "the tail cut and grown again": (truncate_and_grow_again, {FORKED, REMOVED}),
    "an event edited, all rebuilt, later checkpoints dropped": (
        edit_rebuild_and_drop_later_checkpoints,
        {FORKED, REMOVED},
    ),
    "the last checkpoint dropped": (drop(checkpoints.c.size == COVERED), {REMOVED}),
}


def test_each_attack_on_the_rows_is_found_by_its_name_even_alone(database: Database) -> None:
    note = build_victim(database)
    for name, (attack, expected) in FOUND_ALONE.items():
        with undone(database) as attacker:
            attack(attacker)
            assert codes(audit(attacker, None)) == expected, name
            assert codes(audit(attacker, note)) >= expected, name
    assert Ledger(database).verify(PUBLIC, ORIGIN, note).intact


def test_each_attack_on_the_whole_history_is_found_by_a_checkpoint_kept_elsewhere(database: Database) -> None:
    note = build_victim(database)
    for name, (attack, expected) in FOUND_BY_CHECKPOINT.items():
        with undone(database) as attacker:
            attack(attacker)
            assert codes(audit(attacker, None)) == set(), name
            assert codes(audit(attacker, note)) == expected, name
    assert Ledger(database).verify(PUBLIC, ORIGIN, note).intact


def test_the_finding_names_the_entry_and_the_event(database: Database) -> None:
    note = build_victim(database)
    with database.read() as connection:
        event_id = connection.execute(select(audit_events.c.id).where(audit_events.c.seq == 7)).scalar_one()
    with Attacker.on(database) as attacker:
        attacker.execute(event(7).values(actor="nobody"))
    report = Ledger(database).verify(PUBLIC, ORIGIN, note)
    assert [(found.code, found.seq, found.event_id) for found in report.findings] == [(EDITED, 7, event_id)]


def test_a_fork_is_placed_between_two_checkpoints(database: Database) -> None:
    build_victim(database)
    with undone(database) as attacker:
        edit_and_rebuild(attacker)
        details = [found.detail for found in audit(attacker, None).findings]
    assert details == ["the checkpoint of 12 entries covers others; the one of 5 entries agrees"]


def test_a_database_put_back_to_yesterday_is_found_by_the_checkpoint_of_today(
    sqlite_maker: DatabaseMaker, tmp_path: Path
) -> None:
    database = sqlite_maker()
    yesterday = build_history(database, 6)[0]
    database.close()  # the file is complete without its log
    path = Path(str(database.engine.url.database))
    shutil.copyfile(path, tmp_path / "backup.db")
    record(database, 6, 4)
    Ledger(database).sequence()
    today = Ledger(database).checkpoint(KEY, ORIGIN, NOW)
    restored = open_database(f"sqlite:///{tmp_path / 'backup.db'}")
    assert Ledger(restored).verify(PUBLIC, ORIGIN, yesterday).intact
    assert codes(Ledger(restored).verify(PUBLIC, ORIGIN, today)) == {TRUNCATED}
    record(restored, 100, 4)
    Ledger(restored).sequence()
    Ledger(restored).checkpoint(KEY, ORIGIN, NOW)  # the key itself signs a second history: a split view
    assert codes(Ledger(restored).verify(PUBLIC, ORIGIN, today)) == {FORKED}
    restored.close()


def test_a_checkpoint_kept_elsewhere_that_is_not_ours_is_itself_the_finding(database: Database) -> None:
    note = build_victim(database)
    for external in ("", "garbage", note.replace(str(COVERED), "22"), note[:-2], "\ud800"):
        assert codes(Ledger(database).verify(PUBLIC, ORIGIN, external)) == {INVALID}


def test_a_report_lists_a_bounded_number_of_findings(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    build_history(database, MAX_FINDINGS + 50)
    with Attacker.on(database) as attacker:
        attacker.execute(update(audit_events).values(actor="nobody"))
    report = Ledger(database).verify(PUBLIC, ORIGIN, None)
    assert (len(report.findings), report.unlisted) == (MAX_FINDINGS, 50)


def test_a_ledger_longer_than_one_read_is_followed_to_its_end(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    notes = build_history(database, 4095, 4096, 4097, 8500)
    assert Ledger(database).verify(PUBLIC, ORIGIN, notes[1]).checkpoints == 4
    with Attacker.on(database) as attacker:
        attacker.execute(event(8400).values(subject="another"))
        attacker.execute(update(ledger_nodes).where(ledger_nodes.c.level == 12).values(hash=bytes(32)))
    found = Ledger(database).verify(PUBLIC, ORIGIN, notes[0]).findings
    assert [(finding.code, finding.seq) for finding in found] == [(EDITED, None), (EDITED, None), (EDITED, 8400)]


def test_what_comes_after_the_last_checkpoint_can_still_be_rewritten_unseen(database: Database) -> None:
    """The boundary of the promise, as the documentation states it."""
    note = build_victim(database)
    with Attacker.on(database) as attacker:
        attacker.execute(event(COVERED + 1).values(actor="nobody"))
        attacker.rebuild()
    assert Ledger(database).verify(PUBLIC, ORIGIN, note).intact


# --- Random attacks -------------------------------------------------------------------------------

PROVEN = {
    audit_events: tuple(audit_events.c),
    ledger_leaves: tuple(ledger_leaves.c),
    ledger_nodes: tuple(ledger_nodes.c),
    checkpoints: (checkpoints.c.size, checkpoints.c.root, checkpoints.c.note),
}
CELLS = [column for columns in PROVEN.values() for column in columns]
GARBAGE = [7, 0.5, b"\xff", "", "x", text("CAST(x'ff' AS TEXT)"), text("zeroblob(9)")]
Draw = Callable[[Any], Any]


def everything(connection: Connection) -> list[Any]:
    """All that the ledger promises to prove, as it lies."""
    found: list[Any] = []
    for table, columns in PROVEN.items():
        query = select(*(raw(column, connection) for column in columns)).order_by(*table.primary_key.columns)
        if table is audit_events:
            query = query.where(audit_events.c.seq.is_not(None))
        found += connection.execute(query).all()
    return found


class AsItIs(UserDefinedType[Any]):
    """Binds whatever it is given, past the type of the column."""

    cache_ok = True


def loose(value: Any) -> ColumnElement[Any]:
    return literal(value, AsItIs())


def pick_row(attacker: Attacker, draw: Draw, table: Table, *columns: Column[Any]) -> tuple[list[Any], list[Any]]:
    """Draw a row; return the condition that finds it and its values of `columns`."""
    keys = list(table.primary_key.columns)
    query = select(*(type_coerce(column, NullType()) for column in (*keys, *columns))).order_by(*keys)
    if table is audit_events:  # a waiting event is not in the ledger yet
        query = query.where(audit_events.c.seq.is_not(None))
    row = draw(st.sampled_from(attacker.execute(query).all()))
    return [key == loose(value) for key, value in zip(keys, row, strict=False)], list(row[len(keys) :])


def changed(value: Any, draw: Draw) -> Any:
    """Draw another value of the same kind."""
    match value:
        case b"" | "" | float() | None:  # an earlier edit's garbage
            return "y"
        case bytes():
            octets = bytearray(value)
            octets[draw(st.integers(0, len(octets) - 1))] ^= draw(st.integers(1, 255))
            return draw(st.sampled_from([bytes(octets), bytes(octets[:-1]), bytes(octets) + b"\0"]))
        case str():
            place = draw(st.integers(0, len(value) - 1))
            return draw(st.sampled_from([value[:place] + "~" + value[place + 1 :], value[:place], value + " "]))
        case datetime():
            return value + timedelta(microseconds=draw(st.sampled_from([-1, 1, 10**6, -(10**9)])))
        case int():
            return draw(st.integers(-2, 40))
    raise AssertionError(f"a column holds a {type(value).__name__}")


def edit_a_cell(attacker: Attacker, draw: Draw) -> None:
    column: Column[Any] = draw(st.sampled_from(CELLS))
    table = column.table
    assert isinstance(table, Table)
    where, (value,) = pick_row(attacker, draw, table, column)
    if attacker.connection.dialect.name == "sqlite" and draw(st.integers(0, 3)) == 0:
        value = draw(st.sampled_from(GARBAGE))
    else:
        value = changed(value, draw)
    new = value if isinstance(value, TextClause) else loose(value)
    attacker.execute(update(table).where(*where).values({column: new}))


def delete_a_row(attacker: Attacker, draw: Draw) -> None:
    table = draw(st.sampled_from([audit_events, ledger_leaves, ledger_nodes]))
    where, _ = pick_row(attacker, draw, table)
    attacker.execute(delete(table).where(*where))


def swap_cells(attacker: Attacker, draw: Draw) -> None:
    columns = [column for column in (*PROVEN[audit_events], *PROVEN[ledger_leaves]) if not column.primary_key]
    one, other = draw(st.lists(st.integers(0, COVERED + BEYOND - 1), min_size=2, max_size=2, unique=True))
    attacker.swap(draw(st.sampled_from(columns)), one, other)


def rewrite_history(attacker: Attacker, draw: Draw) -> None:
    """Change what the checkpoint covers, rebuild the tree over it, and leave or drop the checkpoints that tell."""
    seq = draw(st.integers(0, COVERED - 1))
    match draw(st.sampled_from(["edit", "remove", "insert", "swap", "truncate"])):
        case "edit":
            attacker.execute(event(seq).values(subject="another"))
        case "remove":
            attacker.execute(delete(audit_events).where(audit_events.c.seq == seq))
            attacker.shift(seq + 1, -1)
        case "insert":
            row = attacker.execute(select(audit_events).where(audit_events.c.seq == seq)).mappings().one()
            attacker.shift(seq, 1)
            attacker.execute(insert(audit_events).values({**row, "id": "late"}))
        case "swap":
            attacker.swap(audit_events.c.seq, seq, (seq + draw(st.integers(1, COVERED - 1))) % COVERED)
        case "truncate":
            attacker.truncate(seq)
    attacker.rebuild()
    if draw(st.booleans()):
        attacker.execute(delete(checkpoints).where(checkpoints.c.size > seq))


def attack_at_random(attacker: Attacker, draw: Draw) -> None:
    kind = draw(st.sampled_from(["rewrite", "swap", "cells", "cells"]))
    if kind == "rewrite":
        rewrite_history(attacker, draw)
    elif kind == "swap":
        swap_cells(attacker, draw)
    else:
        for _ in range(draw(st.integers(1, 3))):
            draw(st.sampled_from([edit_a_cell, edit_a_cell, delete_a_row]))(attacker, draw)


def check_random_attacks(database: Database, examples: int) -> None:
    note = build_victim(database)
    found = 0
    with Attacker.on(database):  # on SQLite the guards go once and for all, which is faster
        pass
    with database.read() as connection:
        before = everything(connection)

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        nonlocal found
        with database.engine.connect() as connection, connection.begin() as transaction:
            try:
                attack_at_random(Attacker(connection), data.draw)
            except DBAPIError:
                assume(False)
            assume(everything(connection) != before)
            report = verify_rows(connection, LOG, note)
            transaction.rollback()
        assert not report.intact
        found += 1

    attack()
    assert found >= examples
    assert Ledger(database).verify(PUBLIC, ORIGIN, note).intact


def test_two_hundred_random_attacks_are_all_found(sqlite_maker: DatabaseMaker) -> None:
    check_random_attacks(sqlite_maker(), 200)


@pytest.mark.real
def test_random_attacks_on_postgresql_are_all_found(postgres_maker: DatabaseMaker) -> None:
    check_random_attacks(postgres_maker(), 30)
