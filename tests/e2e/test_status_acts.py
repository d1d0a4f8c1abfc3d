"""Suspension by the holder, a date in the past by two officers, everything of a holder: by command, as people do it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from pki.instants import format_instant
from tests.ca.world import national_code
from tests.support.deployment import PHYSICIAN, LiveDeployment
from tests.support.programs import run_here
from webapp.cli import mohr

pytestmark = pytest.mark.real


@pytest.fixture
def holder(live: LiveDeployment, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Register a citizen of the test's own and activate a certificate; return file and serial number."""
    number = sum(request.node.name.encode())
    members = {"kind": "citizen", "national_code": national_code(number)}
    person = members | {name: PHYSICIAN[name] for name in ("given_name", "surname")}
    (tmp_path / "person.json").write_text(json.dumps(person, ensure_ascii=False), encoding="utf-8")
    file_id = str(live.answer("ca", "file", "submit", tmp_path / "person.json", "--officer", "clerk-parsa")["id"])
    for officer in ("officer-akbari", "officer-bahrami"):
        live.answer("ca", "file", "approve", file_id, "--officer", officer)
    live.new_request(tmp_path / "r.csr")
    order = ("--profile", "cit-sign", "--file", file_id, "--csr", tmp_path / "r.csr")
    serial = str(live.answer("ca", "issue", *order)["serial"])
    live.activate(file_id)
    return file_id, serial


def test_the_code_of_the_letter_suspends_and_an_officer_lifts(live: LiveDeployment, holder: tuple[str, str]) -> None:
    file_id, serial = holder
    made = live.answer("ca", "suspension-code", file_id, "--officer", "clerk-parsa")
    assert made["sent_at"] is not None
    letters = [json.loads(path.read_bytes()) for path in live.deployment.outbox.glob("suspension-*.json")]
    (code,) = [letter["code"] for letter in letters if letter["file"] == file_id]
    arguments = ("ca", "suspend", "--home", str(live.deployment.home))
    refused = run_here(mohr, *arguments, answers="0000-0000-0000-0000\n")
    assert (refused.status, refused.code) == (1, "suspension-refused")
    ended = run_here(mohr, *arguments, answers=f"{code}\n")
    assert ended.status == 0, ended.messages + ended.trace
    assert [one["serial"] for one in json.loads(ended.output)["suspended"]] == [serial]
    assert code not in ended.output + ended.messages
    assert live.answer("ca", "show", serial)["reason"] == "certificateHold"
    assert live.answer("ca", "unhold", serial, "--officer", "officer-akbari")["state"] == "good"


def test_a_date_in_the_past_waits_for_a_second_officer(
    live: LiveDeployment, holder: tuple[str, str], tmp_path: Path
) -> None:
    _file_id, serial = holder
    long_ago, since = datetime.now(UTC) - timedelta(days=2), format_instant(datetime.now(UTC) - timedelta(days=1))
    with closing(sqlite3.connect(live.deployment.database_file)) as rows, rows:
        rows.execute(
            "UPDATE certificates SET not_before = ? WHERE serial = ?", (f"{long_ago:%Y-%m-%d %H:%M:%S.%f}", serial)
        )
    evidence = tmp_path / "report.pdf"
    evidence.write_bytes(b"%PDF-1.7 a report")
    words = ("ca", "revoke", serial, "--reason", "key-compromise", "--invalidity-date", since, "--officer")
    assert live.mohr(*words, "officer-akbari").code == "input-malformed"  # no evidence
    said = live.answer(*words, "officer-akbari", "--evidence", evidence)
    assert (said["state"], said["reason"]) == ("on_hold", "certificateHold")
    listed = live.mohr("ca", "revocation", "list").output.splitlines()
    assert sha256(evidence.read_bytes()).hexdigest() in {
        one["evidence_sha256"] for one in map(json.loads, listed) if one["proposal"] == said["proposal"]
    }
    text = tmp_path / "report.txt"
    text.write_text("a report")
    assert live.mohr(*words, "officer-akbari", "--evidence", text).code == "input-format-unknown"
    seen = tmp_path / "seen.pdf"
    live.answer("ca", "revocation", "evidence", said["proposal"], "-o", seen, "--officer", "officer-bahrami")
    assert seen.read_bytes() == evidence.read_bytes()
    approve = ("ca", "revocation", "approve", said["proposal"], "--officer")
    assert live.mohr("ca", "unhold", serial, "--officer", "officer-bahrami").code == "state-illegal"
    assert live.mohr(*approve, "officer-akbari").code == "four-eyes"
    assert live.answer(*approve, "officer-bahrami")["decided_by"] == "officer-bahrami"
    assert live.answer("ca", "show", serial)["reason"] == "keyCompromise"
    refuse = ("ca", "revocation", "refuse", said["proposal"], "--why", "late", "--officer", "officer-bahrami")
    assert live.mohr(*refuse).code == "state-illegal"


def test_everything_of_a_holder_ends_at_once(live: LiveDeployment, holder: tuple[str, str]) -> None:
    file_id, serial = holder
    words = ("ca", "revoke-all", file_id, "--reason", "cessation-of-operation", "--whole-holder", "--officer")
    done = live.answer(*words, "officer-bahrami")
    assert [one["serial"] for one in done["revoked"]] == [serial]
    assert live.answer(*words, "officer-bahrami")["revoked"] == []
    assert live.answer("ca", "show", serial)["reason"] == "cessationOfOperation"
