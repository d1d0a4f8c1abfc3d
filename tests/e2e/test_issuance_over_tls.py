"""Certificates ordered over real mutual TLS: gunicorn as `mohr serve` runs it, a custodian with SoftHSM2 behind."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import ssl
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate, load_certificates
from pki.csr import build_csr, parse_csr
from pki.errors import VerificationFailed
from pki.keys import SignatureAlgorithm
from tests.e2e.door import Door
from tests.support.deployment import LiveDeployment
from tests.support.programs import REPOSITORY
from webapp.bench.https_driver import await_listener, drive
from webapp.bench.issuing_http import orders_of

pytestmark = pytest.mark.real
PATH = "/api/v1/certificates"
NONCES = "/api/v1/csr-nonces"
ISSUER, OTHER = "clerk-parsa", "officer-akbari"


def new_wish() -> str:
    return base64.b64encode(build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a wish")).decode()


def order(live: LiveDeployment, **changes: Any) -> dict[str, Any]:
    return {"profile": "clin-auth", "file": live.file_id, "csr": new_wish()} | changes


def ask(door: Door, body: object, key: str, officer: str | None = ISSUER) -> tuple[int, Any]:
    return door.curl(PATH, "--header", f"Idempotency-Key: {key}", officer=officer, body=body)


def intents(live: LiveDeployment) -> int:
    with closing(sqlite3.connect(live.deployment.database_file)) as database, database:
        (count,) = database.execute("SELECT count(*) FROM certificates").fetchone()
    return int(count)


def test_an_officer_orders_a_certificate_and_asks_again(door: Door, live: LiveDeployment) -> None:
    wanted = order(live)
    status, made = ask(door, wanted, "first")
    assert (status, made["issuer"], made["repeated"]) == (201, "persons", False)
    certificate = load_certificates(made["pem"].encode())[0]
    assert certificate.serial_hex == made["serial"]
    assert certificate.spki_der == parse_csr(base64.b64decode(wanted["csr"])).spki_der
    assert ask(door, wanted, "first") == (200, made | {"repeated": True})
    status, problem = ask(door, order(live), "first")
    assert (status, problem["code"]) == (409, "idempotency-conflict")
    status, shown = door.curl(f"{PATH}/{made['serial']}", officer=OTHER)
    assert (status, shown["pem"], shown["file"]) == (200, made["pem"], live.file_id)
    assert "0000012343" not in json.dumps(shown)
    with closing(sqlite3.connect(live.deployment.database_file)) as database, database:
        query = "SELECT actor, action FROM audit_events WHERE subject = ? ORDER BY id"
        told = database.execute(query, (made["serial"],)).fetchall()
    assert {(ISSUER, "certificate.intended"), (ISSUER, "certificate.issued"), (OTHER, "inventory.read")} <= set(told)


def test_whoever_may_not_issue_gets_nothing(door: Door, live: LiveDeployment) -> None:
    before = intents(live)
    for officer, code, reason in (
        (OTHER, "not-allowed", "officer.no-role"),
        (None, "officer-unknown", "officer.no-certificate"),
    ):
        status, problem = ask(door, order(live), "other", officer)
        assert (status, problem["code"], problem["reason"]) == (401 if officer is None else 403, code, reason)
    assert door.curl(f"{PATH}/{'0' * 40}", officer=ISSUER)[1]["code"] == "not-found"
    assert intents(live) == before


def test_a_role_and_its_scope_hold_until_they_are_taken_away(door: Door, live: LiveDeployment) -> None:
    role = "/api/v1/officers/officer-akbari/roles"
    _, request = door.curl(role, officer=ISSUER, body={"role": "issuer", "realm": "ministry", "professions": ["nurse"]})
    door.curl(f"/api/v1/role-requests/{request['id']}/approvals", officer="officer-bahrami", body={})
    status, problem = ask(door, order(live), "scope", OTHER)
    assert (status, problem["code"], problem["reason"]) == (403, "scope-exceeded", "officer.out-of-profession")
    _, request = door.curl(role, officer=ISSUER, body={"role": "issuer", "realm": "ministry"})
    door.curl(f"/api/v1/role-requests/{request['id']}/approvals", officer="officer-bahrami", body={})
    assert ask(door, order(live), "scope", OTHER)[0] == 201
    taken = {"role": "issuer", "realm": "ministry"}
    assert door.curl(f"/api/v1/officers/{OTHER}/role-removals", officer=ISSUER, body=taken)[0] == 200
    assert ask(door, order(live), "scope 2", OTHER)[1]["reason"] == "officer.no-role"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"profile": ', 400, "json-malformed"),
        ('{"profile": "a", "profile": "b"}', 400, "json-malformed"),
        ("[]", 400, "input-malformed"),
        ("\x00\xff" * 40, 400, "json-malformed"),
        ("", 400, "input-empty"),
        ('{"csr": "' + "A" * 70_000 + '"}', 413, "input-too-large"),
    ],
)
def test_garbage_is_refused_by_its_form(door: Door, tmp_path: Path, body: str, status: int, code: str) -> None:
    sent = tmp_path / "body"
    sent.write_bytes(body.encode("latin-1"))
    words = (
        "--header",
        "Content-Type: application/json",
        "--header",
        "Idempotency-Key: g",
        "--data-binary",
        f"@{sent}",
    )
    answered, problem = door.curl(PATH, *words, officer=ISSUER)
    assert (answered, problem["code"]) == (status, code)


def test_a_batch_answers_each_order_in_its_place(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    orders = [order(live, key=f"batch {number}") for number in range(4)]
    orders[1]["file"] = "f" * 20
    orders[2]["csr"] = base64.b64encode(b"no request").decode()
    body = tmp_path / "orders.json"
    body.write_text(json.dumps({"orders": orders}))
    words = ("--header", "Content-Type: application/json", "--data-binary", f"@{body}")
    status, said = door.curl(f"{PATH}/batch", *words, officer=ISSUER)
    assert (status, [one["status"] for one in said["outcomes"]]) == (200, [201, 404, 400, 201])
    assert said["outcomes"][1]["problem"]["reason"] == "file.absent"
    again = door.curl(f"{PATH}/batch", *words, officer=ISSUER)[1]["outcomes"]
    assert [one["status"] for one in again] == [200, 404, 400, 200]
    assert again[3]["certificate"]["serial"] == said["outcomes"][3]["certificate"]["serial"]


def test_a_card_s_key_is_ordered_with_what_the_station_states(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    assert door.curl(NONCES, officer=OTHER, body={"file": live.file_id})[1]["reason"] == "officer.no-role"
    status, made = door.curl(NONCES, officer=ISSUER, body={"file": live.file_id})
    assert (status, made["file"]) == (201, live.file_id)
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    wish = base64.b64encode(build_csr(key, "a card's key", challenge=made["nonce"])).decode()
    stated = {"nonce": made["id"], "card": "0042-7731", "generated_on_card": True}
    status, problem = ask(door, order(live, csr=wish, key_proof=stated | {"generated_on_card": False}), "card")
    assert (status, problem["reason"]) == (400, "request.member-value")
    status, issued = ask(door, order(live, csr=wish, key_proof=stated), "card")
    assert (status, issued["repeated"]) == (201, False)
    assert ask(door, order(live, csr=wish, key_proof=stated), "card 2")[1]["reason"] == "csr.nonce-used"

    made = live.answer("ca", "nonce", live.file_id, "--officer", ISSUER)
    csr = tmp_path / "card.csr"
    csr.write_bytes(build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a", challenge=made["nonce"]))
    words = ("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", csr)
    serial = live.answer(*words, "--key-proof", made["id"], "0042-7732")["serial"]
    with closing(sqlite3.connect(live.deployment.database_file)) as database, database:
        found = database.execute("SELECT serial, card FROM key_proofs WHERE serial IS NOT NULL").fetchall()
    assert {(issued["serial"], "0042-7731"), (serial, "0042-7732")} <= set(found)


def test_connections_that_stay_open_order_one_after_the_other(door: Door, live: LiveDeployment) -> None:
    folder, place = live.deployment.officers / ISSUER, urlsplit(door.url)
    context = ssl.create_default_context(cafile=str(live.deployment.anchor))
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    address, orders = (str(place.hostname), int(place.port or 0)), orders_of(iter([live.file_id]), place.netloc)
    await_listener(address)
    driven = drive(address, context, iter(orders), connections=2, seconds=20, status=201)
    assert (driven.answers, len(driven.milliseconds)) == (1, 1)
    with pytest.raises(VerificationFailed):
        drive(address, context, iter(orders), connections=1, seconds=20, status=201)  # repeated: 200
    driven = drive(address, context, iter(orders * 3), connections=2, seconds=20, status=200)
    assert driven.answers == 3
    assert driven.percentile(0.5) <= driven.percentile(0.99)


def test_the_linter_is_heard_before_the_signature_when_that_is_asked(door: Door, live: LiveDeployment) -> None:
    status, made = ask(door, order(live, lint="before"), "linted")
    assert (status, made["repeated"]) == (201, False)


def test_what_the_page_says_to_do_is_done(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "issuance.md").read_text(encoding="utf-8")
    block = page.split("## One certificate", 1)[1].split("```sh\n", 1)[1].split("```", 1)[0]
    environment = {
        "PATH": os.environ["PATH"],
        "API": door.url + "/api/v1",
        "ANCHOR": str(live.deployment.anchor),
        "OFFICER": str(live.deployment.officers / ISSUER),
        "FILE": live.file_id,
    }
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, check=False, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr
    certificate: Certificate = load_certificates((tmp_path / "holder.pem").read_bytes())[0]
    assert json.loads(ended.stdout)["serial"] == certificate.serial_hex
