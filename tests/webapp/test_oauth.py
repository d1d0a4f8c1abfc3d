from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient

from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, ServiceError, Unavailable, VerificationFailed
from tests.webapp.conftest import Client
from webapp.services import PEER_CERTIFICATE

FORM = {"grant_type": "client_credentials", "scope": "hix.submit"}


def refusing(error: ServiceError) -> Any:
    def token(form: Mapping[str, str], peer_certificate: bytes | None) -> NoReturn:
        raise error

    return token


@pytest.fixture
def tokens(client_of: Client) -> FlaskClient:
    def token(form: Mapping[str, str], peer_certificate: bytes | None) -> dict[str, Any]:
        return {"access_token": "a.b.c", "seen": dict(form), "peer": peer_certificate == b"der"}

    return client_of(token=token, oauth_metadata=lambda: {"issuer": "https://mohr.example"})


def test_the_form_and_the_connection_reach_the_endpoint(tokens: FlaskClient) -> None:
    answer = tokens.post("/oauth2/token", data=FORM, environ_overrides={PEER_CERTIFICATE: b"der"})
    assert answer.json == {"access_token": "a.b.c", "seen": FORM, "peer": True}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"


def test_metadata_may_be_kept_for_minutes(tokens: FlaskClient) -> None:
    answer = tokens.get("/.well-known/oauth-authorization-server")
    assert answer.json == {"issuer": "https://mohr.example"}
    assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (VerificationFailed(ErrorCode.ASSERTION_INVALID), 401, "invalid_client"),
        (VerificationFailed(ErrorCode.ASSERTION_REPLAYED), 401, "invalid_client"),
        (NotAllowed(ErrorCode.GATE_CLOSED), 403, "unauthorized_client"),
        (NotAllowed(ErrorCode.SCOPE_REFUSED), 400, "invalid_scope"),
        (InvalidInput(ErrorCode.INPUT_MALFORMED), 400, "invalid_request"),
        (Conflict(ErrorCode.CONFLICT), 409, "invalid_request"),
        (Unavailable(ErrorCode.HSM_UNAVAILABLE), 503, "temporarily_unavailable"),
        (ServiceError(ErrorCode.INTERNAL), 500, "server_error"),
    ],
)
def test_refusals_have_their_oauth_name_beside_our_code(
    client_of: Client, error: ServiceError, status: int, name: str
) -> None:
    answer = client_of(token=refusing(error)).post("/oauth2/token", data=FORM)
    assert answer.status_code == status
    assert answer.json is not None
    assert (answer.json["error"], answer.json["code"]) == (name, error.code)
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_parameter_may_not_appear_twice(tokens: FlaskClient) -> None:
    answer = tokens.post("/oauth2/token", data="scope=a&scope=b", content_type="application/x-www-form-urlencoded")
    assert answer.json is not None
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "", 415),
        (b"a=" + b"x" * 40_000, "application/x-www-form-urlencoded", 413),
        (b"\xff\xfe=%zz&&&=", "application/x-www-form-urlencoded", 200),
    ],
)
def test_odd_bodies_get_a_coded_answer(tokens: FlaskClient, body: bytes, content_type: str, status: int) -> None:
    answer = tokens.post("/oauth2/token", data=body, content_type=content_type)
    assert answer.status_code == status
    assert answer.json is not None


def test_a_deployment_without_tokens_is_silent(client: FlaskClient) -> None:
    assert client.post("/oauth2/token", data=FORM).status_code == 503
    assert client.get("/.well-known/oauth-authorization-server").status_code == 503
