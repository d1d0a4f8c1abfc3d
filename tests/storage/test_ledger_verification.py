"""Tampering by name. The auditor holds the public key and one checkpoint that the attacker cannot reach."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Table, delete, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from pki.errors import ErrorCode
from pki.merkle import root_of
from pki.notes import Checkpoint, sign_checkpoint
from storage.engine import Database, open_database
from storage.ledger import Ledger
from storage.ledger_audit import MAX_FINDINGS, LedgerReport
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes
from storage.ledger_verification import verify_rows
from tests.storage.attacker import Attacker
from tests.storage.story import (
    BEYOND,
    COVERED,
    KEY,
    LOG,
    NOW,
    ORIGIN,
    PUBLIC,
    SIZES,
    SealKey,
    build_history,
    build_victim,
    record,
)
from tests.support.databases import DatabaseMaker

EDITED, REMOVED = ErrorCode.LEDGER_EDITED, ErrorCode.LEDGER_REMOVED
TRUNCATED, FORKED = ErrorCode.LEDGER_TRUNCATED, ErrorCode.LEDGER_FORKED
INVALID = ErrorCode.CHECKPOINT_INVALID


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
        with Attacker.undone(database) as attacker:
            attack(attacker)
            assert codes(audit(attacker, None)) == expected, name
            assert codes(audit(attacker, note)) >= expected, name
    assert Ledger(database).verify(PUBLIC, ORIGIN, note).intact


def test_each_attack_on_the_whole_history_is_found_by_a_checkpoint_kept_elsewhere(database: Database) -> None:
    note = build_victim(database)
    for name, (attack, expected) in FOUND_BY_CHECKPOINT.items():
        with Attacker.undone(database) as attacker:
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
    with Attacker.undone(database) as attacker:
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
