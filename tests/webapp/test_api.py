from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.issuer import CERTIFICATE, NOW, Issuer
from tests.webapp.conftest import Client, FixedClock
from webapp.app import create_app
from webapp.services import PEER_CERTIFICATE, Services


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def exchange(services: Services, issuer: Issuer) -> FlaskClient:
    access = issuer.decide
    return create_app(replace(services, access=access, clock=FixedClock(NOW))).test_client()


def call(client: FlaskClient, token: str, peer: object = CERTIFICATE, **headers: str) -> Any:
    return client.get(
        "/api/v1/hix/echo",
        headers={"Authorization": f"Bearer {token}", **{name.replace("_", "-"): v for name, v in headers.items()}},
        environ_overrides={PEER_CERTIFICATE: peer},
    )


def test_a_bound_token_on_its_own_connection_is_answered(exchange: FlaskClient, issuer: Issuer) -> None:
    answer = call(exchange, issuer.token())
    assert answer.status_code == 200
    assert answer.json["client_id"] == "hix-0123456789abcdef"
    assert answer.json["scopes"] == ["hix.dispense", "hix.submit"]
    assert answer.json["decision"]["decision"] == "accept"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("peer", [None, b"another certificate", "text from the process environment"])
def test_a_stolen_token_does_not_work_on_another_connection(
    exchange: FlaskClient, issuer: Issuer, peer: object
) -> None:
    answer = call(exchange, issuer.token(), peer)
    assert (answer.status_code, answer.json["code"]) == (401, "token-binding")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("header", ["Client_Cert", "X_Client_Cert", "X_SSL_Client_Cert", "Mohr.Peer_Certificate"])
def test_a_certificate_in_a_header_counts_for_nothing(exchange: FlaskClient, issuer: Issuer, header: str) -> None:
    value = base64.b64encode(CERTIFICATE).decode()
    assert call(exchange, issuer.token(), None, **{header: value}).json["code"] == "token-binding"


def test_an_expired_token_and_a_narrow_one_are_told_apart(exchange: FlaskClient, issuer: Issuer) -> None:
    expired = call(exchange, issuer.token(expires_at=NOW - timedelta(seconds=1)))
    assert (expired.status_code, expired.json["code"]) == (401, "token-expired")
    narrow = call(exchange, issuer.token(scopes=("hix.dispense",)))
    assert (narrow.status_code, narrow.json["code"]) == (403, "scope-refused")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer  ", "Basic YTpi", "Bearer not.a.token", "x"])
def test_without_a_token_the_door_is_shut(exchange: FlaskClient, authorization: str) -> None:
    answer = exchange.get(
        "/api/v1/hix/echo",
        headers={"Authorization": authorization} if authorization else {},
        environ_overrides={PEER_CERTIFICATE: CERTIFICATE},
    )
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["code"] == "token-invalid"


def test_without_a_gateway_the_door_is_silent(client_of: Client) -> None:
    assert call(client_of(), "x.y.z").status_code == 503


def test_the_api_answers_in_problem_documents(client: FlaskClient) -> None:
    for method, path, status, code in (
        ("GET", "/api/v1/none", 404, "not-found"),
        ("POST", "/api/v1//verify", 404, "not-found"),  # and no page that sends on
        ("GET", "/api/v1/verify", 405, "method-refused"),
        ("POST", "/healthz", 403, "cross-site-refused"),
    ):
        answer = client.open(path, method=method)
        assert answer.content_type == "application/problem+json; charset=utf-8"
        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (status, code)
    assert client.get("/api/v1/verify").headers["Allow"] == "OPTIONS, POST"
