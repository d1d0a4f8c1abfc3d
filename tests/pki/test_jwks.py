"""JSON Web Keys: thumbprints of the RFCs, round trips, and what is refused."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk

from pki.errors import InvalidInput, ServiceError
from pki.jwks import Jwk, KeySet, thumbprint
from pki.keys import PublicKey, SignatureAlgorithm

AS_OF = datetime(2026, 11, 22, tzinfo=UTC)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
KEYS: tuple[PublicKey, ...] = (
    EC_KEY.public_key(),
    ec.generate_private_key(ec.SECP384R1()).public_key(),
    rsa.generate_private_key(65537, 2048).public_key(),
    ed25519.Ed25519PrivateKey.generate().public_key(),
)


def document(*entries: object) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def entry(**changes: Any) -> dict[str, Any]:
    members = {**Jwk.of(EC_KEY.public_key()).members(), **changes}
    return {name: value for name, value in members.items() if value is not None}


def test_the_thumbprint_of_rfc_7638_is_reproduced() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6q"
        "MQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awap"
        "JzKnqDKgw"
    )
    number = int.from_bytes(base64.urlsafe_b64decode(modulus + "=="), "big")
    assert thumbprint(rsa.RSAPublicNumbers(65537, number).public_key()) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_thumbprint_of_rfc_8037_is_reproduced() -> None:
    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    assert thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("key", KEYS, ids=["P-256", "P-384", "RSA", "Ed25519"])
def test_a_published_key_reads_back_and_joserfc_names_it_the_same(key: PublicKey) -> None:
    jwk = Jwk.of(key)
    data = json.dumps(KeySet(keys=(jwk,), as_of=AS_OF).document()).encode()
    assert KeySet.parse(data, AS_OF) == KeySet(keys=(jwk,), as_of=AS_OF)
    assert joserfc_jwk.import_key(jwk.members()).thumbprint() == jwk.kid


def test_a_pss_key_says_so_and_reads_back() -> None:
    jwk = Jwk.of(KEYS[2], algorithm=SignatureAlgorithm.PS256)
    assert jwk.members()["alg"] == "PS256"
    assert KeySet.parse(document(jwk.members()), AS_OF).keys == (jwk,)
    with pytest.raises(InvalidInput):
        Jwk.of(KEYS[0], algorithm=SignatureAlgorithm.PS256)


def certificate_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "token key")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(AS_OF)
    return builder.not_valid_after(AS_OF + timedelta(days=1)).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_chain_travels_with_its_key() -> None:
    der = certificate_of(EC_KEY)
    jwk = Jwk.of(EC_KEY.public_key(), [der])
    assert jwk.members()["x5c"] == [base64.b64encode(der).decode()]
    assert KeySet.parse(document(jwk.members()), AS_OF).keys == (jwk,)


def test_a_certificate_of_another_key_is_refused() -> None:
    other = certificate_of(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InvalidInput):
        Jwk.of(EC_KEY.public_key(), [other])
    with pytest.raises(InvalidInput):
        KeySet.parse(document(entry(x5c=[base64.b64encode(other).decode()])), AS_OF)


@pytest.mark.parametrize(
    "hostile",
    [
        entry(kid="another name"),
        entry(kid=None),
        entry(alg="ES384"),
        entry(alg="HS256"),
        entry(d="AAAA"),
        {"kty": "oct", "k": "AAAA", "kid": "x"},
        entry(x=None),
        entry(x=7),
        entry(x="A" * 42),
        entry(x="A" * 43),
        entry(y=entry()["x"]),
        entry(x5c="MAo="),
        entry(x5c=["not base64!"]),
        entry(x5c=["MAo="]),
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "x"},
        {"kty": "RSA", "n": Jwk.of(KEYS[2]).members()["n"], "e": "Aw", "kid": "x"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "x"},
        "not an object",
    ],
)
def test_a_hostile_key_refuses_the_whole_set(hostile: object) -> None:
    with pytest.raises(InvalidInput):
        KeySet.parse(document(hostile), AS_OF)


@pytest.mark.parametrize(
    "foreign",
    [
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "x"},
        {"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "x"},
        {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA", "kid": "x"},
        {"kid": "x"},
        entry(use="enc"),
    ],
)
def test_a_key_of_a_type_unknown_here_is_passed_over(foreign: object) -> None:
    assert [key.kid for key in KeySet.parse(document(foreign, entry()), AS_OF).keys] == [entry()["kid"]]


def test_the_same_key_twice_is_refused() -> None:
    with pytest.raises(InvalidInput):
        KeySet.parse(document(entry(), entry()), AS_OF)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b'{"keys": {}}', b" " * 300_000, document(*[{"kty": "x"}] * 33)],
    ids=lambda value: repr(value[:12]),
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        KeySet.parse(data, AS_OF)


@given(
    st.binary(max_size=64) | st.dictionaries(st.sampled_from(["kty", "crv", "x", "n", "kid"]), st.text()).map(document)
)
def test_the_parser_raises_nothing_but_service_errors(data: bytes) -> None:
    try:
        KeySet.parse(data, AS_OF)
    except ServiceError as error:
        assert error.code
