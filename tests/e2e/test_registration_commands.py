"""`mohr ca file` against registries in files: what is told, what is refused, what is kept."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hsm.soft import UnsafeSoftKey
from pki.certificates import pem
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.ca.registries.world import civil, council, write
from tests.ca.world import CITIZEN, file_json, national_code
from tests.support.deployment import PHYSICIAN, LiveDeployment

pytestmark = pytest.mark.real
CLERK, FIRST, SECOND = "clerk-parsa", "officer-akbari", "officer-bahrami"
KNOWN = {name: value for name, value in PHYSICIAN.items() if name != "kind"} | {"state": "ok", "reference": "m-1"}
PERSON = {name: PHYSICIAN[name] for name in ("national_code", "given_name", "surname")} | {"state": "ok"}


@pytest.fixture
def folder(live: LiveDeployment) -> Iterator[Path]:
    """Where the registries' files go; they are gone after the test."""
    folder = live.deployment.registry.parent
    yield folder
    for name in ("council.json", "civil.json"):
        (folder / name).unlink(missing_ok=True)


def submitted(live: LiveDeployment, tmp_path: Path, *more: str) -> dict[str, Any]:
    source = tmp_path / "physician.json"
    source.write_text(json.dumps({**PHYSICIAN, "province": "فارس"}, ensure_ascii=False), encoding="utf-8")
    return live.answer("ca", "file", "submit", source, "--officer", CLERK, *more)


def test_a_file_is_checked_when_it_is_submitted_and_shown_with_the_words(
    live: LiveDeployment, folder: Path, tmp_path: Path
) -> None:
    write(folder / "council.json", council(KNOWN))
    write(folder / "civil.json", civil(PERSON))
    file = submitted(live, tmp_path)
    assert (file["state"], file["kind"]) == ("checked", "clinician")
    shown = live.answer("ca", "file", "show", file["id"])
    assert {word["source"]: word["answer"] for word in shown["registries"]} == {"civil": "ok", "council": "ok"}
    assert (shown["province"], shown["submitted_by"], shown["approvals"]) == ("فارس", CLERK, [])
    assert PHYSICIAN["national_code"] not in json.dumps(shown)
    assert live.answer("ca", "file", "approve", file["id"], "--officer", FIRST)["state"] == "checked"
    assert live.answer("ca", "file", "approve", file["id"], "--officer", SECOND)["state"] == "approved"


def test_a_no_refuses_and_a_silence_wants_a_reason(live: LiveDeployment, folder: Path, tmp_path: Path) -> None:
    write(folder / "council.json", council({**KNOWN, "surname": "دیگری"}))
    (folder / "civil.json").write_bytes(b"half a file {")
    file_id = submitted(live, tmp_path)["id"]
    ended = live.mohr("ca", "file", "approve", file_id, "--officer", FIRST, "--accept-silence", "civil is down")
    assert "registry-refused" in ended.messages
    assert "surname" in ended.messages
    write(folder / "council.json", council(KNOWN))
    words = live.answer("ca", "file", "check", file_id, "--officer", FIRST)["registries"]
    assert [(word["source"], word["answer"], word.get("why")) for word in words] == [
        ("civil", "silent", "unreadable"),
        ("council", "ok", None),
    ]
    assert "registry-silent" in live.mohr("ca", "file", "approve", file_id, "--officer", FIRST).messages
    for officer in (FIRST, SECOND):
        live.answer("ca", "file", "approve", file_id, "--officer", officer, "--accept-silence", "civil is down")
    shown = live.answer("ca", "file", "show", file_id)
    assert shown["state"] == "approved"
    assert [given["silence_reason"] for given in shown["approvals"]] == ["civil is down"] * 2


