"""The inventory at the command line: found, handed out, reminded of, counted, and never a national code."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pki.instants import format_instant
from tests.support.deployment import PHYSICIAN, LiveDeployment
from webapp.outbox import TOLD

pytestmark = pytest.mark.real
OFFICER = ("--officer", "officer-akbari")


@pytest.fixture(scope="module")
def serial(live: LiveDeployment, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate of the physician."""
    csr = tmp_path_factory.mktemp("inventory") / "csr"
    live.new_request(csr)
    issued = live.answer("ca", "issue", "--profile", "clin-sign", "--file", live.file_id, "--csr", csr)
    live.activate(live.file_id)
    return str(issued["serial"])


@pytest.mark.parametrize(
    "words",
    [
        ("--council-number", "۱۲۳۴۵"),
        ("--holder", "0000012343"),
        ("--profession", "physician", "--profile", "clin-sign"),
    ],
)
def test_a_person_is_found(words: tuple[str, ...], live: LiveDeployment, serial: str) -> None:
    found = live.answer("ca", "search", *words, *OFFICER, "--json")
    assert serial in [each["serial"] for each in found["certificates"]]
    assert str(PHYSICIAN["national_code"]) not in json.dumps(found)


def test_a_serial_number_is_found_by_its_beginning(live: LiveDeployment, serial: str) -> None:
    assert live.answer("ca", "search", "--serial-prefix", serial[:12], *OFFICER)["serial"] == serial


def test_a_page_says_where_the_next_begins(live: LiveDeployment, serial: str) -> None:
    first = live.answer("ca", "search", "--limit", "1", *OFFICER, "--json")
    assert first["next"] == first["certificates"][0]["serial"]
    rest = live.answer("ca", "search", "--limit", "1000", "--after", first["next"], *OFFICER, "--json")
    both = [each["serial"] for each in (*first["certificates"], *rest["certificates"])]
    assert serial in both
    assert len(set(both)) == len(both)


def test_a_table_is_handed_out_as_the_ledger_says(live: LiveDeployment, serial: str, tmp_path: Path) -> None:
    table = tmp_path / "physicians.csv"
    live.answerless("ca", "export", "--profession", "physician", "--format", "csv", "-o", table, *OFFICER)
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"), newline="")))
    assert serial in [row["serial"] for row in rows]
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    with closing(sqlite3.connect(live.deployment.database_file)) as database, database:
        query = "SELECT facts FROM audit_events WHERE action = 'inventory.exported' ORDER BY id DESC LIMIT 1"
        facts = json.loads(database.execute(query).fetchone()[0])
    assert (facts["certificates"], facts["sha256"]) == (len(rows), hashlib.sha256(table.read_bytes()).hexdigest())


def test_lines_go_to_standard_output(live: LiveDeployment, serial: str) -> None:
    ended = live.mohr("ca", "export", "--serial", serial, *OFFICER)
    assert [json.loads(line)["serial"] for line in ended.output.splitlines()] == [serial]


def test_counts_are_those_of_the_last_sweep(live: LiveDeployment, serial: str) -> None:
    counts = live.answer("ca", "statistics", "--now")["counts"]
    assert counts["profession"]["physician"] >= 1
    assert live.answer("ca", "statistics")["counts"] == counts
    assert serial


def test_a_reminder_is_listed_then_put_into_the_outbox_once(live: LiveDeployment, serial: str) -> None:
    end = datetime.now(UTC) + timedelta(days=5)
    with closing(sqlite3.connect(live.deployment.database_file)) as database, database:
        stored = end.strftime("%Y-%m-%d %H:%M:%S.000000")
        change = "UPDATE certificates SET not_before = ?, not_after = ? WHERE serial = ?"
        database.execute(change, ("2024-01-01 00:00:00.000000", stored, serial))
    due = live.answer("ca", "remind", "--due")
    assert (due["serial"], due["days"], due["file"]) == (serial, 7, live.file_id)
    assert live.answer("ca", "remind") == {"sent": 1}
    assert live.answer("ca", "remind") == {"sent": 0}
    notice = live.deployment.outbox / f"expiry-{serial}-7.json"
    assert stat.S_IMODE(notice.stat().st_mode) == 0o600
    said = json.loads(notice.read_text())
    assert (said["file"], said["days"], said["not_after"]) == (live.file_id, 7, format_instant(end))
    assert str(PHYSICIAN["national_code"]) not in notice.read_text()
    assert not (live.deployment.outbox / TOLD).exists()
