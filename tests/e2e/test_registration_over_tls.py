"""A registration's whole way over real mutual TLS: drafted, proven, submitted, checked, approved; many; alarms."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ca.lint.findings import Severity
from ca.linting import repository
from ca.linting.verdicts import Alarm
from storage.engine import open_database
from tests.ca.world import CENTRE, CITIZEN, national_code
from tests.e2e.door import Door
from tests.support.deployment import PHYSICIAN, LiveDeployment
from tests.support.elsewhere import read_elsewhere

pytestmark = pytest.mark.real
PARSA, AKBARI, BAHRAMI = "clerk-parsa", "officer-akbari", "officer-bahrami"
FILES, BULK, ALARMS = "/api/v1/registrations", "/api/v1/bulk", "/api/v1/alarms"
SCAN = b"%PDF-1.7 a synthetic identity card"
DIGEST = hashlib.sha256(SCAN).hexdigest()


def put(door: Door, place: str, scan: Path, officer: str, media_type: str = "application/pdf") -> tuple[int, Any]:
    words = ("--request", "PUT", "--header", f"Content-Type: {media_type}", "--data-binary", f"@{scan}")
    return door.curl(place, *words, officer=officer)


def fetched(door: Door, place: str, officer: str, target: Path) -> str:
    """Get octets, not JSON, into a file; return the headers."""
    headers = target.with_suffix(".headers")
    door.curl_to(place, target, "--dump-header", str(headers), officer=officer)
    return headers.read_text().lower()


def test_a_file_goes_from_a_draft_with_its_scan_to_two_approvals(door: Door, tmp_path: Path) -> None:
    named = [{"what": "کارت ملی", "sha256": DIGEST}]
    status, draft = door.curl(f"{FILES}?draft=true", officer=PARSA, body={**PHYSICIAN, "evidence": named})
    assert (status, draft["state"], draft["evidence"]) == (201, "draft", named)
    file = f"{FILES}/{draft['id']}"
    scan = tmp_path / "card.pdf"
    scan.write_bytes(SCAN)
    place = f"{file}/evidence/{DIGEST}"
    assert put(door, place, scan, AKBARI)[1]["reason"] == "officer.no-role"
    assert put(door, place, scan, PARSA, "text/html")[1]["reason"] == "evidence.media-type"
    status, kept = put(door, place, scan, PARSA)
    assert (status, kept["octets"], kept["attached_by"]) == (200, len(SCAN), PARSA)
    scan.write_bytes(SCAN + b" changed")
    assert put(door, f"{file}/evidence/{'0' * 64}", scan, PARSA)[1]["reason"] == "evidence.not-named"
    assert put(door, place, scan, PARSA)[1]["reason"] == "evidence.digest-differs"

    assert door.curl(f"{file}/approvals", officer=AKBARI, body={})[1]["reason"] == "file.draft"
    assert door.curl(f"{file}/submission", officer=AKBARI, body={})[1]["reason"] == "file.of-another-officer"
    assert door.curl(f"{file}/submission", officer=PARSA, body={})[1]["state"] == "submitted"
    status, checked = door.curl(f"{file}/checks", officer=AKBARI, body={})
    assert (status, checked["state"], checked["evidence"][0]["media_type"]) == (200, "checked", "application/pdf")

    assert door.curl(place, officer=PARSA)[1]["reason"] == "officer.no-role"
    seen = tmp_path / "seen.pdf"
    headers = fetched(door, place, AKBARI, seen)
    assert seen.read_bytes() == SCAN
    assert "content-disposition: attachment" in headers
    assert "cache-control: no-store" in headers
    for officer, state in ((AKBARI, "checked"), (BAHRAMI, "approved")):
        said = {"silence_reason": "no registry is installed"}
        assert door.curl(f"{file}/approvals", officer=officer, body=said)[1]["state"] == state
    assert door.curl(f"{file}/withdrawal", officer=PARSA, body={})[1]["reason"] == "file.approved"
    shown = door.curl(file, officer=BAHRAMI)[1]
    listed = door.curl(f"{FILES}?state=approved", officer=AKBARI)[1]["registrations"]
    assert [one["kind"] for one in listed if one["id"] == draft["id"]] == ["clinician"]
    assert door.curl(f"{FILES}?state=lost", officer=AKBARI)[1]["reason"] == "request.query"
    assert PHYSICIAN["national_code"] not in json.dumps(shown)
    home = door.deployment.home
    assert SCAN not in read_elsewhere((home / "data").glob("mohr.db*"))
    assert (home / "secrets" / "evidence.key").stat().st_mode & 0o077 == 0


def test_a_withdrawn_file_comes_again_by_its_name(door: Door) -> None:
    _, first = door.curl(FILES, officer=PARSA, body=PHYSICIAN)
    again = f"{FILES}?previous={first['id']}"
    assert door.curl(again, officer=PARSA, body=PHYSICIAN)[1]["reason"] == "file.previous-open"
    assert door.curl(f"{FILES}/{first['id']}/withdrawal", officer=PARSA, body={})[1]["state"] == "withdrawn"
    status, second = door.curl(again, officer=PARSA, body=PHYSICIAN)
    assert (status, second["previous"]) == (201, first["id"])
    for query in ("draft=yes", "previous=a&previous=b", "drafts=true"):
        assert door.curl(f"{FILES}?{query}", officer=PARSA, body=PHYSICIAN)[1]["reason"] == "request.query"


def test_a_centre_s_secret_is_handed_out_by_who_may_issue(door: Door) -> None:
    _, file = door.curl(FILES, officer=PARSA, body=CENTRE)
    place = f"{FILES}/{file['id']}/est-secret"
    assert door.curl(place, officer=AKBARI, body={})[1]["reason"] == "officer.no-role"
    assert door.curl(place, officer=PARSA, body={"days": 31})[1]["code"] == "input-malformed"
    status, made = door.curl(place, officer=PARSA, body={"days": 2})
    assert (status, made["file"], len(made["secret"])) == (201, file["id"], 41)


def test_many_are_taken_told_of_and_approved(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    rows = [
        {**CITIZEN, "national_code": national_code(8001), "province": "فارس"},
        {**CITIZEN, "national_code": "0000000001"},
        {**CITIZEN, "national_code": national_code(8002)},
    ]
    file = tmp_path / "many.csv"
    with file.open("w", encoding="utf-8-sig", newline="") as opened:
        written = csv.DictWriter(opened, list(rows[0]))
        written.writeheader()
        written.writerows(rows)
    words = ("--header", "Content-Type: text/csv", "--data-binary", f"@{file}")
    assert door.curl(BULK, *words, officer=AKBARI)[1]["reason"] == "officer.no-role"
    assert door.curl(BULK, officer=PARSA, body=rows[0])[1]["code"] == "media-type-refused"
    status, job = door.curl(BULK, *words, officer=PARSA)
    assert (status, job["rows"], job["done"]) == (202, 3, 0)
    place = f"{BULK}/{job['id']}"
    assert door.curl(f"{place}/approvals", officer=AKBARI, body={})[1]["reason"] == "bulk.running"
    live.answer("ca", "bulk", file, "--officer", PARSA)  # as the worker does
    assert door.curl(f"{place}/approvals", officer=PARSA, body={})[1]["reason"] == "officer.submitted-it"
    for officer in (AKBARI, BAHRAMI):
        assert door.curl(f"{place}/approvals", officer=officer, body={})[0] == 202
    live.answer("ca", "bulk", file, "--officer", PARSA)
    status, told = door.curl(place, officer=BAHRAMI)
    assert (status, told["state"], told["approved"], told["refused"]) == (200, "finished", 2, 1)
    status, page = door.curl(f"{place}/rows?limit=2", officer=AKBARI)
    assert [(row["line"], row["state"], row["code"]) for row in page["rows"]] == [
        (1, "approved", None),
        (2, None, "identity-invalid"),
    ]
    status, rest = door.curl(f"{place}/rows?after={page['next']}&limit=2", officer=AKBARI)
    assert ([row["line"] for row in rest["rows"]], rest["next"]) == ([3], None)
    door.curl_to(f"{place}/results", tmp_path / "results.csv", officer=AKBARI)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as opened:
        table = list(csv.DictReader(opened))
    assert [(row["line"], row["file"], row["code"]) for row in table] == [
        (str(row["line"]), row["file"] or "", row["code"] or "") for row in (*page["rows"], *rest["rows"])
    ]
    assert door.curl(f"{place}/rows?limit=501", officer=AKBARI)[1]["reason"] == "request.query"
    assert door.curl(f"{BULK}/absent", officer=AKBARI)[1]["code"] == "not-found"


def test_an_alarm_is_closed_by_two_officers(door: Door, live: LiveDeployment) -> None:
    wish = door.folder / "alarming.csr"
    live.new_request(wish)
    serial = live.answer("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", wish)["serial"]
    alarm = Alarm(
        id="ab" * 10,
        serial_hex=serial,
        linter="a linter",
        linter_version="1",
        severity=Severity.ERROR,
        codes=("a.rule",),
        holds=False,
        raised_at=datetime.now(UTC),
        closed_at=None,
    )
    database = open_database(door.deployment.database_url(door.deployment.settings()))
    try:
        with database.begin() as unit:
            repository.add_alarm(unit.connection, alarm)
    finally:
        database.close()
    listed = door.curl(ALARMS, officer=PARSA)[1]["alarms"]
    assert [one["rules"] for one in listed if one["alarm"] == alarm.id] == [["a.rule"]]
    notes = f"{ALARMS}/{alarm.id}/notes"
    said = {"note": "the rule is wrong"}
    assert door.curl(notes, officer=PARSA, body=said)[1]["reason"] == "officer.no-role"
    assert door.curl(notes, officer=AKBARI, body={})[1]["code"] == "input-malformed"
    assert door.curl(notes, officer=AKBARI, body=said)[1]["closed_at"] is None
    assert door.curl(notes, officer=AKBARI, body=said)[1]["code"] == "four-eyes"
    status, closed = door.curl(notes, officer=BAHRAMI, body=said)
    assert (status, closed["officers"]) == (200, [AKBARI, BAHRAMI])
    assert closed["closed_at"] is not None
    assert door.curl(notes, officer=BAHRAMI, body=said)[1]["code"] == "state-illegal"
