"""Client assertions that attackers and accidents send (numbers: threat table of connection tokens)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from hsm.soft import UnsafeSoftKey
from pki.compact_jws import TokenReason, sign_compact, signing_input
from pki.jose import b64url
from pki.keys import SignatureAlgorithm
from tests.ca.tokens.oauth_expectations import last_event, pharmacy_of, refused, unproven
from tests.support.exchange import (
    ISSUER,
    START,
    Centre,
    Exchange,
)

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

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
