"""The offline check of access tokens: every hostile token is refused with its reason, none raises."""

import base64
import hmac
import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from pki.compact_jws import TokenReason, signing_input
from pki.gateway import Decision
from pki.jose import b64url, compact_json
from pki.jwks import KeySet
from pki.keys import SignatureAlgorithm, jose_signature
from tests.support.issuer import AUDIENCE, CERTIFICATE, NOW, Issuer, MemoryKey, good_claims

ISSUER_PARTY = Issuer()


@pytest.fixture
def issuer() -> Issuer:
    return ISSUER_PARTY


def refusal(issuer: Issuer, token: str | bytes, certificate: bytes | None = CERTIFICATE) -> tuple[TokenReason, ...]:
    decision = issuer.decide(token, certificate)
    assert decision.decision is Decision.REFUSE
    return decision.reasons


def test_a_good_token_is_accepted_with_its_claims_and_the_age_of_the_keys(issuer: Issuer) -> None:
    decision = issuer.decide(issuer.token())
    assert decision.accepted
    assert decision.claims == good_claims()
    assert decision.document(NOW) == {
        "decision": "accept",
        "reasons": [],
        "token_exp": "2026-11-22T12:09:00Z",
        "keys_as_of": "2026-11-22T11:00:00Z",
        "keys_age_s": 3600,
        "claims": good_claims().members(),
    }


def test_joserfc_accepts_our_tokens(issuer: Issuer) -> None:
    key = joserfc_jwk.ECKey.import_key(issuer.jwk.members())
    token = joserfc_jwt.decode(issuer.token(), key, algorithms=["ES256"])
    assert token.header == {"typ": "at+jwt", "alg": "ES256", "kid": key.thumbprint()}
    assert token.claims == good_claims().members()
    assert token.claims["cnf"] == {"x5t#S256": base64.urlsafe_b64encode(sha256(CERTIFICATE).digest()).decode()[:-1]}


def test_a_scope_is_allowed_only_if_the_token_is_accepted_and_carries_it(issuer: Issuer) -> None:
    accepted, refused = issuer.decide(issuer.token()), issuer.decide(issuer.token(), None)
    assert accepted.allows("hix.submit")
    assert not accepted.allows("hix.read")
    assert not refused.allows("hix.submit")


@pytest.mark.parametrize(
    "certificate", [None, b"", b"another certificate", CERTIFICATE + b"\n"], ids=["none", "empty", "other", "renewed"]
)
def test_a_stolen_token_does_not_open_another_connection(issuer: Issuer, certificate: bytes | None) -> None:
    assert refusal(issuer, issuer.token(), certificate) == (TokenReason.BINDING,)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://exchange.example/"}, TokenReason.ISSUER),
        ({"aud": "https://exchange.example/ehr"}, TokenReason.AUDIENCE),
        ({"aud": [AUDIENCE]}, TokenReason.CLAIMS),
        ({"aud": [AUDIENCE, "https://ehr.example"]}, TokenReason.CLAIMS),
        ({"aud": None}, TokenReason.CLAIMS),
        ({"sub": None}, TokenReason.CLAIMS),
        ({"sub": "hix-of-somebody-else"}, TokenReason.SUBJECT),
        ({"sub": "\ud800"}, TokenReason.MALFORMED),
        ({"sub": "پزشک"}, TokenReason.CLAIMS),
        ({"client_id": 7}, TokenReason.CLAIMS),
        ({"jti": None}, TokenReason.CLAIMS),
        ({"jti": "x" * 65}, TokenReason.CLAIMS),
        ({"scope": ""}, TokenReason.CLAIMS),
        ({"scope": "hix.submit  hix.read"}, TokenReason.CLAIMS),
        ({"scope": " ".join(f"s{n}" for n in range(33))}, TokenReason.CLAIMS),
        ({"scope": ["hix.submit"]}, TokenReason.CLAIMS),
        ({"cnf": None}, TokenReason.CLAIMS),
        ({"cnf": {}}, TokenReason.CLAIMS),
        ({"cnf": {"jkt": "x"}}, TokenReason.CLAIMS),
        ({"cnf": {"x5t#S256": b64url(b"short")}}, TokenReason.CLAIMS),
        ({"cnf": {"x5t#S256": b64url(sha256(CERTIFICATE).digest()) + "="}}, TokenReason.CLAIMS),
        ({"cnf": {"x5t#S256": b64url(bytes(32))}}, TokenReason.BINDING),
        ({"assurance": "excellent"}, TokenReason.CLAIMS),
        ({"siam_id": None}, TokenReason.CLAIMS),
        ({"exp": None}, TokenReason.TIMES),
        ({"exp": "1795349400"}, TokenReason.TIMES),
        ({"exp": True}, TokenReason.TIMES),
        ({"exp": 1e30}, TokenReason.TIMES),
        ({"exp": 10**39}, TokenReason.TIMES),
        ({"exp": 10**40}, TokenReason.MALFORMED),
        ({"exp": float("nan")}, TokenReason.MALFORMED),
        ({"exp": -(10**12)}, TokenReason.TIMES),
        ({"exp": 0}, TokenReason.TIMES),
        ({"iat": None}, TokenReason.TIMES),
        ({"iat": 1795348800.5}, TokenReason.TIMES),
        ({"nbf": "soon"}, TokenReason.TIMES),
        ({"nbf": int(NOW.timestamp()) + 3600}, TokenReason.NOT_YET_VALID),
    ],
    ids=lambda value: str(value)[:40],
)
def test_hostile_claims_under_a_true_signature_are_refused(
    issuer: Issuer, claims: dict[str, Any], reason: TokenReason
) -> None:
    assert refusal(issuer, issuer.forge(**claims)) == (reason,)


