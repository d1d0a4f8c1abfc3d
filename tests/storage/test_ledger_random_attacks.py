"""Random tampering with whatever a checkpoint covers: every one of two hundred attacks is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Table, TextClause, delete, insert, literal, select, text, type_coerce, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType, UserDefinedType

from storage.engine import Database
from storage.ledger import Ledger
from storage.ledger_rows import raw
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes
from storage.ledger_verification import verify_rows
from tests.storage.attacker import Attacker
from tests.storage.story import BEYOND, COVERED, LOG, ORIGIN, PUBLIC, build_victim
from tests.support.databases import DatabaseMaker

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
            attacker.execute(update(audit_events).where(audit_events.c.seq == seq).values(subject="another"))
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
