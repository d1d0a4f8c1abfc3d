from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from pki.errors import Conflict, ErrorCode, InvalidInput, VerificationFailed
from storage.ledger import Ledger
from storage.ledger_audit import LedgerReport
from storage.ledger_export import CHECKPOINT, ENTRIES, EVENTS, LEAVES, verify_export
from storage.ledger_tables import audit_events, ledger_leaves
from tests.storage.attacker import Attacker
from tests.storage.story import KEY, NOW, ORIGIN, PUBLIC, SealKey, build_history, record
from tests.support.databases import DatabaseMaker

FILES = (EVENTS, ENTRIES, LEAVES)
EDITED, REMOVED = ErrorCode.LEDGER_EDITED, ErrorCode.LEDGER_REMOVED
TRUNCATED, FORKED = ErrorCode.LEDGER_TRUNCATED, ErrorCode.LEDGER_FORKED
INVALID = ErrorCode.CHECKPOINT_INVALID
SIZE = 13


@pytest.fixture
def exported(sqlite_maker: DatabaseMaker, tmp_path: Path) -> tuple[Path, list[str]]:
    """An export of 13 entries and the checkpoints that were given out."""
    database = sqlite_maker()
    notes = build_history(database, 6, SIZE, pending=2)
    Ledger(database).sequence()
    assert Ledger(database).export(tmp_path / "export") == SIZE
    return tmp_path / "export", notes


def audit(folder: Path, external: str | None = None) -> LedgerReport:
    return verify_export(folder, PUBLIC, ORIGIN, external)


def codes(report: LedgerReport) -> set[ErrorCode]:
    return {finding.code for finding in report.findings}