def test_a_draft_is_presented_withdrawn_and_comes_again(live: LiveDeployment, folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "draft.json"
    source.write_text(json.dumps(PHYSICIAN, ensure_ascii=False), encoding="utf-8")
    draft = live.answer("ca", "file", "draft", source, "--officer", CLERK)
    assert draft["state"] == "draft"
    assert live.answer("ca", "file", "present", draft["id"], "--officer", CLERK)["state"] == "submitted"
    assert live.answer("ca", "file", "withdraw", draft["id"], "--officer", CLERK)["state"] == "withdrawn"
    again = submitted(live, tmp_path, "--previous", draft["id"])
    assert live.answer("ca", "file", "show", again["id"])["previous"] == draft["id"]


def test_a_bulk_file_is_entered_approved_and_told_row_by_row(
    live: LiveDeployment, folder: Path, tmp_path: Path
) -> None:
    codes = [national_code(number) for number in range(700_000_000, 700_000_003)]
    people = [{**CITIZEN, "national_code": code} for code in codes]
    write(folder / "civil.json", civil(*({**person, "state": "ok"} for person in map(_without_kind, people))))
    source = tmp_path / "people.jsonl"
    csr = pem(build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a wish"))
    wish = {"profile": "cit-sign", "csr": csr.replace("CERTIFICATE", "CERTIFICATE REQUEST")}
    people[0] |= wish
    source.write_bytes(b"\n".join([*map(file_json, people), b'{"kind": "citizen"}']))
    job = live.answer("ca", "bulk", source, "--officer", CLERK)
    assert (job["rows"], job["done"], job["refused"], job["state"]) == (4, 4, 1, "finished")
    assert live.answer("ca", "bulk", source, "--officer", CLERK)["id"] == job["id"]
    assert live.mohr("ca", "bulk-approve", job["id"], "--officer", CLERK).code == "four-eyes"
    for officer in (FIRST, SECOND):
        done = live.answer("ca", "bulk-approve", job["id"], "--officer", officer)
    assert done["approved"] == 3
    done = live.answer("ca", "bulk-issue", job["id"], "--officer", CLERK)
    assert done["issued"] == 1
    ended = live.mohr("ca", "bulk-status", job["id"], "--rows")
    status, *rows = map(json.loads, ended.output.splitlines())
    assert status == done
    assert [(row["line"], row["state"], row["code"]) for row in rows] == [
        (1, "approved", None),
        (2, "approved", None),
        (3, "approved", None),
        (4, None, "input-malformed"),
    ]
    assert live.answer("ca", "show", rows[0]["serial"])["profile"] == "cit-sign"
    assert not any(code in ended.output for code in codes)
    table = live.mohr("ca", "bulk-status", job["id"], "--rows", "--format", "csv").output
    assert [(row["line"], row["state"]) for row in csv.DictReader(io.StringIO(table))] == [
        (str(row["line"]), row["state"] or "") for row in rows
    ]
    shown = live.answer("ca", "file", "show", rows[0]["file"])
    assert [given["officer"] for given in shown["approvals"]] == [FIRST, SECOND]


def _without_kind(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name != "kind"}


def test_a_scan_is_brought_and_seen_by_command(live: LiveDeployment, tmp_path: Path) -> None:
    scan, seen, source = tmp_path / "card.png", tmp_path / "seen.png", tmp_path / "physician.json"
    scan.write_bytes(b"\x89PNG\r\n\x1a\n a synthetic card")
    digest = sha256(scan.read_bytes()).hexdigest()
    named = {**PHYSICIAN, "evidence": [{"what": "کارت ملی", "sha256": digest}]}
    source.write_text(json.dumps(named, ensure_ascii=False), encoding="utf-8")
    file_id = live.answer("ca", "file", "submit", source, "--officer", CLERK)["id"]
    kept = live.answer("ca", "file", "attach", file_id, scan, "--officer", CLERK)
    assert (kept["sha256"], kept["media_type"], kept["deleted_at"]) == (digest, "image/png", None)
    assert live.answer("ca", "file", "show", file_id)["evidence"][0]["octets"] == scan.stat().st_size
    look = ("ca", "file", "evidence", file_id, digest, "-o", str(seen), "--officer")
    assert live.mohr(*look, CLERK).status != 0
    assert not seen.exists()
    assert live.answer(*look, FIRST)["attached_by"] == CLERK
    assert seen.read_bytes() == scan.read_bytes()
    assert seen.stat().st_mode & 0o777 == 0o600
