"""Introspection, revocation, floods and parts that are down (numbers: threat table of connection tokens)."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.tokens.client_authentication import MAX_FORM_CHARACTERS
from ca.tokens.oauth import OAuthServer
from ca.tokens.oauth_answers import OAuthResponse
from hsm.errors import HsmUnavailable
from hsm.soft import UnsafeSoftKey
from pki.compact_jws import TokenReason
from pki.errors import ErrorCode, Unavailable
from pki.jose import b64url
from pki.keys import SignatureAlgorithm, SigningKey
from tests.ca.tokens.oauth_expectations import last_event, pharmacy_of, refused, terminate
from tests.support.exchange import (
    CLINIC,
    CLINIC_SYSTEM,
    FIRST,
    ISSUER,
    Centre,
    Exchange,
)

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

# -- 12, 17: introspection and revocation ------------------------------------------------------------


def introspect(centre: Centre, token: str) -> OAuthResponse:
    return centre.exchange.service.oauth.introspection_endpoint(centre.form(token=token), None)


def test_a_client_learns_of_its_own_token_everything_and_of_others_nothing(exchange: Exchange, clinic: Centre) -> None:
    token, pharmacy = clinic.access_token(), pharmacy_of(exchange)
    own = introspect(clinic, token).json
    assert own is not None
    assert own["active"] is True
    assert own["cnf"] == {"x5t#S256": b64url(clinic.certificate.sha256)}
    for other in (token, "nonsense", "", pharmacy.assertion()):
        assert introspect(pharmacy, other).json == {"active": False}


def test_introspection_needs_a_proven_caller(exchange: Exchange, clinic: Centre) -> None:
    form = clinic.form(token=clinic.access_token(), client_assertion="x")
    refused(exchange.service.oauth.introspection_endpoint(form, None), 401, "invalid_client")
    replayed = clinic.form(clinic.assertion(jti="once"), token="x")
    assert exchange.service.oauth.introspection_endpoint(replayed, None).status == 200
    refused(exchange.service.oauth.introspection_endpoint(replayed, None), 401, "invalid_client")
    refused(exchange.service.oauth.revocation_endpoint(replayed, None), 401, "invalid_client")


def _suspend(exchange: Exchange, centre: Centre) -> None:
    exchange.service.suspend(centre.client_id, FIRST, "test")


def _fail_a_light(exchange: Exchange, _centre: Centre) -> None:
    exchange.say(CLINIC, CLINIC_SYSTEM, state="failed")
    exchange.service.sweep()


@pytest.mark.parametrize("act", [_suspend, _fail_a_light, terminate])
def test_a_token_of_a_suspended_centre_is_refused_where_the_issuer_is_asked(
    exchange: Exchange, clinic: Centre, act: Callable[[Exchange, Centre], None]
) -> None:
    token = clinic.access_token()
    act(exchange, clinic)
    assert exchange.service.oauth.check_access(token, clinic.certificate.der).reasons == (TokenReason.REVOKED,)
    assert exchange.gateway(token, clinic.certificate.der).accepted  # offline, until the token's end


def test_a_revoked_token_is_denied_and_another_is_not(exchange: Exchange, clinic: Centre) -> None:
    token, other, pharmacy = clinic.access_token(), clinic.access_token(), pharmacy_of(exchange)
    for caller, named in ((pharmacy, token), (clinic, "nonsense"), (clinic, token)):
        answer = exchange.service.oauth.revocation_endpoint(caller.form(token=named), None)
        assert (answer.status, answer.json) == (200, None)
        denied = caller is clinic and named == token
        assert (introspect(clinic, token).json == {"active": False}) == denied
    assert exchange.service.oauth.check_access(token, clinic.certificate.der).reasons == (TokenReason.REVOKED,)
    assert exchange.service.oauth.check_access(other, clinic.certificate.der).accepted
    assert [action for action, _facts in exchange.events()].count("access-token.revoked") == 1


def test_an_expired_token_is_inactive(exchange: Exchange, clinic: Centre) -> None:
    token = clinic.access_token()
    exchange.clock.move(timedelta(minutes=10))
    assert introspect(clinic, token).json == {"active": False}


# -- 18: floods --------------------------------------------------------------------------------------


def test_a_flood_of_one_centre_is_slowed_down_and_others_are_not(exchange: Exchange) -> None:
    exchange.settings = replace(exchange.settings, burst=2, requests_per_minute=6)
    flooding, other = exchange.centre(), pharmacy_of(exchange)
    assert [flooding.ask().status for _ in range(2)] == [200, 200]
    slowed = [flooding.ask() for _ in range(3)]
    assert {answer.status for answer in slowed} == {429}
    assert slowed[0].headers["Retry-After"] == "10"
    assert other.ask().status == 200
    reasons = [facts.get("reason") for _action, facts in exchange.events(flooding.client_id)]
    assert reasons.count("rate-limited") == 1
    exchange.clock.move(10 * SECOND)
    assert flooding.ask().status == 200


def test_forged_assertions_do_not_use_up_what_the_victim_may_ask(exchange: Exchange) -> None:
    exchange.settings = replace(exchange.settings, burst=1)
    clinic, stranger = exchange.centre(), UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    assert {clinic.ask(clinic.assertion(key=stranger)).status for _ in range(5)} == {401}
    assert clinic.ask().status == 200


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": ["client_credentials"], "padding": ["x" * MAX_FORM_CHARACTERS]},
        {f"p{n}": ["x"] for n in range(17)},
        {"grant_type": ["x"] * 10_000},
        {"grant_type": []},
        {},
    ],
    ids=["huge", "many", "repeated", "none", "empty"],
)
def test_a_form_out_of_measure_is_refused_before_any_cryptography(
    exchange: Exchange, form: dict[str, list[str]]
) -> None:
    refused(exchange.service.oauth.token_endpoint(form, None), 400, "invalid_request")


# -- parts that are down -----------------------------------------------------------------------------


class _DeviceThatFails:
    """The service's keys, whose device stops answering when it is to sign."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return self._key.algorithm

    def public_key(self) -> Any:
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        raise HsmUnavailable("test")