def test_exp_exactly_now_is_expired_and_no_leeway_forgives_it(issuer: Issuer) -> None:
    token = issuer.token(expires_at=NOW)
    assert issuer.decide(token, leeway=timedelta(hours=1)).reasons == (TokenReason.EXPIRED,)
    assert issuer.decide(token, now=NOW - timedelta(seconds=1)).accepted


def test_iat_may_be_ten_seconds_ahead_and_not_one_more(issuer: Issuer) -> None:
    assert issuer.decide(issuer.token(issued_at=NOW + timedelta(seconds=10))).accepted
    late = issuer.decide(issuer.token(issued_at=NOW + timedelta(seconds=11)))
    assert late.reasons == (TokenReason.NOT_YET_VALID,)


def test_every_failed_check_of_a_genuine_token_is_named(issuer: Issuer) -> None:
    token = issuer.token(audience="https://ehr.example", expires_at=NOW)
    assert refusal(issuer, token, None) == (TokenReason.AUDIENCE, TokenReason.EXPIRED, TokenReason.BINDING)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"typ": "JWT"}, TokenReason.TYPE),
        ({"typ": "logout+jwt"}, TokenReason.TYPE),
        ({"typ": "client-authentication+jwt"}, TokenReason.TYPE),
        ({"typ": "AT+JWT"}, TokenReason.TYPE),
        ({"typ": None}, TokenReason.TYPE),
        ({"alg": "none"}, TokenReason.ALGORITHM),
        ({"alg": "ES384"}, TokenReason.ALGORITHM),
        ({"alg": None}, TokenReason.HEADER),
        ({"kid": "unknown"}, TokenReason.KEY_UNKNOWN),
        ({"kid": None}, TokenReason.HEADER),
        ({"kid": 1}, TokenReason.HEADER),
        ({"kid": "\ud800"}, TokenReason.MALFORMED),
        ({"kid": "a\0b"}, TokenReason.HEADER),
        ({"kid": "x" * 257}, TokenReason.HEADER),
        ({"crit": ["exp"]}, TokenReason.HEADER),
        ({"b64": False}, TokenReason.HEADER),
        ({"zip": "DEF"}, TokenReason.HEADER),
        ({"cty": "JWT"}, TokenReason.HEADER),
        ({"jwk": {"kty": "EC"}}, TokenReason.HEADER),
        ({"jku": "https://evil.example/keys"}, TokenReason.HEADER),
        ({"x5u": "https://evil.example/cert"}, TokenReason.HEADER),
        ({"x5c": ["MAo="]}, TokenReason.HEADER),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_header_other_than_ours_is_refused_before_any_claim_is_read(
    issuer: Issuer, changes: dict[str, Any], reason: TokenReason
) -> None:
    decision = issuer.decide(issuer.forge(issuer.header(**changes), sub=None))
    assert decision.reasons == (reason,)
    assert decision.claims is None


def test_an_hmac_keyed_with_the_public_key_is_refused(issuer: Issuer) -> None:
    public_pem = issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    message = signing_input(issuer.header(alg="HS256"), good_claims().members())
    token = f"{message.decode()}.{b64url(hmac.digest(public_pem, message, 'sha256'))}"
    assert refusal(issuer, token) == (TokenReason.ALGORITHM,)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.BrainpoolP256R1()], ids=["P-384", "brainpool"])
def test_es256_made_with_another_curve_is_refused(issuer: Issuer, curve: ec.EllipticCurve) -> None:
    message = signing_input(issuer.header(), good_claims().members())
    signature = ec.generate_private_key(curve).sign(message, ec.ECDSA(hashes.SHA256()))
    algorithm = SignatureAlgorithm.ES384 if curve.key_size == 384 else SignatureAlgorithm.ES256
    token = f"{message.decode()}.{b64url(jose_signature(algorithm, signature))}"
    assert refusal(issuer, token) == (TokenReason.SIGNATURE,)


