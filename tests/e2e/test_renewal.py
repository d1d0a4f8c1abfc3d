"""Renewal, replacement and the services' own certificates: by command and over real mutual TLS."""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ca.own_certificates import LISTENER, OwnCertificate
from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate, load_certificates, pem
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.e2e.door import Door
from tests.support.deployment import LiveDeployment

pytestmark = pytest.mark.real
PATH = "/api/v1/certificates"
ISSUER = "clerk-parsa"


def new_csr(folder: Path) -> Path:
    file = folder / "new.csr"
    file.write_bytes(build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a wish"))
    return file


def issued(live: LiveDeployment, folder: Path, *, ends_in_days: int | None = None) -> str:
    """Issue a certificate; its row says that it ends soon, where that is wanted."""
    answer = live.answer("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", new_csr(folder))
    live.activate(live.file_id)
    if ends_in_days is not None:
        end = datetime.now(UTC) + timedelta(days=ends_in_days)
        with closing(sqlite3.connect(live.deployment.database_file)) as database, database:
            update = "UPDATE certificates SET not_after = ? WHERE serial = ?"
            database.execute(update, (f"{end:%Y-%m-%d %H:%M:%S.%f}", answer["serial"]))
    return str(answer["serial"])


def refusal(live: LiveDeployment, *arguments: str | Path) -> str:
    ended = live.mohr(*arguments)
    assert ended.status != 0
    return ended.messages


def test_a_certificate_is_renewed_by_command(live: LiveDeployment, tmp_path: Path) -> None:
    csr = new_csr(tmp_path)
    early = issued(live, tmp_path)
    assert "renewal-too-early" in refusal(live, "ca", "renew", early, "--csr", csr)
    old = issued(live, tmp_path, ends_in_days=20)
    made = live.answer("ca", "renew", old, "--csr", csr, "--officer", ISSUER)
    assert made["predecessor"] == old
    assert live.answer("ca", "show", old)["state"] == "good"
    assert "state-illegal" in refusal(live, "ca", "renew", old, "--csr", new_csr(tmp_path))


def test_whoever_is_no_issuer_renews_nothing(live: LiveDeployment, tmp_path: Path) -> None:
    old = issued(live, tmp_path, ends_in_days=20)
    wanted = ("ca", "renew", old, "--csr", new_csr(tmp_path), "--officer", "officer-akbari")
    assert "not-allowed" in refusal(live, *wanted)


def test_a_certificate_is_replaced_by_command_and_its_list_says_so(live: LiveDeployment, tmp_path: Path) -> None:
    old = issued(live, tmp_path)
    wanted = ("ca", "replace", old, "--csr", new_csr(tmp_path), "--reason", "key-compromise", "--idempotency-key", "k1")
    made = live.answer(*wanted)
    again = live.answer(*wanted)
    assert (made["repeated"], again["repeated"], again["serial"]) == (False, True, made["serial"])
    shown = live.answer("ca", "show", old)
    assert (shown["state"], shown["reason"]) == ("revoked", "keyCompromise")


def test_an_officer_replaces_and_renews_over_tls(door: Door, live: LiveDeployment, tmp_path: Path) -> None:
    def ask(serial: str, what: str, key: str, **more: str) -> tuple[int, Any]:
        body = {"csr": pem_of(new_csr(tmp_path)), **more}
        return door.curl(f"{PATH}/{serial}/{what}", "--header", f"Idempotency-Key: {key}", officer=ISSUER, body=body)

    old = issued(live, tmp_path, ends_in_days=20)
    status, renewed = ask(old, "renewal", "r-1")
    assert (status, renewed["repeated"]) == (201, False), renewed
    status, replaced = ask(renewed["serial"], "replacement", "r-2", reason="superseded")
    assert status == 201, replaced
    assert live.answer("ca", "show", renewed["serial"])["state"] == "revoked"
    live.activate(live.file_id)
    status, problem = ask(replaced["serial"], "renewal", "r-3")
    assert (status, problem["code"], problem["reason"]) == (409, "renewal-too-early", "renewal.too-early")
    status, problem = ask(replaced["serial"], "replacement", "r-4", reason="cessationOfOperation")
    assert (status, problem["code"]) == (400, "input-malformed"), problem


def pem_of(csr: Path) -> str:
    return base64.b64encode(csr.read_bytes()).decode()


def test_keys_of_services_are_made_by_the_operator_and_listed(live: LiveDeployment) -> None:
    listed = [json.loads(line) for line in live.mohr("ca", "renew-services", "--early").output.splitlines()]
    services = {one["service"]: one for one in listed}
    assert {"tsa", "service-seal", "ocsp-persons", "exchange"} <= services.keys()
    assert services["tsa"]["key_made"]
    assert not any(one["renewed"] for one in listed)
    assert not json.loads(live.mohr("ca", "renew-services", "--early").output.splitlines()[3])["key_made"]
    shown = load_certificates(live.deployment.tls_certificate.read_bytes())[0]
    assert services["exchange"]["serial"] == shown.serial_hex


def test_files_of_the_listener_are_put_right(live: LiveDeployment) -> None:
    clients = live.deployment.exchange_clients
    whole = clients.read_bytes()
    clients.write_text(pem(load_certificates(whole)[0].der))
    live.answerless("ca", "renew-services")
    assert clients.read_bytes() == whole


def test_the_listener_shows_its_new_certificate_and_drops_no_connection(
    door: Door, live: LiveDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_due(own: OwnCertificate) -> datetime:
        return datetime.min.replace(tzinfo=UTC) if own.name == LISTENER else datetime.max.replace(tzinfo=UTC)

    context = ssl.create_default_context(cafile=str(live.deployment.anchor))
    folder = live.deployment.officers / ISSUER
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")

    def connected() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(door.url.removeprefix("https://"), context=context, timeout=20)

    with closing(connected()) as before, closing(connected()) as after:
        first = shown_by(before)
        key = live.deployment.tls_key.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(OwnCertificate, "renews_from", property(is_due))
            patch.setattr(OwnCertificate, "needs_new_key", False)
            live.answerless("ca", "renew-services")
        second = shown_by(after)
        assert shown_by(before) == first
    assert live.deployment.tls_key.read_bytes() == key
    old, new = Certificate.parse(first), Certificate.parse(second)
    assert (new.spki_der, new.subject_der) == (old.spki_der, old.subject_der)
    assert new.serial != old.serial
    assert live.answer("ca", "show", new.serial_hex)["predecessor"] == old.serial_hex
    assert live.answer("ca", "show", old.serial_hex)["successor"] == new.serial_hex


def shown_by(connection: http.client.HTTPSConnection) -> bytes:
    """Ask over a connection that stays open; return the certificate that the listener showed there."""
    connection.request("GET", "/openapi.json")
    with connection.getresponse() as answer:
        assert answer.status == 200
        answer.read()
    assert isinstance(connection.sock, ssl.SSLSocket)
    return connection.sock.getpeercert(binary_form=True) or b""


def test_a_listener_s_foreign_certificate_is_the_deployer_s(live: LiveDeployment) -> None:
    shown = live.deployment.tls_certificate
    whole = shown.read_bytes()
    foreign = pem(load_certificates(live.deployment.anchor.read_bytes())[0].der)
    shown.write_text(foreign)
    try:
        live.answerless("ca", "renew-services")
        assert shown.read_text() == foreign
    finally:
        shown.write_bytes(whole)
