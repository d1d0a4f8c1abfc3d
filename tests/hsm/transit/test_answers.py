import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import DeviceLost, KeyAbsent, KeyMismatch, MechanismRefused
from hsm.soft import UnsafeSoftKey
from hsm.transit.answers import key_type, read_key, read_signature
from hsm.transit.settings import Marshaling
from pki.errors import ServiceError
from pki.jose import b64url
from pki.keys import SignatureAlgorithm

ES256, ES384, RS256, EDDSA = (
    SignatureAlgorithm.ES256,
    SignatureAlgorithm.ES384,
    SignatureAlgorithm.RS256,
    SignatureAlgorithm.EDDSA,
)
P256_PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
DESCRIPTION: dict[str, Any] = {
    "type": "ecdsa-p256",
    "latest_version": 2,
    "keys": {"1": {"public_key": P256_PEM}, "2": {"public_key": P256_PEM}},
    "exportable": False,
    "allow_plaintext_backup": False,
    "deletion_allowed": False,
    "derived": False,
    "imported_key": False,
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)


@given(
    r=st.integers(1, 2**256 - 1),
    s=st.integers(1, 2**256 - 1),
    version=st.integers(1, 99),
    marshaling=st.sampled_from(Marshaling),
)
def test_both_writings_of_an_ecdsa_signature_read_as_the_same_octets(
    r: int, s: int, version: int, marshaling: Marshaling
) -> None:
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    body = b64url(raw) if marshaling is Marshaling.JWS else base64.b64encode(encode_dss_signature(r, s)).decode()
    assert read_signature(f"vault:v{version}:{body}", version, ES256, marshaling) == raw


@given(text=st.text() | st.text().map(lambda rest: f"vault:v1:{rest}") | json_values)
def test_no_answer_in_place_of_a_signature_raises_anything_but_service_errors(text: object) -> None:
    for algorithm in SignatureAlgorithm:
        for marshaling in Marshaling:
            try:
                signature = read_signature(text, 1, algorithm, marshaling)
            except ServiceError:
                continue
            assert len(signature) in (64, 96, 384, 512)


def test_a_signature_by_another_version_of_the_key_is_refused() -> None:
    with pytest.raises(KeyMismatch, match="version 2"):
        read_signature("vault:v2:" + b64url(bytes(64)), 1, ES256, Marshaling.JWS)


@pytest.mark.parametrize(
    ("text", "algorithm", "marshaling"),
    [
        ("vault:v1:" + b64url(bytes(63)), ES256, Marshaling.JWS),
        ("vault:v1:" + b64url(bytes(64)), ES384, Marshaling.JWS),
        ("vault:v1:" + b64url(bytes(64)), RS256, Marshaling.JWS),
        ("vault:v1:" + b64url(bytes(256)), RS256, Marshaling.JWS),
        ("vault:v1:" + b64url(bytes(64)) + "=", EDDSA, Marshaling.JWS),
        ("vault:v1:" + base64.b64encode(bytes(64)).decode(), ES256, Marshaling.ASN1),
        ("vault:v1:" + base64.b64encode(encode_dss_signature(2**256, 1)).decode(), ES256, Marshaling.ASN1),
        ("vault:v01:" + b64url(bytes(64)), ES256, Marshaling.JWS),
        ("v1:" + b64url(bytes(64)), ES256, Marshaling.JWS),
        (None, ES256, Marshaling.JWS),
    ],
)
def test_a_malformed_signature_is_refused(text: object, algorithm: SignatureAlgorithm, marshaling: Marshaling) -> None:
    with pytest.raises(DeviceLost):
        read_signature(text, 1, algorithm, marshaling)


def test_a_key_says_what_pkcs11_would_say_of_it() -> None:
    said = read_key(DESCRIPTION).attributes(1)
    assert said["key_type"] == "ecdsa-p256"
    assert (said["bits"], said["version"], said["latest_version"]) == (256, 1, 2)
    assert [said[name] for name in ("sensitive", "always_sensitive", "extractable", "never_extractable", "local")] == [
        True,
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("changes", "false"),
    [
        ({"exportable": True}, {"sensitive", "always_sensitive", "never_extractable"}),
        ({"exportable": None}, {"sensitive", "always_sensitive", "never_extractable"}),
        ({"allow_plaintext_backup": True}, {"sensitive", "always_sensitive", "never_extractable"}),
        ({"imported_key": True}, {"local", "always_sensitive", "never_extractable"}),
    ],
)
def test_a_key_that_can_leave_or_came_from_outside_says_so(changes: dict[str, Any], false: set[str]) -> None:
    key = read_key(DESCRIPTION | changes)
    said = key.attributes(1)
    assert not key.never_leaves
    names = ("sensitive", "always_sensitive", "never_extractable", "local")
    assert {name for name in names if said[name] is False} == false


def test_another_version_or_kind_of_key_is_told_from_the_one_that_is_meant() -> None:
    key = read_key(DESCRIPTION)
    with pytest.raises(KeyAbsent):
        key.public_key(3, ES256)
    with pytest.raises(KeyAbsent):
        key.attributes(3)
    for algorithm in (ES384, RS256, EDDSA):
        with pytest.raises(KeyMismatch):
            key.public_key(1, algorithm)
    with pytest.raises(KeyMismatch):
        read_key(DESCRIPTION | {"derived": True}).public_key(1, ES256)


@given(changes=st.dictionaries(st.sampled_from(sorted(DESCRIPTION)), json_values))
def test_any_json_gives_a_key_or_a_service_error(changes: dict[str, Any]) -> None:
    try:
        key = read_key(DESCRIPTION | changes)
        key.attributes(1)
        key.public_key(1, ES256)
    except ServiceError:
        pass


def test_a_key_without_a_readable_public_half_is_refused() -> None:
    for version in ({"public_key": "-----BEGIN NOTHING-----"}, {"public_key": "AAAA"}, {}, 1_795_359_375):
        with pytest.raises(KeyMismatch):
            read_key(DESCRIPTION | {"keys": {"1": version}}).public_key(1, ES256)
    with pytest.raises(KeyMismatch):
        read_key(DESCRIPTION | {"type": "ecdsa-p384"}).public_key(1, ES384)
    soft = UnsafeSoftKey.generate(EDDSA).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    named = {"type": "ed25519", "keys": {"1": {"public_key": base64.b64encode(soft).decode()}}}
    assert read_key(DESCRIPTION | named).public_key(1, EDDSA).public_bytes(Encoding.Raw, PublicFormat.Raw) == soft


def test_rsa_keys_have_3072_or_4096_bits() -> None:
    assert key_type(RS256, 3072) == "rsa-3072"
    assert key_type(SignatureAlgorithm.PS256, 4096) == "rsa-4096"
    with pytest.raises(MechanismRefused):
        key_type(RS256, 2048)
