"""Officers work at a server: status changed by its routes, and commands carried out by `mohr ca … --server`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import select

from storage.ledger_tables import audit_events
from tests.e2e.door import Door
from tests.support.deployment import PHYSICIAN, LiveDeployment
from tests.support.programs import Ended, run_here
from webapp.cli import mohr
from webapp.compose import opened_database

pytestmark = pytest.mark.real
PARSA, AKBARI, BAHRAMI = "clerk-parsa", "officer-akbari", "officer-bahrami"


def issued(live: LiveDeployment, folder: Path) -> str:
    live.new_request(folder / "csr")
    wish = ("--profile", "clin-auth", "--file", live.file_id, "--csr", folder / "csr")
    serial = str(live.answer("ca", "issue", *wish)["serial"])
    live.activate(live.file_id)
    return serial


def actors(live: LiveDeployment, serial: str) -> list[tuple[str, str]]:
    wanted = select(audit_events.c.action, audit_events.c.actor).where(audit_events.c.subject == serial)
    with opened_database(live.deployment) as (database, _ledger), database.read() as connection:
        return [(row.action, row.actor) for row in connection.execute(wanted)]


def listed(live: LiveDeployment, serial: str) -> bool:
    """Whether any full list of the persons' authority names the certificate; a delta may name it as lifted."""
    files = (live.deployment.public / "crl" / "persons").glob("[0-9].crl")
    number = int(serial, 16)
    lists = [x509.load_der_x509_crl(file.read_bytes()) for file in files]
    return any(one.get_revoked_certificate_by_serial_number(number) is not None for one in lists)


