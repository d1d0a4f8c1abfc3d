from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from flask.testing import FlaskClient

from ca.tokens.oauth_answers import OAuthError, OAuthResponse, RequestRefused
from pki.errors import ErrorCode
from tests.webapp.conftest import Client
from webapp.services import PEER_CERTIFICATE

FORM = "application/x-www-form-urlencoded"


def echo(form: Mapping[str, Sequence[str]], peer: bytes | None) -> OAuthResponse:
    return OAuthResponse(status=200, json={"seen": {k: list(v) for k, v in form.items()}, "peer": peer == b"der"})


@pytest.fixture(scope="module")
def tokens(client_of: Client) -> FlaskClient:
    def revoke(form: Mapping[str, Sequence[str]], peer: bytes | None) -> OAuthResponse:
        return OAuthResponse(status=200, json=None)

    return client_of(
        token=echo, introspection=echo, revocation=revoke, oauth_metadata=lambda: {"issuer": "https://mohr.example"}
    )


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/introspect"])
def test_the_form_and_the_connection_reach_the_endpoint(tokens: FlaskClient, path: str) -> None:
    answer = tokens.post(
        path, data="scope=a&scope=b&c=", content_type=FORM, environ_overrides={PEER_CERTIFICATE: b"der"}
    )
    assert answer.json == {"seen": {"scope": ["a", "b"], "c": [""]}, "peer": True}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"


def test_an_answer_without_members_has_no_body(tokens: FlaskClient) -> None:
    answer = tokens.post("/oauth2/revoke", data={"token": "x"})
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_refusal_keeps_its_status_and_its_word(client_of: Client) -> None:
    def token(form: Mapping[str, Sequence[str]], peer: bytes | None) -> OAuthResponse:
        return RequestRefused(OAuthError.INVALID_CLIENT, ErrorCode.ASSERTION_INVALID, "kept inside").response()

    answer = client_of(token=token).post("/oauth2/token", data={"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json) == (401, {"error": "invalid_client"})


def test_metadata_may_be_kept_for_minutes(tokens: FlaskClient) -> None:
    answer = tokens.get("/.well-known/oauth-authorization-server")
    assert answer.json == {"issuer": "https://mohr.example"}
    assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 400),
        (b"", "", 400),
        (b"a=" + b"x" * 70_000, FORM, 400),
        (b"\xff\xfe=%zz&&&=", FORM, 200),
    ],
)
def test_odd_bodies_get_a_coded_answer(tokens: FlaskClient, body: bytes, content_type: str, status: int) -> None:
    answer = tokens.post("/oauth2/token", data=body, content_type=content_type)
    assert answer.status_code == status
    assert answer.json is not None
    if status >= 400:
        assert answer.json == {"error": "invalid_request"}


def test_a_deployment_without_tokens_is_silent(client: FlaskClient) -> None:
    answer = client.post("/oauth2/token", data={"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json) == (503, {"error": "temporarily_unavailable"})
    assert answer.headers["Retry-After"]
    assert client.get("/.well-known/oauth-authorization-server").status_code == 503
