"""Rows 19 to 21: time-stamps that prove nothing."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from pki import der, oids
from pki.jose import compact_json, json_object
from signer.formats import jades as jades_format
from signer.formats.jades import sign_jades
from signer.formats.pades import sign_pades
from signer.samples import sample_pdf
from signer.validation.reasons import Reason
from signer.validation.verdict import Crypto, TimeProof
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.forge import CmsForge, attribute, forge_token
from tests.support.pdf_stamps import document_stamped
from tests.support.pki import NOW, Holder
from tests.support.zoo import SIGNED_AT, Zoo

DAY = timedelta(days=1)
AFTER = SIGNED_AT + DAY


def _with_token(zoo: Zoo, token: Callable[[bytes], bytes]) -> bytes:
    forge = CmsForge(content=b"content", holder=zoo.clinician, signing_time=SIGNED_AT)
    value = zoo.clinician.key.sign(der.tlv(der.SET, *forge.attributes()))
    forge.spoil = lambda _value: value
    forge.unsigned = (attribute(oids.ATTR_SIGNATURE_TIMESTAMP, token(value)),)
    return forge.build()


BAD_IMPRINTS: dict[str, Callable[[bytes], bytes]] = {
    "of-another-signature": lambda _value: hashlib.sha256(b"another signature").digest(),
    "of-the-digest-twice": lambda value: hashlib.sha256(hashlib.sha256(value).digest()).digest(),
    "empty": lambda _value: b"",
}


@pytest.mark.parametrize("name", BAD_IMPRINTS)
def test_a_time_stamp_of_other_data_is_ignored(zoo: Zoo, name: str) -> None:
    data = _with_token(zoo, lambda value: forge_token(BAD_IMPRINTS[name](value), zoo.tsa, SIGNED_AT))
    verdict = verify_bytes(data, zoo.context())
    expect(verdict, PASSED)
    signature = only(verdict)
    assert (signature.level, signature.time_proof, signature.proven_at) == ("B-B", TimeProof.CLAIMED, None)
    assert [(t.indication, t.sub_indication) for t in signature.timestamps] == [(FAILED, "HASH_FAILURE")]
    assert Reason.TIMESTAMP_IGNORED in reasons(verdict)
    crl = zoo.intermediate.crl({zoo.clinician.certificate.serial: AFTER})
    expect(verify_bytes(data, zoo.context(status_sources=(zoo.status(crl),))), UNDECIDED, "REVOKED_NO_POE")


def test_a_jades_time_stamp_copied_from_another_signature_is_ignored(zoo: Zoo) -> None:
    stamped, other = (
        json_object(
            jades_format.add_signature_timestamp(
                sign_jades(b"{}", zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT), zoo.stamper(SIGNED_AT)
            )
        ),
        json_object(sign_jades(b"[]", zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)),
    )
    verdict = verify_bytes(compact_json(other | {"header": stamped["header"]}), zoo.context())
    expect(verdict, PASSED)
    assert only(verdict).time_proof is TimeProof.CLAIMED
    assert [t.sub_indication for t in only(verdict).timestamps] == ["HASH_FAILURE"]


def _stamped_by(zoo: Zoo, tsa: Holder, at: datetime = SIGNED_AT) -> Any:
    data = _with_token(zoo, lambda value: forge_token(hashlib.sha256(value).digest(), tsa, at))
    verdict = verify_bytes(data, zoo.context())
    expect(verdict, PASSED)
    assert only(verdict).time_proof is TimeProof.CLAIMED
    (stamp,) = only(verdict).timestamps
    return stamp.indication, stamp.sub_indication


def test_a_forged_but_regular_token_counts(zoo: Zoo) -> None:
    data = _with_token(zoo, lambda value: forge_token(hashlib.sha256(value).digest(), zoo.tsa, SIGNED_AT))
    assert only(verify_bytes(data, zoo.context())).time_proof is TimeProof.TIMESTAMP


def test_an_authority_without_its_critical_usage_is_no_authority(zoo: Zoo) -> None:
    usages: tuple[dict[str, Any], ...] = (
        {"extended": (oids.EKU_TIME_STAMPING,), "extended_critical": False},
        {"extended": (oids.EKU_TIME_STAMPING, oids.EKU_CLIENT_AUTH), "extended_critical": True},
        {"extended": None},
    )
    for usage in usages:
        tsa = zoo.intermediate.issue("Not quite a TSA", usage=("digital_signature",), **usage)
        assert _stamped_by(zoo, tsa) == (UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")


def test_an_expired_authority_proves_nothing_alone(zoo: Zoo) -> None:
    tsa = zoo.intermediate.issue(
        "Old TSA",
        usage=("digital_signature",),
        extended=(oids.EKU_TIME_STAMPING,),
        extended_critical=True,
        not_after=NOW - DAY,
    )
    assert _stamped_by(zoo, tsa) == (UNDECIDED, "OUT_OF_BOUNDS_NO_POE")


def test_a_time_stamp_from_the_future_is_not_proof(zoo: Zoo) -> None:
    assert _stamped_by(zoo, zoo.tsa, NOW + DAY) == (UNDECIDED, "TIMESTAMP_ORDER_FAILURE")


def test_a_token_that_cannot_be_read_is_ignored(zoo: Zoo) -> None:
    verdict = verify_bytes(_with_token(zoo, lambda _value: der.sequence(der.integer(1))), zoo.context())
    expect(verdict, PASSED)
    assert [t.sub_indication for t in only(verdict).timestamps] == ["FORMAT_FAILURE"]


def test_a_content_time_stamp_from_after_the_signature_is_out_of_order(zoo: Zoo) -> None:
    token = zoo.stamper(AFTER).stamp(hashlib.sha256(b"content").digest())
    content_stamp = attribute("1.2.840.113549.1.9.16.2.20", token)
    forge = CmsForge(content=b"content", holder=zoo.clinician, signing_time=SIGNED_AT, extra=(content_stamp,))
    value = zoo.clinician.key.sign(der.tlv(der.SET, *forge.attributes()))
    forge.spoil = lambda _value: value
    stamp = zoo.stamper(SIGNED_AT).stamp(hashlib.sha256(value).digest())
    forge.unsigned = (attribute(oids.ATTR_SIGNATURE_TIMESTAMP, stamp),)
    expect(verify_bytes(forge.build(), zoo.context()), UNDECIDED, "TIMESTAMP_ORDER_FAILURE")


# Tokens of their own


def test_a_token_file_needs_its_data(zoo: Zoo) -> None:
    token = zoo.stamper(SIGNED_AT).stamp(hashlib.sha256(b"data").digest())
    expect(verify_bytes(token, zoo.context()), UNDECIDED, "SIGNED_DATA_NOT_FOUND")
    verdict = verify_bytes(token, zoo.context(content=b"data"))
    expect(verdict, PASSED)
    assert verdict.format == "RFC3161"
    assert [stamp.generated_at for stamp in verdict.timestamps] == [SIGNED_AT]
    assert only(verdict).time_proof is TimeProof.TIMESTAMP
    expect(verify_bytes(token, zoo.context(content=b"other")), FAILED, "HASH_FAILURE")


@pytest.mark.parametrize(("name", "hash_oid"), [("sha1", oids.SHA1), ("md5", oids.MD5)])
def test_a_token_over_a_weak_digest_of_its_data_proves_nothing(zoo: Zoo, name: str, hash_oid: str) -> None:
    digest = hashlib.new(name, b"data", usedforsecurity=False).digest()
    verdict = verify_bytes(forge_token(digest, zoo.tsa, SIGNED_AT, hash_oid=hash_oid), zoo.context(content=b"data"))
    expect(verdict, UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
    assert only(verdict).crypto is Crypto.INTACT


def test_a_token_does_not_vouch_for_itself(zoo: Zoo) -> None:
    expired = zoo.intermediate.issue(
        "Old TSA",
        usage=("digital_signature",),
        extended=(oids.EKU_TIME_STAMPING,),
        extended_critical=True,
        not_after=NOW - DAY,
    )
    token = forge_token(hashlib.sha256(b"data").digest(), expired, SIGNED_AT)
    expect(verify_bytes(token, zoo.context(content=b"data")), UNDECIDED, "OUT_OF_BOUNDS_NO_POE")


def test_a_document_time_stamp_from_before_the_signature_is_out_of_order(zoo: Zoo) -> None:
    by = zoo.clinician
    signed = sign_pades(sample_pdf(), by.key, by.chain, signed_at=SIGNED_AT, stamper=zoo.stamper(SIGNED_AT))
    for at, answer in ((SIGNED_AT - DAY, (UNDECIDED, "TIMESTAMP_ORDER_FAILURE")), (AFTER, (PASSED, None))):
        expect(verify_bytes(document_stamped(signed, zoo.stamper(at)), zoo.context()), *answer)