def edit(folder: Path, name: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = folder / name
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def edit_all(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    for name in FILES:
        edit(folder, name, change)


def swap_lines(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[9], *lines[5:9], lines[4], *lines[10:]]


def test_an_export_is_intact_against_every_checkpoint_given_out(exported: tuple[Path, list[str]]) -> None:
    folder, notes = exported
    for external in (None, *notes):
        report = audit(folder, external)
        assert report.intact
        assert (report.size, report.checkpoints) == (SIZE, 1)
    assert (folder / CHECKPOINT).read_text() == notes[-1]


def test_an_export_from_postgresql_is_the_same_kind_of_folder(make_database: DatabaseMaker, tmp_path: Path) -> None:
    database = make_database()
    note = build_history(database, SIZE)[0]
    Ledger(database).export(tmp_path / "export")
    assert audit(tmp_path / "export", note).intact


def test_the_files_are_for_their_owner_alone_and_the_public_ones_name_nobody(
    exported: tuple[Path, list[str]],
) -> None:
    folder, _ = exported
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert b"officer-1" in (folder / EVENTS).read_bytes()
    assert b"officer-1" not in (folder / ENTRIES).read_bytes() + (folder / LEAVES).read_bytes()


def test_the_audit_needs_no_database_software() -> None:
    script = """
import sys, storage.ledger_export, storage.ledger_proof
server = {"sqlalchemy", "alembic", "sqlite3", "psycopg", "flask"}
sys.exit(", ".join({name.split(".")[0] for name in sys.modules} & server) or 0)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (
            lambda f: edit(f, EVENTS, lambda lines: [line.replace(b"officer-1", b"officer-9") for line in lines]),
            {EDITED},
        ),
        (lambda f: edit(f, EVENTS, lambda lines: [*lines[:3], lines[3].replace(b"{", b"{ ", 1), *lines[4:]]), {EDITED}),
        (lambda f: edit(f, EVENTS, swap_lines), {EDITED}),
        (lambda f: edit(f, EVENTS, lambda lines: lines[:-1]), {REMOVED}),
        (lambda f: edit(f, EVENTS, lambda lines: [*lines[:5], *lines[6:]]), {EDITED, REMOVED}),
        (lambda f: edit(f, EVENTS, lambda lines: []), {REMOVED}),
        (lambda f: edit(f, EVENTS, lambda lines: [b"x" * 3_000_000, *lines[1:]]), {EDITED, REMOVED}),
        (lambda f: edit(f, ENTRIES, swap_lines), {EDITED}),
        (lambda f: edit(f, ENTRIES, lambda lines: lines[:-1]), {REMOVED}),
        (lambda f: edit(f, LEAVES, swap_lines), {EDITED, FORKED}),
        (lambda f: edit(f, LEAVES, lambda lines: [line.upper() for line in lines]), {EDITED}),
        (lambda f: edit(f, LEAVES, lambda lines: lines[:-1]), {REMOVED}),
        (lambda f: edit(f, LEAVES, lambda lines: [*lines, lines[0]]), {REMOVED, EDITED}),
        (lambda f: edit_all(f, lambda lines: lines[:-1]), {TRUNCATED}),
        (lambda f: edit_all(f, lambda lines: lines[1:]), {TRUNCATED}),
        (lambda f: edit_all(f, swap_lines), {FORKED}),
        (lambda f: edit_all(f, lambda lines: [*lines, lines[0]]), {EDITED}),
        (lambda f: edit_all(f, lambda lines: []), {TRUNCATED}),
        (lambda f: edit(f, CHECKPOINT, lambda lines: []), {INVALID}),
        (lambda f: edit(f, CHECKPOINT, lambda lines: [lines[0], b"12\n", *lines[2:]]), {INVALID}),
        (lambda f: (f / CHECKPOINT).write_bytes(b"\xff" * 300_000), {INVALID}),
    ],
)
def test_each_change_to_the_files_is_found(
    attack: Callable[[Path], object], expected: set[ErrorCode], exported: tuple[Path, list[str]]
) -> None:
    folder, _ = exported
    attack(folder)
    found = codes(audit(folder))
    assert expected <= found <= expected | {EDITED, INVALID}


def test_an_older_export_put_in_place_of_the_newer_is_found_by_the_checkpoint(
    sqlite_maker: DatabaseMaker, tmp_path: Path
) -> None:
    database = sqlite_maker()
    build_history(database, 6)
    Ledger(database).export(tmp_path / "old")
    record(database, 6, 3)
    Ledger(database).sequence()
    today = Ledger(database).checkpoint(KEY, ORIGIN, NOW)
    assert audit(tmp_path / "old").intact
    assert codes(audit(tmp_path / "old", today)) == {TRUNCATED}


def test_an_export_signed_by_another_key_is_found(exported: tuple[Path, list[str]]) -> None:
    folder, _ = exported
    report = verify_export(folder, SealKey(b"\1" * 32).public_key(), ORIGIN, None)
    assert codes(report) == {INVALID}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_changed_octet_of_an_export_goes_unseen(exported: tuple[Path, list[str]], data: st.DataObject) -> None:
    folder, _ = exported
    path = folder / data.draw(st.sampled_from((*FILES, CHECKPOINT)))
    original = path.read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    if data.draw(st.booleans()):
        changed[place] ^= data.draw(st.integers(1, 255))
    else:
        del changed[place : place + data.draw(st.integers(1, 200))]
    path.write_bytes(changed)
    assert not audit(folder).intact
    path.write_bytes(original)


def test_a_missing_file_or_folder_is_unreadable(exported: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = exported
    (folder / LEAVES).unlink()
    for path in (folder, tmp_path / "none"):
        with pytest.raises(InvalidInput) as caught:
            audit(path)
        assert caught.value.code is ErrorCode.FILE_UNREADABLE


def test_an_export_never_overwrites_another(exported: tuple[Path, list[str]], sqlite_maker: DatabaseMaker) -> None:
    folder, notes = exported
    database = sqlite_maker()
    build_history(database, 2)
    with pytest.raises(Conflict):
        Ledger(database).export(folder)
    assert audit(folder, notes[-1]).intact


def test_an_export_that_cannot_be_written_leaves_nothing(sqlite_maker: DatabaseMaker, tmp_path: Path) -> None:
    database = sqlite_maker()
    with pytest.raises(Conflict):
        Ledger(database).export(tmp_path / "export")  # no checkpoint yet
    build_history(database, 5)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput) as caught:
        Ledger(database).export(tmp_path / "file" / "export")
    assert caught.value.code is ErrorCode.FILE_UNREADABLE
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / LEAVES).write_bytes(b"other work")
    with pytest.raises(Conflict):
        Ledger(database).export(partial)
    assert [path.name for path in partial.iterdir()] == [LEAVES]
    shutil.rmtree(partial)


@pytest.mark.parametrize("gone", [False, True])
def test_a_damaged_ledger_is_not_exported_as_if_it_were_whole(
    gone: bool, sqlite_maker: DatabaseMaker, tmp_path: Path
) -> None:
    database = sqlite_maker()
    build_history(database, 5)
    with Attacker.on(database) as attacker:
        if gone:
            attacker.execute(delete(ledger_leaves).where(ledger_leaves.c.seq == 4))
        else:
            attacker.execute(update(audit_events).where(audit_events.c.seq == 4).values(actor="nobody"))
    with pytest.raises(VerificationFailed) as caught:
        Ledger(database).export(tmp_path / "export")
    assert caught.value.code is (REMOVED if gone else EDITED)
    assert list((tmp_path / "export").iterdir()) == []