def test_another_key_under_the_true_kid_is_refused(issuer: Issuer) -> None:
    stranger = Issuer()
    stranger.jwk = issuer.jwk
    assert refusal(issuer, stranger.token()) == (TokenReason.SIGNATURE,)


def test_zero_and_der_signatures_are_refused(issuer: Issuer) -> None:
    message = signing_input(issuer.header(), good_claims().members()).decode()
    der = issuer.key.sign(message.encode())
    for signature in (bytes(64), b"", der, bytes(63), bytes(65)):
        assert refusal(issuer, f"{message}.{b64url(signature)}") == (TokenReason.SIGNATURE,)


def test_the_same_signature_spelt_another_way_is_refused(issuer: Issuer) -> None:
    token = issuer.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare_bit = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]  # 64 octets leave 4 spare bits in the last letter
    for other in (token + "=", token + "==", spare_bit, token + "\n", " " + token, token.replace(".", "..", 1)):
        assert refusal(issuer, other) == (TokenReason.MALFORMED,)


def test_duplicate_members_are_refused_in_header_and_claims(issuer: Issuer) -> None:
    twice = compact_json(good_claims().members())[:-1] + b',"sub":"hix-victim"}'
    assert refusal(issuer, issuer.sign(compact_json(issuer.header()), twice)) == (TokenReason.MALFORMED,)
    header = compact_json(issuer.header())[:-1] + b',"alg":"none"}'
    assert refusal(issuer, issuer.sign(header, b"{}")) == (TokenReason.MALFORMED,)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c.d",
        "not a token",
        b"\xff\xfe\x00",
        "توکن.توکن.توکن",
        f"{b64url(b'[]')}.{b64url(b'{}')}.AA",
        f"{b64url(b'{')}.{b64url(b'{}')}.AA",
        f"{b64url(b'[' * 3000)}.AA.AA",
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_token_is_refused_as_malformed(issuer: Issuer, token: str | bytes) -> None:
    assert refusal(issuer, token) == (TokenReason.MALFORMED,)


def test_more_than_eight_kilobytes_are_not_even_split(issuer: Issuer) -> None:
    padded = issuer.forge(note="x" * 8192)
    assert refusal(issuer, padded) == (TokenReason.TOO_LARGE,)
    assert refusal(issuer, b"." * 50_000_000) == (TokenReason.TOO_LARGE,)


def test_an_unknown_claim_is_ignored(issuer: Issuer) -> None:
    assert issuer.decide(issuer.forge(status={"status_list": {"idx": 7, "uri": "https://x.example"}})).accepted


def test_an_empty_key_set_refuses_everything(issuer: Issuer) -> None:
    issuer_without_keys = Issuer()
    issuer_without_keys.keys = KeySet(keys=(), as_of=NOW)
    assert refusal(issuer_without_keys, issuer_without_keys.token()) == (TokenReason.KEY_UNKNOWN,)


def test_keys_of_two_generations_both_verify(issuer: Issuer) -> None:
    old = Issuer()
    old.keys = KeySet(keys=(issuer.jwk, old.jwk), as_of=NOW)
    assert old.decide(old.token()).accepted
    assert old.decide(issuer.token()).accepted


def test_an_es384_issuer_works_too() -> None:
    issuer = Issuer()
    issuer.key = MemoryKey(ec.generate_private_key(ec.SECP384R1()), SignatureAlgorithm.ES384)
    issuer.jwk = type(issuer.jwk).of(issuer.key.public_key())
    issuer.keys = KeySet(keys=(issuer.jwk,), as_of=NOW)
    assert issuer.decide(issuer.token()).accepted


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_whatever_comes_gets_a_refusal(token: str | bytes) -> None:
    assert ISSUER_PARTY.decide(token).decision is Decision.REFUSE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(good_claims().members())), JSON, min_size=1))
def test_any_claims_under_a_true_signature_get_a_decision(claims: dict[str, Any]) -> None:
    members = {**good_claims().members(), **claims}
    payload = json.dumps(members).encode()  # writes NaN and lone surrogates, as a careless issuer might
    decision = ISSUER_PARTY.decide(ISSUER_PARTY.sign(compact_json(ISSUER_PARTY.header()), payload))
    if decision.accepted:
        assert all(members[name] == good_claims().members()[name] for name in ("iss", "aud", "cnf"))
        assert members["exp"] > NOW.timestamp()
    assert json.dumps(decision.document(NOW))


TOKEN = ISSUER_PARTY.token()


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_no_mutation_of_one_character_is_accepted(index: int, character: str) -> None:
    mutated = TOKEN[:index] + character + TOKEN[index + 1 :]
    assert ISSUER_PARTY.decide(mutated).accepted == (mutated == TOKEN)
