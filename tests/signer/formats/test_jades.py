import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import FlattenedJSONSerialization
from joserfc.registry import HeaderParameter

from pki import der
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.jose import b64url, compact_json, unb64url
from pki.keys import SignatureAlgorithm
from signer.errors import SignerMismatch
from signer.formats.jades import FHIR_JSON, SignaturePolicy, add_signature_timestamp, sign_jades
from signer.formats.signing import MAX_DOCUMENT_OCTETS
from signer.samples import sample_prescription
from signer.timestamps.client import LocalTimeStamper
from tests.support.pki import NOW, Holder, TrustPath, make_path

PAYLOAD = b'{"resourceType":"Bundle","total":1.50}'


@pytest.fixture(scope="module")
def signed(path: TrustPath) -> bytes:
    return sign_jades(PAYLOAD, path.clinician.key, path.clinician.chain, signed_at=NOW)


def header_of(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(unb64url(json.loads(data)["protected"]))
    return header


def joserfc_payload(data: bytes, holder: Holder) -> bytes:
    """Let joserfc judge the JWS core; its limits and header registry are opened for JAdES."""
    spki = holder.certificate.spki_der
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(spki) + b"-----END PUBLIC KEY-----\n"
    key = (RSAKey if holder.key.algorithm in ("RS256", "PS256") else ECKey).import_key(pem)
    known = {"sigT": HeaderParameter("time", "str"), "srCms": HeaderParameter("commitments", lambda _: None)}
    names = ["ES256", "ES384", "RS256", "PS256"]
    registry = jws.JWSRegistry(header_registry=known, algorithms=names, strict_check_header=False)
    registry.max_header_length = registry.max_payload_length = 1 << 20
    document: FlattenedJSONSerialization = json.loads(data)
    document.pop("header", None)
    return jws.deserialize_json(document, key, registry=registry).payload or b""


def test_every_prescription_is_carried_byte_for_byte(vectors: Path, path: TrustPath) -> None:
    files = sorted((vectors / "fhir-prescriptions").glob("*.json"))
    assert len(files) == 20
    for file in files:
        data = file.read_bytes()
        signed = sign_jades(data, path.clinician.key, path.clinician.chain, signed_at=NOW)
        assert unb64url(json.loads(signed)["payload"]) == data
        assert joserfc_payload(signed, path.clinician) == data


@pytest.mark.parametrize(
    "algorithm",
    [SignatureAlgorithm.ES256, SignatureAlgorithm.ES384, SignatureAlgorithm.RS256, SignatureAlgorithm.PS256],
    ids=str,
)
def test_an_independent_library_verifies_the_core(algorithm: SignatureAlgorithm) -> None:
    holder = make_path(algorithm).clinician
    data = sign_jades(sample_prescription(), holder.key, holder.chain, signed_at=NOW)
    assert header_of(data)["alg"] == algorithm
    assert joserfc_payload(data, holder) == sample_prescription()


@pytest.mark.parametrize("member", ["payload", "protected", "signature"])
def test_an_independent_library_refuses_a_changed_member(signed: bytes, path: TrustPath, member: str) -> None:
    document = json.loads(signed)
    octets = bytearray(unb64url(document[member]))
    octets[len(octets) // 2] ^= 1
    document[member] = b64url(bytes(octets))
    with pytest.raises((BadSignatureError, JoseError, ValueError)):
        joserfc_payload(json.dumps(document).encode(), path.clinician)


def test_the_protected_header_says_what_baseline_b_asks(signed: bytes, path: TrustPath) -> None:
    header = header_of(signed)
    assert list(header) == ["alg", "typ", "cty", "x5t#S256", "x5c", "sigT", "srCms", "crit"]
    assert (header["alg"], header["typ"], header["cty"]) == ("ES256", "jose+json", FHIR_JSON)
    assert unb64url(header["x5t#S256"]) == path.clinician.certificate.sha256
    assert [base64.b64decode(text, validate=True) for text in header["x5c"]] == [c.der for c in path.clinician.chain]
    assert header["sigT"] == "2026-11-22T09:00:00Z"
    assert header["srCms"][0]["commId"]["id"].endswith("#ProofOfOrigin")
    assert header["crit"] == ["sigT", "srCms"]
    assert list(json.loads(signed)) == ["payload", "protected", "signature"]


def test_a_policy_is_named_with_its_digest_and_is_critical(path: TrustPath) -> None:
    policy = SignaturePolicy(oid="1.3.6.1.4.1.32473.364.5.1", sha256=hashlib.sha256(b"policy").digest())
    data = sign_jades(PAYLOAD, path.clinician.key, path.clinician.chain, signed_at=NOW, policy=policy)
    header = header_of(data)
    assert header["crit"] == ["sigT", "srCms", "sigPId"]
    assert header["sigPId"]["id"] == {"id": "urn:oid:1.3.6.1.4.1.32473.364.5.1"}
    assert header["sigPId"]["digAlg"] == "S256"
    assert base64.b64decode(header["sigPId"]["digVal"]) == policy.sha256


def token_of(data: bytes, index: int = 0) -> bytes:
    component = json.loads(unb64url(json.loads(data)["header"]["etsiU"][index]))
    assert list(component) == ["sigTst"]
    (token,) = component["sigTst"]["tstTokens"]
    return base64.b64decode(token["val"], validate=True)


def test_a_timestamp_changes_no_signed_member(signed: bytes, stamper: LocalTimeStamper) -> None:
    before, after = json.loads(signed), json.loads(add_signature_timestamp(signed, stamper))
    assert list(after) == ["payload", "protected", "header", "signature"]
    assert {name: after[name] for name in before} == before


def test_the_timestamp_covers_the_text_of_the_signature(signed: bytes, stamper: LocalTimeStamper) -> None:
    token = token_of(add_signature_timestamp(signed, stamper))
    text = json.loads(signed)["signature"].encode()
    assert hashlib.sha256(text).digest() in token
    assert hashlib.sha256(unb64url(text)).digest() not in token


def test_another_implementation_stamps_the_text_too(vectors: Path) -> None:
    data = (vectors / "jades" / "jades-lta.json").read_bytes()
    token, text = token_of(data), json.loads(data)["signature"].encode()
    assert hashlib.sha256(text).digest() in token
    assert hashlib.sha256(unb64url(text)).digest() not in token


def test_a_second_timestamp_is_appended(signed: bytes, stamper: LocalTimeStamper) -> None:
    once = add_signature_timestamp(signed, stamper)
    twice = add_signature_timestamp(once, stamper)
    first, second = json.loads(twice)["header"]["etsiU"]
    assert json.loads(once)["header"]["etsiU"] == [first]
    assert first != second


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", ErrorCode.INPUT_EMPTY), (bytes(MAX_DOCUMENT_OCTETS + 1), ErrorCode.INPUT_TOO_LARGE)],
    ids=["empty", "oversized"],
)
def test_the_payload_has_bounds(path: TrustPath, payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(InvalidInput) as refused:
        sign_jades(payload, path.clinician.key, path.clinician.chain, signed_at=NOW)
    assert refused.value.code is code


def test_another_persons_key_is_refused(path: TrustPath) -> None:
    with pytest.raises(SignerMismatch):
        sign_jades(PAYLOAD, path.tsa.key, path.clinician.chain, signed_at=NOW)


class NullStamper:
    """Gives something that is no token."""

    def stamp(self, digest_sha256: bytes) -> bytes:
        del digest_sha256
        return der.null()


HOSTILE = [
    b"",
    b"[]",
    b"null",
    b'{"payload":"","protected":"","signature":5}',
    b'{"payload":"e30","protected":"e30"}',
    b'{"protected":"e30","signature":"AA"}',
    b'{"payload":"e30","protected":"e30","signature":"AA","signatures":[]}',
    b'{"payload":"e30","payload":"e31","protected":"e30","signature":"AA"}',
    b'{"payload":"e30","protected":"e30","signature":"A=="}',
    b'{"payload":"e30","protected":"e30","signature":"AA","header":[]}',
    b'{"payload":"e30","protected":"e30","signature":"AA","header":{"etsiU":{}}}',
    b'{"payload":"e30","protected":"e30","signature":"AA","header":{"etsiU":["e30",{"sigTst":{}}]}}',
    b'{"payload":"e30","protected":"e30","signature":"AA","header":{"x":"\\ud800"}}',
]


@pytest.mark.parametrize("attack", HOSTILE)
def test_what_is_no_flattened_signature_is_not_stamped(attack: bytes) -> None:
    with pytest.raises(InvalidInput):
        add_signature_timestamp(attack, NullStamper())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["payload", "protected", "header", "signature", "etsiU", "x"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_json_raises_nothing_but_ours(value: object) -> None:
    try:
        add_signature_timestamp(compact_json(value), NullStamper())
    except ServiceError as error:
        assert error.code in (ErrorCode.INPUT_MALFORMED, ErrorCode.JSON_MALFORMED)


@given(st.binary(max_size=80))
def test_random_bytes_raise_nothing_but_ours(data: bytes) -> None:
    with pytest.raises(ServiceError):
        add_signature_timestamp(data, NullStamper())


@given(st.binary(min_size=1, max_size=400))
def test_any_payload_survives_the_round_trip(path: TrustPath, payload: bytes) -> None:
    data = sign_jades(payload, path.clinician.key, path.clinician.chain, signed_at=NOW)
    assert unb64url(json.loads(data)["payload"]) == payload
