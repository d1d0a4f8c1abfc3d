"""The printed prescription code as we write it; another implementation reads it, and writes what we read."""

import hashlib
import json
import zlib
from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cwt import COSE, COSEKey, VerifyError

from hsm.soft import UnsafeSoftKey
from pki import base45, cbor
from pki.errors import InvalidInput
from pki.keys import SignatureAlgorithm
from signer import prescription_code
from signer.errors import SignerMismatch
from signer.formats.choice import SignatureFormat, sign_as
from signer.formats.cose import MAX_CHARACTERS, VALID_FOR, sign_cose
from signer.samples import sample_prescription
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, expect, only
from tests.support.pki import Holder, new_key
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician, make_zoo

DOCUMENT = sample_prescription()


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return make_zoo()


def sign(holder: Holder, document: bytes = DOCUMENT, **options: Any) -> bytes:
    return sign_cose(document, holder.key, holder.chain, signed_at=SIGNED_AT, **options)


def unwrapped(text: bytes) -> tuple[Any, Any, Any]:
    """Take a code apart with another implementation: protected header, unprotected header, claims."""
    assert text.startswith(b"IRX1:")
    tag = cbor2.loads(zlib.decompress(base45.decode(text[5:])))
    assert tag.tag == 18
    protected, unprotected, payload, _ = tag.value
    return cbor2.loads(protected), unprotected, cbor2.loads(payload)


def public(holder: Holder, kid: bytes = b"any") -> Any:
    key = holder.x509.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return COSEKey.from_pem(key, kid=kid)


def test_a_code_says_what_was_prescribed_and_which_document_it_belongs_to(zoo: Zoo) -> None:
    protected, unprotected, claims = unwrapped(sign(zoo.clinician))
    assert protected == {1: -7, 33: zoo.clinician.certificate.der}
    assert unprotected == {}
    issued = int(SIGNED_AT.timestamp())
    prescription = claims.pop(-65537)
    assert claims == {6: issued, 4: issued + VALID_FOR.total_seconds(), 7: prescription_code.document_id(DOCUMENT)}
    assert prescription[1] == hashlib.sha256(DOCUMENT).digest()
    assert [quantity for _, quantity, _ in prescription[2]] == ["21 عدد", "1 شیشه"]
    assert prescription[2][0][0] == "آموکسی\u200cسیلین ۵۰۰ میلی\u200cگرم کپسول"


def test_another_implementation_verifies_a_code(zoo: Zoo) -> None:
    kid = prescription_code.key_id(zoo.clinician.certificate)
    for with_certificate in (True, False):
        cose = prescription_code.from_text(sign(zoo.clinician, with_certificate=with_certificate))
        payload = COSE.new().decode(cose, keys=[public(zoo.clinician, kid)])
        assert cbor2.loads(payload)[6] == int(SIGNED_AT.timestamp())
        stranger = make_clinician(zoo.intermediate)
        with pytest.raises(VerifyError):
            COSE.new().decode(cose, keys=[public(stranger, kid)])


def test_a_code_of_another_implementation_passes(zoo: Zoo) -> None:
    key = COSEKey.from_pem(zoo.clinician.key.private_pem(), kid=b"doctor-1")
    claims = cbor2.dumps({6: int(SIGNED_AT.timestamp()), 1: "a ministry"})
    leaf = zoo.clinician.certificate
    cose = COSE.new(alg_auto_inclusion=True).encode_and_sign(claims, key, protected={33: leaf.der})
    text = prescription_code.to_text(cose)
    expect(verify_bytes(text, zoo.context()), PASSED)
    by_kid = COSE.new(alg_auto_inclusion=True, kid_auto_inclusion=True).encode_and_sign(claims, key)
    expect(verify_bytes(prescription_code.to_text(by_kid), zoo.context(anchors=(leaf,))), PASSED)
    other = make_clinician(zoo.intermediate).certificate
    expect(verify_bytes(prescription_code.to_text(by_kid), zoo.context(anchors=(other,))), FAILED, "SIG_CRYPTO_FAILURE")


@pytest.mark.parametrize("algorithm", [SignatureAlgorithm.ES384, SignatureAlgorithm.RS256])
def test_codes_of_other_keys_pass(zoo: Zoo, algorithm: SignatureAlgorithm) -> None:
    holder = make_clinician(zoo.intermediate, key=new_key(algorithm))
    verdict = verify_bytes(sign(holder), zoo.context())
    expect(verdict, PASSED)
    assert only(verdict).algorithm == algorithm


def test_what_is_no_fhir_document_is_named_by_its_digest_alone(zoo: Zoo) -> None:
    for document in (b"%PDF-1.7", b"[1]", b"{}", b'{"resourceType":"Patient"}', b'"a"'):
        _, _, claims = unwrapped(sign(zoo.clinician, document))
        assert claims[-65537] == {1: hashlib.sha256(document).digest()}


def test_a_code_has_its_own_life_and_one_spelling(zoo: Zoo) -> None:
    text = sign(zoo.clinician, valid_for=timedelta(hours=1))
    _, _, claims = unwrapped(text)
    assert claims[4] - claims[6] == 3600
    _, deterministic = cbor.decode(prescription_code.from_text(text))
    assert deterministic


def test_what_cannot_be_printed_or_signed_is_refused(zoo: Zoo) -> None:
    long = "".join(hashlib.sha256(bytes((number,))).hexdigest() for number in range(120))
    item = {"resourceType": "MedicationRequest", "medicationCodeableConcept": {"text": long}}
    with pytest.raises(InvalidInput, match="characters"):
        sign(zoo.clinician, json.dumps(item).encode())
    assert len(sign(zoo.clinician)) < MAX_CHARACTERS
    with pytest.raises(InvalidInput):
        sign(zoo.clinician, b"")
    with pytest.raises(SignerMismatch):
        sign_cose(DOCUMENT, UnsafeSoftKey.generate(SignatureAlgorithm.ES256), zoo.clinician.chain, signed_at=SIGNED_AT)
    with pytest.raises(InvalidInput, match="time-stamp"):
        sign_as(
            SignatureFormat.COSE,
            DOCUMENT,
            zoo.clinician.key,
            zoo.clinician.chain,
            content_type="application/fhir+json",
            signed_at=SIGNED_AT,
            stamper=zoo.stamper(SIGNED_AT),
        )