def test_a_device_that_does_not_answer_is_503_and_is_told_to_the_ledger(
    exchange: Exchange, clinic: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = exchange.keys.signing_key
    monkeypatch.setattr(type(exchange.keys), "signing_key", lambda _self, label: _DeviceThatFails(opened(label)))
    answer = clinic.ask()
    assert refused(answer, 503, "temporarily_unavailable")["reason"] == "signing-failed"
    assert answer.headers["Retry-After"] == "5"
    (granted, first), (refusal, second) = exchange.events(clinic.client_id)[-2:]
    assert (granted, refusal) == ("access-token.issued", "access-token.refused")
    assert first["jti"] == second["jti"]


def test_a_device_that_is_away_altogether_is_503_and_is_told_to_the_ledger(
    exchange: Exchange, clinic: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_keys: object, _label: str) -> SigningKey:
        raise HsmUnavailable("test")

    form = clinic.form()
    monkeypatch.setattr(type(exchange.keys), "signing_key", away)
    answer = exchange.node().service.oauth.token_endpoint(form, None)
    assert refused(answer, 503, "temporarily_unavailable") == {"error": "temporarily_unavailable"}
    assert last_event(exchange)[1]["reason"] == "signing-failed"


def test_a_database_that_is_none_is_503(exchange: Exchange, clinic: Centre, tmp_path: Path) -> None:
    form = clinic.form()
    (tmp_path / "broken.db").write_bytes(b"no database" * 500)
    broken = Exchange(folder=tmp_path, url=f"sqlite:///{tmp_path / 'broken.db'}", keys=exchange.keys)
    answer = broken.service.oauth.token_endpoint(form, None)
    assert refused(answer, 503, "temporarily_unavailable") == {"error": "temporarily_unavailable"}
    broken.database.close()


# -- whatever comes ----------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["grant_type", "client_id", "client_assertion", "client_assertion_type", "scope", "resource", "token"]
        ),
        st.lists(st.text(max_size=30), max_size=2),
    )
)
def test_whatever_form_comes_gets_an_oauth_answer(
    exchange: Exchange, clinic: Centre, changes: dict[str, list[str]]
) -> None:
    answer = exchange.service.oauth.token_endpoint({**clinic.form(), **changes}, None)
    assert answer.status in (200, 400, 401)
    assert json.dumps(dict(answer.json or {}))


def test_no_event_holds_an_assertion(exchange: Exchange, clinic: Centre) -> None:
    assertion = clinic.assertion(aud="https://evil.example")
    clinic.ask(assertion)
    kept = json.dumps(exchange.events())
    assert all(part not in kept for part in assertion.split("."))
    assert "evil.example" not in kept


def test_the_metadata_names_the_issuer_the_endpoints_and_the_binding(exchange: Exchange) -> None:
    found = exchange.service.oauth.metadata()
    assert found["issuer"] == ISSUER
    assert found["token_endpoint"] == f"{ISSUER}/oauth2/token"
    assert found["jwks_uri"] == f"{ISSUER}/oauth2/jwks"
    assert found["tls_client_certificate_bound_access_tokens"] is True
    assert found["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert found["mtls_endpoint_aliases"]["token_endpoint"] == "https://exchange.example:8443/oauth2/token"
    assert json.loads(json.dumps(found)) == found


# -- the clock ---------------------------------------------------------------------------------------


class SuspectClock:
    """A clock that is not believed."""

    def now(self) -> datetime:
        raise Unavailable(ErrorCode.CLOCK_SUSPECT)


def test_a_clock_that_is_not_believed_dates_no_token_and_uses_up_no_assertion(
    exchange: Exchange, clinic: Centre
) -> None:
    form, before = clinic.form(clinic.assertion()), len(exchange.events())
    suspect = OAuthServer(exchange.database, exchange.keys, exchange.settings, exchange.clock, believed=SuspectClock())
    for endpoint in (suspect.token_endpoint, suspect.introspection_endpoint, suspect.revocation_endpoint):
        assert refused(endpoint(form, None), 503, "temporarily_unavailable") == {"error": "temporarily_unavailable"}
    assert json.loads(suspect.jwks()) == json.loads(exchange.service.oauth.jwks())
    assert len(exchange.events()) == before
    assert exchange.service.oauth.token_endpoint(form, None).status == 200
