"""The token endpoint against what attackers and accidents send (numbers: threat table of connection tokens)."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from ca.revocation import RevocationReason
from ca.tokens.client_authentication import MAX_FORM_CHARACTERS
from ca.tokens.gate import HIX_POLICY
from ca.tokens.oauth import OAuthServer
from ca.tokens.oauth_answers import OAuthResponse
from hsm.errors import HsmUnavailable
from hsm.soft import UnsafeSoftKey
from pki.compact_jws import TokenReason, sign_compact, signing_input
from pki.csr import build_csr
from pki.errors import ErrorCode, Unavailable
from pki.gateway import Decision
from pki.jose import b64url
from pki.keys import SignatureAlgorithm, SigningKey
from tests.ca.world import CLERK
from tests.support.exchange import (
    CLINIC,
    CLINIC_SYSTEM,
    FIRST,
    ISSUER,
    PHARMACY,
    PHARMACY_SYSTEM,
    START,
    Centre,
    Exchange,
)
from tests.support.pki import new_key

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def clinic(exchange: Exchange) -> Centre:
    return exchange.centre()


def pharmacy_of(exchange: Exchange) -> Centre:
    return exchange.centre(PHARMACY, PHARMACY_SYSTEM)


def refused(answer: OAuthResponse, status: int, error: str) -> dict[str, Any]:
    assert (answer.status, answer.headers["Cache-Control"]) == (status, "no-store")
    assert answer.json is not None
    assert answer.json["error"] == error
    return dict(answer.json)


def last_event(exchange: Exchange) -> tuple[str, dict[str, Any]]:
    return exchange.events()[-1]


def unproven(exchange: Exchange, answer: OAuthResponse, reason: str) -> None:
    """The asker learns nothing but `invalid_client`; the ledger learns the reason."""
    assert refused(answer, 401, "invalid_client") == {"error": "invalid_client"}
    action, facts = last_event(exchange)
    assert (action, facts["reason"], facts["actor"]) == ("access-token.refused", reason, "unproven")


# -- what is granted ---------------------------------------------------------------------------------


def test_a_centre_in_order_gets_a_bound_token_that_an_independent_verifier_accepts(
    exchange: Exchange, clinic: Centre
) -> None:
    answer = clinic.ask(scope="hix.submit hix.read")
    assert answer.status == 200
    assert answer.headers == {"Cache-Control": "no-store", "Pragma": "no-cache"}
    assert answer.json is not None
    assert answer.json["scope"] == "hix.submit hix.read"
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 600)
    token = str(answer.json["access_token"])
    keys = joserfc_jwk.KeySet.import_key_set(json.loads(exchange.service.oauth.jwks()))
    read = joserfc_jwt.decode(token, keys, algorithms=["ES256"])
    assert read.header["typ"] == "at+jwt"
    assert read.claims["cnf"] == {"x5t#S256": b64url(hashlib.sha256(clinic.certificate.der).digest())}
    assert {read.claims["sub"], read.claims["client_id"]} == {clinic.client_id}
    assert (read.claims["siam_id"], read.claims["assurance"]) == (CLINIC, "fresh")
    assert clinic.certificate.san_other_names == (("1.3.6.1.4.1.32473.364.6.1", clinic.client_id),)
    assert exchange.gateway(token, clinic.certificate.der).accepted
    assert exchange.service.oauth.check_access(token, clinic.certificate.der).allows("hix.read")


def test_the_event_of_a_grant_proves_what_was_signed_and_opens_nothing(exchange: Exchange, clinic: Centre) -> None:
    token = clinic.access_token()
    action, facts = last_event(exchange)
    signed = token.rsplit(".", 1)[0].encode()
    assert action == "access-token.issued"
    assert facts["signing_input_sha256"] == hashlib.sha256(signed).hexdigest()
    assert facts["subject"] == clinic.client_id
    assert facts["policy"] == HIX_POLICY.version
    assert json.loads(facts["light_ages_s"]) == {"operating-licence": 0, "siam-id": 0, "certified-system": 0}
    assert token not in json.dumps(exchange.events())


def test_asking_for_no_scope_gives_every_scope_that_the_gate_allows(clinic: Centre) -> None:
    answer = clinic.ask(scope=None)
    assert answer.json is not None
    assert answer.json["scope"].split() == list(HIX_POLICY.every)


def test_the_connection_may_carry_the_registered_certificate(clinic: Centre) -> None:
    assert clinic.ask(peer=clinic.certificate.der).status == 200


@pytest.mark.parametrize("name", ["kid", "x5t#S256"])
def test_key_or_certificate_alone_name_the_client(clinic: Centre, name: str) -> None:
    other = {"kid": "x5t#S256", "x5t#S256": "kid"}[name]
    assert clinic.ask(clinic.assertion(clinic.header(**{other: None}))).status == 200


def test_the_client_id_may_be_left_out_and_the_type_may_be_plain_jwt(clinic: Centre) -> None:
    assert clinic.ask(clinic.assertion(clinic.header(typ="JWT")), client_id=None).status == 200


@pytest.mark.parametrize("algorithm", [SignatureAlgorithm.RS256, SignatureAlgorithm.ES384])
def test_the_algorithm_is_that_of_the_registered_key(exchange: Exchange, algorithm: SignatureAlgorithm) -> None:
    clinic = exchange.centre(key=new_key(algorithm))
    assert clinic.ask().status == 200
    assert clinic.ask(clinic.assertion(clinic.header(alg="ES256"))).status == 401


def test_no_token_outlives_its_certificate(exchange: Exchange, clinic: Centre) -> None:
    exchange.clock.at = clinic.certificate.not_after - 90 * SECOND
    exchange.service.sweep()
    answer = clinic.ask()
    assert answer.json is not None
    assert answer.json["expires_in"] == 90


# -- 1, 2: stolen tokens -----------------------------------------------------------------------------


def test_a_stolen_token_opens_nothing_without_the_certificate_it_is_bound_to(
    exchange: Exchange, clinic: Centre
) -> None:
    token, pharmacy = clinic.access_token(), pharmacy_of(exchange)
    same_subject_other_key = exchange.authority.issue(
        "hix-tls", clinic.client_id, _csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256)), "clerk"
    )
    renewed = exchange.authority.issue("hix-tls", clinic.client_id, _csr(clinic.key), "clerk")
    for certificate in (None, pharmacy.certificate.der, same_subject_other_key.der, renewed.der):
        for decision in (
            exchange.gateway(token, certificate),
            exchange.service.oauth.check_access(token, certificate),
        ):
            assert (decision.decision, decision.reasons) == (Decision.REFUSE, (TokenReason.BINDING,))


def _csr(key: UnsafeSoftKey) -> bytes:
    return build_csr(key, "wish")


# -- 4, 5: certificates and their status -------------------------------------------------------------


def test_a_connection_with_another_certificate_proves_nothing(exchange: Exchange, clinic: Centre) -> None:
    unproven(exchange, clinic.ask(peer=pharmacy_of(exchange).certificate.der), "connection-of-another-certificate")
    foreign = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    renewed = exchange.authority.issue("hix-tls", clinic.client_id, _csr(foreign), "clerk")
    unproven(exchange, clinic.ask(peer=renewed.der), "connection-of-another-certificate")
    unproven(exchange, clinic.ask(peer=b"no certificate"), "connection-of-another-certificate")


def _hold(exchange: Exchange, centre: Centre) -> None:
    exchange.authority.hold(centre.certificate.serial_hex, CLERK)


def _revoke(exchange: Exchange, centre: Centre) -> None:
    exchange.authority.revoke(centre.certificate.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)


def _outlive(exchange: Exchange, centre: Centre) -> None:
    exchange.clock.at = centre.certificate.not_after


def _precede(exchange: Exchange, centre: Centre) -> None:
    exchange.clock.at = centre.certificate.not_before - SECOND


def _terminate(exchange: Exchange, centre: Centre) -> None:
    exchange.service.terminate(centre.client_id, FIRST)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (_hold, "certificate-on-hold"),
        (_revoke, "certificate-revoked"),
        (_outlive, "certificate-expired"),
        (_precede, "certificate-not-yet-valid"),
        (_terminate, "terminated"),
    ],
)
def test_a_certificate_that_is_not_in_force_authenticates_nobody_and_its_holder_is_told_why(
    exchange: Exchange, clinic: Centre, act: Callable[[Exchange, Centre], None], reason: str
) -> None:
    act(exchange, clinic)
    assert refused(clinic.ask(), 401, "invalid_client")["reason"] == reason
    assert last_event(exchange)[1]["actor"] == clinic.client_id


def test_a_hold_of_the_certificate_that_is_lifted_lets_the_centre_in_again(exchange: Exchange, clinic: Centre) -> None:
    _hold(exchange, clinic)
    assert clinic.ask().status == 401
    exchange.authority.unhold(clinic.certificate.serial_hex, CLERK)
    assert clinic.ask().status == 200


@pytest.mark.parametrize(
    ("age", "assurance", "scopes"),
    [
        (DAY, "fresh", HIX_POLICY.every),
        (2 * DAY, "stale", HIX_POLICY.every),
        (8 * DAY, "narrowed", HIX_POLICY.narrowed),
        (31 * DAY, "emergency", HIX_POLICY.emergency),
    ],
)
def test_a_silent_registry_stops_nobody_and_narrows_by_age(
    exchange: Exchange, clinic: Centre, age: timedelta, assurance: str, scopes: tuple[str, ...]
) -> None:
    exchange.silence()
    exchange.clock.move(age)
    exchange.service.sweep()
    token = clinic.access_token(scope=None)
    claims = exchange.gateway(token, clinic.certificate.der).claims
    assert claims is not None
    assert (claims.assurance, claims.scopes) == (assurance, scopes)
    assert exchange.gateway(token, clinic.certificate.der).allows("hix.read") == ("hix.read" in scopes)


def test_asking_only_for_what_silence_took_away_still_gives_the_emergency_scopes(
    exchange: Exchange, clinic: Centre
) -> None:
    exchange.silence()
    exchange.clock.move(31 * DAY)
    answer = clinic.ask(scope="hix.read")
    assert answer.json is not None
    assert answer.json["scope"].split() == list(HIX_POLICY.emergency)


# -- the gate ----------------------------------------------------------------------------------------


def test_a_failed_light_closes_the_gate_and_is_named_with_its_source(exchange: Exchange, clinic: Centre) -> None:
    exchange.say(CLINIC, "operating_licence", state="failed", reference="decree-77")
    exchange.service.sweep()
    body = refused(clinic.ask(), 400, "unauthorized_client")
    assert body["reason"] == "light-failed"
    assert body["lights"] == [
        {
            "kind": "operating-licence",
            "state": "failed",
            "since": "2026-11-22T09:00:00Z",
            "source": "pilot registry",
            "reference": "decree-77",
        }
    ]
    assert "decree-77" in last_event(exchange)[1]["lights"]


def test_a_failed_light_stays_closed_when_its_registry_falls_silent(exchange: Exchange, clinic: Centre) -> None:
    exchange.say(CLINIC, "siam", state="failed")
    exchange.service.sweep()
    exchange.silence()
    exchange.clock.move(3 * DAY)
    exchange.service.sweep()
    assert refused(clinic.ask(), 400, "unauthorized_client")["reason"] == "light-failed"


def test_a_hold_by_a_person_is_told_to_the_centre_without_the_note(exchange: Exchange, clinic: Centre) -> None:
    exchange.service.suspend(clinic.client_id, FIRST, "stolen laptop of Dr Example")
    body = refused(clinic.ask(), 400, "unauthorized_client")
    assert body == {"error": "unauthorized_client", "reason": "on-hold", "since": "2026-11-22T09:00:00Z"}


# -- 6: headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alg": "none"}, TokenReason.ALGORITHM),
        ({"alg": "HS256"}, TokenReason.ALGORITHM),
        ({"alg": "ES384"}, TokenReason.ALGORITHM),
        ({"typ": "at+jwt"}, TokenReason.TYPE),
        ({"typ": "statuslist+jwt"}, TokenReason.TYPE),
        ({"typ": None}, TokenReason.TYPE),
        ({"kid": "unknown", "x5t#S256": None}, TokenReason.KEY_UNKNOWN),
        ({"kid": "unknown"}, TokenReason.KEY_UNKNOWN),
        ({"kid": "\ud800", "x5t#S256": None}, TokenReason.MALFORMED),
        ({"kid": "a\0b", "x5t#S256": None}, TokenReason.HEADER),
        ({"x5t#S256": b64url(bytes(32))}, TokenReason.KEY_UNKNOWN),
        ({"x5t#S256": b64url(b"short")}, TokenReason.HEADER),
        ({"x5t#S256": "not base64url!"}, TokenReason.HEADER),
        ({"kid": None, "x5t#S256": None}, TokenReason.HEADER),
        ({"jwk": {"kty": "EC"}}, TokenReason.HEADER),
        ({"jku": "https://evil.example"}, TokenReason.HEADER),
        ({"x5u": "https://evil.example"}, TokenReason.HEADER),
        ({"x5c": ["MAo="]}, TokenReason.HEADER),
        ({"crit": ["exp"]}, TokenReason.HEADER),
        ({"zip": "DEF"}, TokenReason.HEADER),
        ({"b64": False}, TokenReason.HEADER),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_hostile_header_proves_nothing(
    exchange: Exchange, clinic: Centre, changes: dict[str, Any], reason: TokenReason
) -> None:
    unproven(exchange, clinic.ask(clinic.assertion(clinic.header(**changes))), f"assertion-{reason}")


def test_another_key_under_the_names_of_the_victim_proves_nothing(exchange: Exchange, clinic: Centre) -> None:
    stranger = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    unproven(exchange, clinic.ask(clinic.assertion(key=stranger)), "assertion-signature")


@pytest.mark.parametrize("text", ["", "a.b.c", "توکن", "." * 5000, "x" * 4097])
def test_what_is_no_assertion_is_answered(clinic: Centre, text: str) -> None:
    assert clinic.ask(client_assertion=text).status == 401


# -- 7: replays --------------------------------------------------------------------------------------


def test_an_assertion_works_once(exchange: Exchange, clinic: Centre) -> None:
    assertion = clinic.assertion()
    assert clinic.ask(assertion).status == 200
    unproven(exchange, clinic.ask(assertion), "assertion-replayed")
    assert last_event(exchange)[1]["code"] == "assertion-replayed"


def test_a_second_node_and_a_restarted_one_refuse_the_replay(exchange: Exchange, clinic: Centre) -> None:
    assertion = clinic.assertion()
    second = exchange.node()
    assert clinic.ask(assertion).status == 200
    assert second.service.oauth.token_endpoint(clinic.form(assertion), None).status == 401
    second.database.close()
    restarted = exchange.again()
    assert restarted.service.oauth.token_endpoint(clinic.form(assertion), None).status == 401
    restarted.database.close()


def test_of_many_at_once_on_two_nodes_exactly_one_is_accepted(exchange: Exchange, clinic: Centre) -> None:
    nodes = [exchange, exchange.node()]
    assertion = clinic.assertion()
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: nodes[n % 2].service.oauth.token_endpoint(clinic.form(assertion), None).status, range(16)
            )
        )
    nodes[1].database.close()
    assert sorted(answers) == [200] + [401] * 15


def test_a_replay_after_its_end_is_expired_even_when_the_used_id_is_forgotten(
    exchange: Exchange, clinic: Centre
) -> None:
    assertion = clinic.assertion()
    assert clinic.ask(assertion).status == 200
    exchange.clock.move(2 * timedelta(hours=1))
    exchange.service.sweep()
    unproven(exchange, clinic.ask(assertion), "assertion-expired")


def test_two_clients_may_use_the_same_id(exchange: Exchange, clinic: Centre) -> None:
    pharmacy = pharmacy_of(exchange)
    assert clinic.ask(clinic.assertion(jti="same")).status == 200
    assert pharmacy.ask(pharmacy.assertion(jti="same")).status == 200


def test_an_assertion_with_a_forged_signature_burns_no_id(clinic: Centre) -> None:
    stranger = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    assert clinic.ask(clinic.assertion(key=stranger, jti="chosen")).status == 401
    assert clinic.ask(clinic.assertion(jti="chosen")).status == 200


# -- 8, 9, 10: claims --------------------------------------------------------------------------------

NOW = int(START.timestamp())


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": f"{ISSUER}/oauth2/token"}, TokenReason.AUDIENCE),
        ({"aud": f"{ISSUER}/"}, TokenReason.AUDIENCE),
        ({"aud": "https://evil.example"}, TokenReason.AUDIENCE),
        ({"aud": [ISSUER]}, TokenReason.AUDIENCE),
        ({"aud": [ISSUER, "https://evil.example"]}, TokenReason.AUDIENCE),
        ({"aud": None}, TokenReason.AUDIENCE),
        ({"iss": "somebody"}, TokenReason.SUBJECT),
        ({"sub": "somebody"}, TokenReason.SUBJECT),
        ({"iss": None}, TokenReason.CLAIMS),
        ({"sub": 7}, TokenReason.CLAIMS),
        ({"jti": None}, TokenReason.CLAIMS),
        ({"jti": ""}, TokenReason.CLAIMS),
        ({"jti": "x" * 129}, TokenReason.CLAIMS),
        ({"jti": "a\u0000b"}, TokenReason.CLAIMS),
        ({"exp": None}, TokenReason.TIMES),
        ({"exp": "soon"}, TokenReason.TIMES),
        ({"exp": True}, TokenReason.TIMES),
        ({"exp": 1e30}, TokenReason.TIMES),
        ({"exp": 10**39}, TokenReason.TIMES),
        ({"exp": 10**40}, TokenReason.MALFORMED),
        ({"exp": float("nan")}, TokenReason.MALFORMED),
        ({"exp": NOW + 10 * 365 * 86400}, TokenReason.TIMES),
        ({"exp": NOW + 121}, TokenReason.TIMES),
        ({"exp": NOW, "iat": NOW - 60}, TokenReason.EXPIRED),
        ({"exp": NOW - 1, "iat": NOW - 60}, TokenReason.EXPIRED),
        ({"exp": NOW, "iat": NOW}, TokenReason.TIMES),
        ({"iat": None}, TokenReason.TIMES),
        ({"iat": NOW + 11, "exp": NOW + 60}, TokenReason.NOT_YET_VALID),
        ({"iat": NOW + 61, "exp": NOW + 120}, TokenReason.NOT_YET_VALID),
        ({"nbf": NOW + 11}, TokenReason.NOT_YET_VALID),
        ({"nbf": "now"}, TokenReason.TIMES),
    ],
    ids=str,
)
def test_hostile_claims_prove_nothing(
    exchange: Exchange, clinic: Centre, claims: dict[str, Any], reason: TokenReason
) -> None:
    unproven(exchange, clinic.ask(clinic.assertion(**claims)), f"assertion-{reason}")


def test_a_clock_ten_seconds_ahead_is_forgiven(clinic: Centre) -> None:
    assert clinic.ask(clinic.assertion(iat=NOW + 10, nbf=NOW + 10, exp=NOW + 120)).status == 200


def test_an_access_token_is_no_assertion(exchange: Exchange, clinic: Centre) -> None:
    unproven(exchange, clinic.ask(clinic.access_token()), "assertion-type")


def test_an_assertion_is_no_access_token(exchange: Exchange, clinic: Centre) -> None:
    decision = exchange.service.oauth.check_access(clinic.assertion(), clinic.certificate.der)
    assert decision.reasons == (TokenReason.HEADER,)


# -- 9, 19: one client as another --------------------------------------------------------------------


def test_an_assertion_of_one_centre_with_the_id_of_another_proves_nothing(exchange: Exchange, clinic: Centre) -> None:
    pharmacy = pharmacy_of(exchange)
    unproven(exchange, clinic.ask(client_id=pharmacy.client_id), "client-id-of-another")


def test_a_vendor_key_speaks_for_no_other_centre(exchange: Exchange, clinic: Centre) -> None:
    vendor = pharmacy_of(exchange)
    claims = vendor.claims(iss=clinic.client_id, sub=clinic.client_id)
    assertion = sign_compact(signing_input(vendor.header(), claims), vendor.key)
    unproven(exchange, vendor.ask(assertion, client_id=clinic.client_id), "assertion-subject")


# -- 11: audience and scope --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"resource": f"{ISSUER}/ehr"}, 400, "invalid_target"),
        ({"scope": "hix.submit ehr.read"}, 400, "invalid_scope"),
        ({"scope": "hix.submit  hix.read"}, 400, "invalid_scope"),
        ({"scope": "é"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": ["client_credentials", "client_credentials"]}, 400, "invalid_request"),
        ({"scope": ["hix.submit", "hix.read"]}, 400, "invalid_request"),
        ({"client_assertion": None}, 401, "invalid_client"),
        ({"client_assertion_type": None}, 401, "invalid_client"),
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, 401, "invalid_client"),
        ({"client_assertion": None, "client_secret": "guess"}, 401, "invalid_client"),
    ],
    ids=str,
)
def test_another_kind_of_request_is_refused_by_its_oauth_name(
    exchange: Exchange, clinic: Centre, changes: dict[str, Any], status: int, error: str
) -> None:
    refused(clinic.ask(**changes), status, error)
    assert last_event(exchange)[0] == "access-token.refused"


def test_the_resource_may_be_named_and_unknown_parameters_are_ignored(clinic: Centre) -> None:
    assert clinic.ask(resource=f"{ISSUER}/hix", extra="1").status == 200


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


@pytest.mark.parametrize("act", [_suspend, _fail_a_light, _terminate])
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
