"""Certificates over HTTP: found, handed out as a stream, counted; identifiers are in bodies alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from ca.inventory.desk import InventoryDesk
from ca.inventory.export import ExportDesk
from ca.inventory.search import COLUMNS
from ca.inventory.statistics import StatisticsDesk
from ca.officers.identity import Officer
from pki.audit import AuditAction
from pki.errors import ErrorCode, NotAllowed
from storage.engine import Database, open_database
from storage.migrate import upgrade
from tests.ca.inventory.rows import HOLDERS, insert_rows, make_rows
from tests.ca.inventory.test_desk import events_of
from tests.support.officers import EveryOfficer
from tests.webapp.conftest import FixedClock
from webapp.app import create_app
from webapp.services import Services

SEARCH, EXPORT, STATISTICS = "/api/v1/certificates/search", "/api/v1/certificates/export", "/api/v1/statistics"
ROWS = make_rows(11, 80)


class Gate(EveryOfficer):
    """A gate for one officer, who may hand nothing out while `closed`."""

    closed = False

    def of_peer(self, certificate_der: bytes | None) -> Any:
        del certificate_der
        return Officer(id="akbari")

    def allow(self, *arguments: Any, **options: Any) -> None:
        if self.closed:
            raise NotAllowed(ErrorCode.NOT_ALLOWED, "", reason="officer.no-role")
        super().allow(*arguments, **options)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("routes") / "mohr.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    insert_rows(database, ROWS)
    yield database
    database.close()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def client(services: Services, database: Database, gate: Gate) -> FlaskClient:
    clock = FixedClock()
    desks: dict[str, Any] = {
        "inventory": InventoryDesk(database, gate, clock),
        "exports": ExportDesk(database, gate, clock),
        "statistics": StatisticsDesk(database, clock),
    }
    return create_app(replace(services, gate=gate, **desks)).test_client()


def test_a_search_is_answered_page_by_page(client: FlaskClient) -> None:
    found: list[str] = []
    after = None
    while True:
        answer = client.post(SEARCH, json={"profession": "nurse", "limit": 4, "after": after})
        assert answer.status_code == 200
        page: Any = answer.json
        assert all(tuple(each) == COLUMNS for each in page["certificates"])
        found += [each["serial"] for each in page["certificates"]]
        after = page["next"]
        if after is None:
            break
    assert found == [row["serial"] for row in ROWS if row["profession"] == "nurse"][::-1]


def test_a_holder_is_found_and_not_named(client: FlaskClient) -> None:
    answer = client.post(SEARCH, json={"holder": HOLDERS[0]})
    page: Any = answer.json
    assert len(page["certificates"]) == len([row for row in ROWS if row["holder"] == HOLDERS[0]]) > 0
    assert HOLDERS[0] not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "body", [{"nonsense": "a"}, {"limit": 0}, {"limit": 1001}, {"state": "dead"}, {"serial": "zz"}, {"after": "abcd"}]
)
def test_words_that_are_none_are_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    answer = client.post(SEARCH, json=body)
    assert (answer.status_code, answer.json and answer.json["code"]) == (400, "input-malformed")


def test_lines_are_streamed_and_recorded(client: FlaskClient, database: Database) -> None:
    before = len(events_of(database, AuditAction.INVENTORY_EXPORTED))
    answer = client.post(EXPORT, json={"province": "یزد"})
    assert answer.content_type == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.get_data().splitlines()]
    assert [line["serial"] for line in lines] == [row["serial"] for row in ROWS if row["province"] == "یزد"][::-1]
    assert len(events_of(database, AuditAction.INVENTORY_EXPORTED)) == before + 1


def test_a_table_is_streamed(client: FlaskClient) -> None:
    answer = client.post(EXPORT, json={"format": "csv"})
    assert answer.mimetype == "text/csv"
    lines = list(csv.reader(io.StringIO(answer.get_data(as_text=True), newline="")))
    assert len(lines) == len(ROWS) + 1


def test_an_export_of_nothing_is_empty(client: FlaskClient) -> None:
    answer = client.post(EXPORT, json={"holder": "nobody"})
    assert (answer.status_code, answer.get_data()) == (200, b"")


@pytest.mark.parametrize("path", [SEARCH, EXPORT])
def test_whoever_may_not_is_told_so_before_the_first_line(
    client: FlaskClient, gate: Gate, database: Database, path: str
) -> None:
    gate.closed = True
    before = len(events_of(database, AuditAction.INVENTORY_READ))
    answer = client.post(path, json={"profession": "nurse"})
    assert (answer.status_code, answer.json and answer.json["code"]) == (403, "not-allowed")
    assert len(events_of(database, AuditAction.INVENTORY_READ)) == before


def test_counts_are_those_of_the_last_sweep(client: FlaskClient, database: Database) -> None:
    StatisticsDesk(database, FixedClock()).sweep()
    counts: Any = client.get(STATISTICS).json
    assert counts["counts"]["profession"]["nurse"] == len([row for row in ROWS if row["profession"] == "nurse"])
