"""What is handed out is what a search finds, no cell is a formula, and the event says exactly what went out."""

from __future__ import annotations

import csv
import io
import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.inventory import export as exporting
from ca.inventory.export import ExportDesk
from ca.inventory.search import COLUMNS, InventoryEntry, Search, entry_members
from ca.line_formats import LineFormat
from ca.status.revocation import CertificateState
from pki.audit import AuditAction
from pki.jose import json_object
from storage.engine import Database
from tests.ca.inventory.rows import insert_rows, make_rows
from tests.ca.inventory.test_desk import events_of
from tests.ca.world import FIRST, START, FakeClock
from tests.support.officers import EveryOfficer

_HOSTILE = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", 'a"b', "a,b", "علی")


@pytest.fixture
def rows(fresh: Database, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr(exporting, "SLICE", 7)
    rows = make_rows(3, 60)
    insert_rows(fresh, rows)
    return rows


@pytest.fixture
def desk(fresh: Database) -> ExportDesk:
    return ExportDesk(fresh, EveryOfficer(), FakeClock())


def last_event(database: Database) -> dict[str, Any]:
    (event,) = events_of(database, AuditAction.INVENTORY_EXPORTED)
    assert (event.actor, event.subject) == ("first", "certificates")
    return json_object(event.facts.encode())


def test_lines_of_json_are_what_a_search_finds(desk: ExportDesk, fresh: Database, rows: list[dict[str, Any]]) -> None:
    data = b"".join(desk.export(Search(profession="nurse"), FIRST, LineFormat.NDJSON))
    found = [json.loads(line) for line in data.splitlines()]
    assert [line["serial"] for line in found] == [row["serial"] for row in rows if row["profession"] == "nurse"][::-1]
    assert all(tuple(line) == COLUMNS for line in found)
    assert last_event(fresh) == {
        "asked": "profession",
        "format": "ndjson",
        "certificates": len(found),
        "sha256": sha256(data).hexdigest(),
        "complete": True,
    }
    assert len(events_of(fresh, AuditAction.INVENTORY_READ)) == 1


def test_a_table_has_a_head_and_the_same_certificates(desk: ExportDesk, rows: list[dict[str, Any]]) -> None:
    data = b"".join(desk.export(Search(), FIRST, LineFormat.CSV))
    head, *lines = csv.reader(io.StringIO(data.decode(), newline=""))
    assert tuple(head) == COLUMNS
    assert [line[0] for line in lines] == [row["serial"] for row in rows[::-1]]


def test_an_export_of_nothing_is_one_too(desk: ExportDesk, fresh: Database) -> None:
    assert b"".join(desk.export(Search(), FIRST, LineFormat.NDJSON)) == b""
    assert last_event(fresh)["certificates"] == 0


@pytest.mark.usefixtures("rows")
def test_a_receiver_that_goes_away_has_what_the_event_says(desk: ExportDesk, fresh: Database) -> None:
    pieces = desk.export(Search(), FIRST, LineFormat.NDJSON)
    taken = next(pieces) + next(pieces)
    pieces.close()
    found = last_event(fresh)
    assert (found["certificates"], found["complete"]) == (14, False)
    assert found["sha256"] == sha256(taken).hexdigest()


@pytest.mark.usefixtures("rows")
def test_who_begins_to_read_is_on_record_before_the_first_line(desk: ExportDesk, fresh: Database) -> None:
    pieces = desk.export(Search(), FIRST, LineFormat.CSV)
    assert events_of(fresh, AuditAction.INVENTORY_READ) == []
    next(pieces)
    assert len(events_of(fresh, AuditAction.INVENTORY_READ)) == 1
    assert events_of(fresh, AuditAction.INVENTORY_EXPORTED) == []


def entry(name: str) -> InventoryEntry:
    return InventoryEntry(
        serial="ab",
        state=CertificateState.GOOD,
        profile="hix-tls",
        issuer="institutions",
        name=name,
        file_id=None,
        licence=None,
        siam_id=name,
        profession=None,
        province=name,
        unapproved=False,
        not_before=START,
        not_after=START,
        issued_at=None,
        revoked_at=None,
        reason=None,
    )


def cells_of(name: str) -> list[str]:
    data = exporting._lines((entry(name),), LineFormat.CSV)
    (cells,) = csv.reader(io.StringIO(data.decode(), newline=""))
    return cells


@given(name=st.one_of(st.sampled_from(_HOSTILE), st.text(max_size=8)))
def test_no_cell_is_taken_for_a_formula_and_none_is_changed_but_by_an_apostrophe(name: str) -> None:
    cells = cells_of(name)
    assert not any(cell.strip(" ")[:1] in tuple("=+-@\t\r\n＝＋－＠") for cell in cells if cell.strip(" "))
    assert cells[4] in (name, f"'{name}")


def test_the_order_of_columns_is_that_of_the_members() -> None:
    assert tuple(entry_members(entry("a"))) == COLUMNS
