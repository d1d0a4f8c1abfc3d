"""What stands before every route of officers; what they do is tried over real TLS in tests/e2e."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from ca.officers.identity import Officer
from pki.errors import ErrorCode, NotAllowed, NotFound
from tests.support.officers import EveryOfficer
from tests.webapp.conftest import ORIGIN
from webapp.app import create_app
from webapp.services import PEER_CERTIFICATE, Services

PEER = b"the officer's certificate"
SUSPENDED = b"a suspended officer's certificate"


class Gate(EveryOfficer):
    def of_peer(self, certificate_der: bytes | None) -> Any:
        if certificate_der is None:
            raise NotAllowed(ErrorCode.OFFICER_UNKNOWN, reason="officer.no-certificate")
        if certificate_der == SUSPENDED:
            raise NotAllowed(ErrorCode.OFFICER_SUSPENDED, reason="officer.suspended")
        return Officer(id="akbari")


class Desk:
    """A desk where nothing is found: whoever hears so came through the door."""

    def __getattr__(self, name: str) -> Any:
        def nothing(*_arguments: object, **_options: object) -> None:
            raise NotFound(ErrorCode.NOT_FOUND, name)

        return nothing


@pytest.fixture(scope="module")
def client(services: Services) -> FlaskClient:
    desk: Any = Desk()
    inventory = dict.fromkeys(("inventory", "exports", "statistics", "evidence", "secrets", "bulk", "linting"), desk)
    return create_app(replace(services, gate=Gate(), registrations=desk, officers=desk, **inventory)).test_client()


def officer_operations(client: FlaskClient) -> list[tuple[str, str]]:
    document: Any = client.get("/openapi.json").json
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation["security"] == [{"officerCertificate": []}]
    ]


def send(client: FlaskClient, method: str, path: str, peer: bytes | None = PEER, **options: Any) -> Any:
    return client.open(path, method=method, environ_overrides={PEER_CERTIFICATE: peer}, **options)


def test_no_route_of_officers_answers_without_a_certificate(client: FlaskClient) -> None:
    operations = officer_operations(client)
    assert len(operations) >= 16
    for method, path in operations:
        answer = send(client, method, path, None, json={})
        assert (answer.status_code, answer.json["code"]) == (401, "officer-unknown"), path
        assert answer.json["reason"] == "officer.no-certificate"
        answer = send(client, method, path, SUSPENDED, json={})
        assert (answer.status_code, answer.json["code"]) == (403, "officer-suspended"), path


def test_without_a_gate_no_route_of_officers_answers(services: Services) -> None:
    closed = create_app(services).test_client()
    for method, path in officer_operations(closed):
        assert send(closed, method, path, json={}).status_code == 503


@pytest.mark.parametrize("media_type", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_what_a_page_of_another_site_can_send_changes_nothing(client: FlaskClient, media_type: str) -> None:
    for method, path in officer_operations(client):
        if method != "GET":
            answer = send(client, method, path, data=b"{}", content_type=media_type)
            assert (answer.status_code, answer.json["code"]) == (415, "media-type-refused"), path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),
        ({"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, 404),
        ({"Sec-Fetch-Site": "same-origin"}, 404),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://elsewhere.example"}, 403),
    ],
)
def test_a_browser_that_comes_from_elsewhere_changes_nothing(
    client: FlaskClient, headers: dict[str, str], status: int
) -> None:
    answer = send(client, "POST", "/api/v1/registrations/f1/approvals", json={}, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json["code"] == "cross-site-refused"


def test_a_program_without_a_certificate_is_not_asked_where_it_comes_from(client: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = send(client, "POST", "/api/v1/verify", None, data=b"", headers=headers)
    assert answer.json["code"] == "input-empty"


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b'{"reason": "a", "reason": "b"}', "json-malformed", None),
        (b'{"reason": "a", "more": 1}', "input-malformed", "request.unknown-member"),
        (b'{"reason": 1}', "input-malformed", "request.member-type"),
        (b'{"reason": ""}', "input-malformed", "request.member-length"),
        (b"{}", "input-malformed", "request.member-missing"),
        (b"[]", "input-malformed", "request.member-type"),
        (b"", "length-required", None),
        (b"{", "json-malformed", None),
        (b'{"reason": "' + b"x" * 65536 + b'"}', "input-too-large", "request.too-large"),
    ],
)
def test_a_body_is_read_strictly_and_never_repeated(
    client: FlaskClient, body: bytes, code: str, reason: str | None
) -> None:
    answer = send(
        client, "POST", "/api/v1/registrations/f1/refusal", data=body, content_type="application/json; charset=utf-8"
    )
    assert (answer.json["code"], answer.json.get("reason")) == (code, reason)
    assert "more" not in answer.json.get("detail", "")
