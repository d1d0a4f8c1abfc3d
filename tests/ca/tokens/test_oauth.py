"""The token endpoint: what is granted, to whom, and what closes the gate (numbers: threat table)."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from ca.status.revocation import RevocationReason
from ca.tokens.gate import HIX_POLICY
from hsm.soft import UnsafeSoftKey
from pki.compact_jws import TokenReason
from pki.csr import build_csr
from pki.gateway import Decision
from pki.jose import b64url
from pki.keys import SignatureAlgorithm
from tests.ca.tokens.oauth_expectations import last_event, pharmacy_of, refused, terminate, unproven
from tests.ca.world import CLERK
from tests.support.exchange import (
    CLINIC,
    FIRST,
    Centre,
    Exchange,
)
from tests.support.pki import new_key

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

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


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (_hold, "certificate-on-hold"),
        (_revoke, "certificate-revoked"),
        (_outlive, "certificate-expired"),
        (_precede, "certificate-not-yet-valid"),
        (terminate, "terminated"),
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