def test_a_revoker_holds_releases_and_revokes(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    serial = issued(live, tmp_path)
    path = f"/api/v1/certificates/{serial}"
    status, problem = door.curl(f"{path}/hold", officer=PARSA, body={})
    assert (status, problem["code"], problem["reason"]) == (403, "not-allowed", "officer.no-role")
    status, held = door.curl(f"{path}/hold", officer=AKBARI, body={})
    assert (status, held["state"], held["reason"]) == (200, "on_hold", "certificateHold")
    assert isinstance(held["crl_number"], int)
    assert listed(live, serial)
    status, again = door.curl(f"{path}/hold", officer=BAHRAMI, body={})
    assert (status, again["state"], again["revoked_at"]) == (200, "on_hold", held["revoked_at"])
    assert door.curl(f"{path}/release", officer=BAHRAMI, body={})[1]["state"] == "good"
    assert not listed(live, serial)
    assert door.curl(f"{path}/release", officer=BAHRAMI, body={})[0] == 200
    status, problem = door.curl(f"{path}/release", officer=PARSA, body={})
    assert (status, problem["reason"]) == (403, "officer.no-role")
    gone = {"reason": "keyCompromise"}
    status, revoked = door.curl(f"{path}/revocation", officer=AKBARI, body=gone)
    assert (status, revoked["state"], revoked["reason"]) == (200, "revoked", "keyCompromise")
    assert door.curl(f"{path}/revocation", officer=AKBARI, body=gone)[1]["revoked_at"] == revoked["revoked_at"]
    status, problem = door.curl(f"{path}/revocation", officer=AKBARI, body={"reason": "superseded"})
    assert (status, problem["code"]) == (409, "state-illegal")
    assert door.curl(f"{path}/release", officer=AKBARI, body={})[0] == 409
    changes = {(what, who) for what, who in actors(live, serial) if what.startswith("certificate.")}
    assert changes >= {
        ("certificate.held", AKBARI),
        ("certificate.released", BAHRAMI),
        ("certificate.revoked", AKBARI),
    }


@pytest.mark.parametrize(
    ("act", "body", "code"),
    [
        ("00ff/revocation", {"reason": "nonsense"}, "input-malformed"),
        ("00ff/revocation", {"reason": "superseded", "invalidity_date": "tomorrow"}, "input-malformed"),
        ("00ff/revocation", {}, "input-malformed"),
        ("00ff/revocation", {"reason": "superseded"}, "not-found"),
        ("00ff/hold", {"reason": "a"}, "input-malformed"),
        ("00ff/hold", {}, "not-found"),
        ("zz/release", {}, "input-malformed"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_code(door: Door, act: str, body: object, code: str) -> None:
    status, problem = door.curl(f"/api/v1/certificates/{act}", officer=AKBARI, body=body)
    assert (status // 100, problem["code"]) == (4, code)


def there(door: Door, officer: str, *words: str | Path, home: Path | None = None) -> Ended:
    """Run a command against the server; without a home, by files alone."""
    place = door.deployment.officers / officer
    who: tuple[str | Path, ...] = ("--officer", officer, "--home", door.deployment.home)
    if home is not None:
        files = ("--officer-key", place / "key.pem", "--officer-cert", place / "certificate.pem")
        who = (*files, "--ca", door.deployment.anchor, "--home", home)
    return run_here(mohr, *map(str, (*words, "--server", door.url, *who)))


def test_a_command_does_the_same_by_a_server(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    live.new_request(tmp_path / "csr")
    order = ("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", tmp_path / "csr")
    ended = there(door, PARSA, *order, "-o", tmp_path / "cert.pem", "--idempotency-key", "k-1", home=nowhere)
    assert ended.status == 0, ended.messages
    made = json.loads(ended.output)
    assert (made["repeated"], made["pem"]) == (False, (tmp_path / "cert.pem").read_text())
    again = json.loads(there(door, PARSA, *order, "--idempotency-key", "k-1").output)
    assert (again["repeated"], again["serial"]) == (True, made["serial"])
    serial = made["serial"]
    live.activate(live.file_id)
    found = there(door, AKBARI, "ca", "search", "--serial", serial, "--json", home=nowhere)
    assert [one["serial"] for one in json.loads(found.output)["certificates"]] == [serial]
    assert json.loads(there(door, AKBARI, "ca", "hold", serial).output)["state"] == "on_hold"
    local = live.answer("ca", "unhold", serial)
    remote = json.loads(there(door, AKBARI, "ca", "hold", serial, home=nowhere).output)
    assert set(remote) == set(local)
    assert json.loads(there(door, BAHRAMI, "ca", "unhold", serial).output)["state"] == "good"
    live.new_request(tmp_path / "new.csr")
    successor = ("--csr", tmp_path / "new.csr", "--idempotency-key", "k-2")
    early = there(door, PARSA, "ca", "renew", serial, *successor, home=nowhere)
    assert (early.status, "renewal-too-early" in early.messages) == (1, True), early.messages
    gone = there(door, AKBARI, "ca", "revoke", serial, "--reason", "key-compromise", home=nowhere)
    assert json.loads(gone.output)["reason"] == "keyCompromise"
    made = json.loads(there(door, PARSA, *order[:-1], tmp_path / "new.csr", home=nowhere).output)
    live.new_request(tmp_path / "third.csr")
    lost = ("--reason", "superseded", "--csr", tmp_path / "third.csr")
    replaced = json.loads(there(door, PARSA, "ca", "replace", made["serial"], *lost, home=nowhere).output)
    assert (replaced["predecessor"], replaced["repeated"]) == (made["serial"], False)
    assert live.answer("ca", "show", made["serial"])["state"] == "revoked"
    nonce = there(door, PARSA, "ca", "nonce", live.file_id, home=nowhere)
    assert set(json.loads(nonce.output)) == {"id", "nonce", "file", "expires_at"}
    assert not nowhere.exists()


def test_a_file_goes_through_four_eyes_by_a_server(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    (tmp_path / "person.json").write_text(json.dumps(PHYSICIAN, ensure_ascii=False), encoding="utf-8")

    def asked(officer: str, *words: str | Path) -> dict[str, object]:
        ended = there(door, officer, "ca", "file", *words, home=tmp_path / "nowhere")
        assert ended.status == 0, ended.messages
        members: dict[str, object] = json.loads(ended.output)
        return members

    draft = asked(PARSA, "draft", tmp_path / "person.json")
    file_id = str(draft["id"])
    assert (draft["state"], set(draft)) == ("draft", {"id", "state", "kind"})
    asked(PARSA, "present", file_id)
    assert set(asked(AKBARI, "check", file_id)) == {"id", "state", "kind", "registries"}
    own = there(door, PARSA, "ca", "file", "approve", file_id)
    assert (own.status, own.messages) == (1, live.mohr("ca", "file", "approve", file_id, "--officer", PARSA).messages)
    asked(AKBARI, "approve", file_id)
    assert asked(BAHRAMI, "approve", file_id)["state"] == "approved"
    shown = asked(BAHRAMI, "show", file_id)
    assert shown == live.answer("ca", "file", "show", file_id)
    other = str(asked(PARSA, "submit", tmp_path / "person.json")["id"])
    assert asked(AKBARI, "refuse", other, "--reason", "twice")["state"] == "refused"
    third = asked(PARSA, "submit", tmp_path / "person.json", "--previous", other)
    assert asked(PARSA, "withdraw", str(third["id"]))["state"] == "withdrawn"


def test_roles_and_realms_are_given_by_a_server(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    new = {"id": "officer-served", "name": "نیکان نمونه", "realm": "ministry"}
    (tmp_path / "new.json").write_text(json.dumps(new, ensure_ascii=False), encoding="utf-8")

    def asked(officer: str, *words: str | Path) -> dict[str, object]:
        ended = there(door, officer, "ca", *words)
        assert ended.status == 0, ended.messages
        members: dict[str, object] = json.loads(ended.output.splitlines()[-1])
        return members

    assert asked(PARSA, "officer", "enrol", tmp_path / "new.json")["state"] == "active"
    scope = ("--realm", "ministry", "--profession", "nurse", "--province", "تهران")
    request = asked(PARSA, "officer", "role", "request", "officer-served", "--role", "registrar", *scope)
    assert request["professions"] == ["nurse"]
    assert asked(AKBARI, "officer", "role", "list")["officer"] == "officer-served"
    assert asked(AKBARI, "officer", "role", "approve", str(request["id"]))["state"] == "granted"
    role = ("officer-served", "--role", "registrar", "--realm", "ministry")
    assert asked(AKBARI, "officer", "role", "remove", *role)["roles"] == []
    assert asked(AKBARI, "officer", "suspend", "officer-served", "--reason", "on leave")["state"] == "suspended"
    assert asked(AKBARI, "officer", "restore", "officer-served")["state"] == "active"
    realm = ("served", "--parent", "ministry", "--level", "university", "--name", "دانشگاه آزمایشی")
    assert asked(PARSA, "realm", "add", *realm)["id"] == "served"
    assert "served" in there(door, PARSA, "ca", "realm", "list").output
    assert there(door, PARSA, "ca", "officer", "list").output == live.mohr("ca", "officer", "list").output


def test_a_refusal_by_a_server_ends_as_the_refusal_here(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    serial = issued(live, tmp_path)
    for officer, words in (
        (PARSA, ("ca", "hold", serial)),
        (AKBARI, ("ca", "hold", "00ff")),
        (AKBARI, ("ca", "unhold", "zz")),
        (AKBARI, ("ca", "revoke", serial, "--reason", "nonsense")),
        (AKBARI, ("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", str(tmp_path / "csr"))),
    ):
        remote, local = there(door, officer, *words), live.mohr(*words, "--officer", officer)
        assert (remote.status, remote.messages) == (local.status, local.messages), words
        assert remote.status == 1


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (("--server", "http://127.0.0.1:1"), "input-malformed", 1),
        (("--server", "https://127.0.0.1:1"), "unavailable", 2),
        (("--server", "nonsense"), "input-malformed", 1),
        (("--server", "https://127.0.0.1:1", "--ca", "absent"), "file-unreadable", 1),
        (("--ca", "absent"), "usage", 3),
    ],
)
def test_a_wrong_address_is_told(live: LiveDeployment, words: tuple[str, ...], code: str, status: int) -> None:
    ended = live.mohr("ca", "hold", "00ff", "--officer", AKBARI, *words)
    assert (ended.status, code in ended.messages) == (status, True), ended.messages


def test_with_a_server_an_officer_is_always_named(live: LiveDeployment) -> None:
    ended = live.mohr("ca", "hold", "00ff", "--server", "https://127.0.0.1:1")
    assert (ended.status, "name the --officer" in ended.messages) == (3, True)


def test_a_server_of_another_authority_is_told_nothing(door: Door, live: LiveDeployment) -> None:
    own = live.deployment.officers / AKBARI / "certificate.pem"
    ended = live.mohr("ca", "hold", "00ff", "--officer", AKBARI, "--server", door.url, "--ca", own)
    assert (ended.status, "verification-failed" in ended.messages) == (1, True), ended.messages
