"""Rows 38 and 39: the printed prescription code. Good ones pass; one wrong thing has its one answer."""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki import base45, cbor
from pki.errors import InvalidInput
from signer import prescription_code
from signer.formats.cose import sign_cose
from signer.formats.jades import sign_jades
from signer.parsers.cose import parse_cose
from signer.validation.policy import DEFAULT
from signer.validation.reasons import Reason
from signer.validation.report import ReportedFile, verdict_json
from signer.validation.report_html import report_html
from signer.validation.report_xml import report_xml
from signer.validation.verdict import Assurance, Care, Crypto, FileVerdict
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.cose_forge import ALG, CRIT, EXP, IAT, KID, NBF, X5CHAIN, X5T, CoseForge, Header, seconds
from tests.support.forge import flip
from tests.support.pki import NOW, Holder
from tests.support.zoo import SIGNED_AT, Zoo, admission, make_clinician


@pytest.fixture(scope="module")
def colleague(zoo: Zoo) -> Holder:
    return make_clinician(zoo.intermediate)


@pytest.fixture(scope="module")
def code(zoo: Zoo, content: bytes) -> bytes:
    return sign_cose(content, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)


def test_a_good_code_passes_with_its_dates_and_document(zoo: Zoo, code: bytes, content: bytes) -> None:
    verdict = verify_bytes(code, zoo.context(content=content))
    expect(verdict, PASSED)
    signature = only(verdict)
    assert (verdict.format, signature.level, signature.care) == ("COSE", "B-B", Care.VALID)
    line = verdict_json(verdict, "code")["signatures"][0]
    assert line["claims"] == {
        "id": prescription_code.document_id(content).hex(),
        "issued_at": "2026-11-20T09:00:00Z",
        "not_before": None,
        "expires_at": "2026-12-20T09:00:00Z",
        "document_sha256": hashlib.sha256(content).hexdigest(),
    }
    assert (line["signer"]["identity"]["council_number"], line["algorithm"]) == ("123456", "ES256")


# Row 38: structure


def opened(by: bytes, *, end: bytes = b"", without: int = 0) -> dict[str, Any]:
    """Wrap the four parts otherwise than in their tag."""
    return {"tagged": lambda parts: by + parts[without:] + end}


BROKEN: dict[str, dict[str, Any]] = {
    "alg-only-unprotected": {"protected": {ALG: None}, "unprotected": {ALG: -7}},
    "alg-missing": {"protected": {ALG: None}},
    "alg-a-mac": {"protected": {ALG: 5}},
    "alg-no-name": {"protected": {ALG: b"ES256"}},
    "alg-in-both": {"unprotected": {ALG: -7}},
    "crit-unknown-label": {"protected": {CRIT: [-70000], -70000: 1}},
    "crit-absent-label": {"protected": {CRIT: [15]}},
    "crit-empty": {"protected": {CRIT: []}},
    "crit-twice": {"protected": {CRIT: [ALG, ALG]}},
    "crit-no-array": {"protected": {CRIT: 1}},
    "crit-unprotected": {"unprotected": {CRIT: [ALG]}},
    "indefinite-protected-header": {"raw_protected": b"\xbf\x01\x26\xff"},
    "indefinite-unprotected-header": {"raw_unprotected": b"\xbf\xff"},
    "indefinite-claims": {"raw_payload": b"\xbf\x06\x1a\x6a\x00\x00\x00\xff"},
    "duplicate-key-in-the-protected-header": {"raw_protected": b"\xa2\x01\x26\x01\x26"},
    "duplicate-key-in-the-unprotected-header": {"raw_unprotected": b"\xa2\x04\x41\x01\x04\x41\x02"},
    "duplicate-claim": {"raw_payload": b"\xa2\x04\x1a\x6a\x00\x00\x00\x04\x1a\x7a\x00\x00\x00"},
    "tag-of-several-signers": opened(b"\xd8\x62"),
    "tag-of-a-mac": opened(b"\xd1"),
    "no-tag": opened(b""),
    "tag-twice": opened(b"\xd2\xd2"),
    "five-parts": opened(b"\xd2\x85", end=b"\x00", without=1),
    "octets-after-the-end": opened(b"\xd2", end=b"\x00"),
    "claims-no-map": {"raw_payload": b"\x80"},
    "claims-not-cbor": {"raw_payload": b"hello"},
    "exp-a-text": {"claims": {EXP: "2026"}},
    "exp-true": {"claims": {EXP: True}},
    "exp-beyond-the-calendar": {"claims": {EXP: 2**63}},
    "x5chain-no-certificate": {"protected": {X5CHAIN: b"\x30\x00"}},
    "x5chain-empty": {"protected": {X5CHAIN: []}},
    "x5chain-a-text": {"protected": {X5CHAIN: "leaf"}},
    "x5t-of-an-unknown-hash": {"protected": {X5T: [-70001, b"x"]}},
    "x5t-no-pair": {"protected": {X5T: b"x"}},
    "x5u": {"protected": {35: "https://example.invalid/leaf"}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_structure_is_a_format_failure(zoo: Zoo, name: str) -> None:
    verdict = verify_bytes(CoseForge(holder=zoo.clinician, **BROKEN[name]).text(), zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert verdict.format == "COSE"


def test_text_that_is_no_wrapped_code_is_a_format_failure(zoo: Zoo, code: bytes) -> None:
    cose = prescription_code.from_text(code)
    deflated = zlib.compress(cose)
    bomb = zlib.compress(bytes(1_000_000), 9)
    for data in (
        b"IRX1:",
        code[:-1],
        code + b"A",
        code + b"\n\n",
        b" " + code,
        code.lower().replace(b"irx1", b"IRX1"),
        b"IRX1:" + base45.encode(cose),
        b"IRX1:" + base45.encode(deflated[:-4]),
        b"IRX1:" + base45.encode(deflated + b"\x00"),
        b"IRX1:" + base45.encode(deflated + deflated),
        b"IRX1:" + base45.encode(bomb),
        b"IRX1:" + b"0" * 20_000,
    ):
        expect(verify_bytes(data, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_bomb_is_left_after_its_limit() -> None:
    with pytest.raises(InvalidInput, match="too far"):
        prescription_code.from_text(b"IRX1:" + base45.encode(zlib.compress(bytes(1_000_000), 9)))


# Row 38: keys and values


def test_a_changed_claim_or_value_is_a_crypto_failure(zoo: Zoo, code: bytes) -> None:
    cose = prescription_code.from_text(code)
    for at in (-1, -40, -70):  # the value's ends, and the last claim
        verdict = verify_bytes(prescription_code.to_text(flip(cose, at)), zoo.context())
        expect(verdict, FAILED, "SIG_CRYPTO_FAILURE")
        assert only(verdict).crypto is Crypto.BROKEN
    for value in (bytes(64), b"\xff" * 64, bytes(65), b"", zoo.clinician.key.sign(b"as DER")):
        forge = CoseForge(holder=zoo.clinician, spoil=instead(value))
        expect(verify_bytes(forge.text(), zoo.context()), FAILED, "SIG_CRYPTO_FAILURE")


def instead(value: bytes) -> Callable[[bytes], bytes]:
    return lambda _: value


def by_kid(zoo: Zoo, kid: bytes, *anchors: Holder) -> FileVerdict:
    forge = CoseForge(holder=zoo.clinician, protected={X5CHAIN: None, KID: kid})
    trusted = tuple(holder.certificate for holder in anchors)
    return verify_bytes(forge.text(), zoo.context(anchors=trusted))


def test_a_kid_alone_is_resolved_against_the_anchors_given(zoo: Zoo, colleague: Holder) -> None:
    leaf = zoo.clinician.certificate
    known = leaf.subject_key_identifier
    assert known is not None
    for kid in (leaf.sha256[:8], leaf.sha256, known, b"doctor-1"):
        for anchors in ((zoo.clinician,), (colleague, zoo.clinician)):
            verdict = by_kid(zoo, kid, *anchors)
            expect(verdict, PASSED)
            signer = only(verdict).signer
            assert signer is not None
            assert signer.certificate == leaf
            assert only(verdict).level is None  # nothing signed binds the certificate
    unsigned: tuple[Header, ...] = ({KID: leaf.sha256[:8]}, {})
    for unprotected in unsigned:
        forge = CoseForge(holder=zoo.clinician, protected={X5CHAIN: None}, unprotected=unprotected)
        expect(verify_bytes(forge.text(), zoo.context(anchors=(leaf,))), PASSED)


def test_a_kid_of_another_issuer_is_a_crypto_failure(zoo: Zoo, colleague: Holder) -> None:
    other = colleague.certificate.sha256[:8]
    expect(by_kid(zoo, other, colleague), FAILED, "SIG_CRYPTO_FAILURE")
    expect(by_kid(zoo, other, zoo.clinician, colleague), FAILED, "SIG_CRYPTO_FAILURE")
    expect(by_kid(zoo, b"doctor-2", colleague), FAILED, "SIG_CRYPTO_FAILURE")


def test_a_kid_of_nobody_known_leaves_the_signer_unknown(zoo: Zoo, colleague: Holder) -> None:
    for kid, anchors in ((bytes(range(200, 208)), (zoo.clinician,)), (b"doctor-3", (colleague, zoo.tsa))):
        verdict = by_kid(zoo, kid, *anchors)
        expect(verdict, UNDECIDED, "NO_SIGNING_CERTIFICATE_FOUND")
        assert only(verdict).crypto is Crypto.UNKNOWN


def test_the_certificate_must_be_bound_by_what_is_signed(zoo: Zoo, colleague: Holder) -> None:
    leaf = zoo.clinician.certificate
    loose = CoseForge(holder=zoo.clinician, protected={X5CHAIN: None}, unprotected={X5CHAIN: leaf.der})
    verdict = verify_bytes(loose.text(), zoo.context())
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert Reason.SIGNING_CERTIFICATE_REFERENCE_MISSING in reasons(verdict)
    loose.protected[X5T] = [-16, leaf.sha256]
    bound = verify_bytes(loose.text(), zoo.context())
    expect(bound, PASSED)
    assert only(bound).level == "B-B"
    loose.protected[X5T] = [-16, colleague.certificate.sha256]
    expect(verify_bytes(loose.text(), zoo.context()), UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    named = CoseForge(holder=zoo.clinician, protected={X5CHAIN: None, X5T: [-16, leaf.sha256]})
    expect(verify_bytes(named.text(), zoo.context(anchors=(leaf,))), PASSED)


def test_an_algorithm_nobody_knows_leaves_the_crypto_unknown(zoo: Zoo) -> None:
    unknown: tuple[cbor.Value, ...] = (-70002, "private", "ES256")
    for algorithm in unknown:
        verdict = verify_bytes(CoseForge(holder=zoo.clinician, protected={ALG: algorithm}).text(), zoo.context())
        expect(verdict, UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE")
    for other in (-35, -257, -8):
        forge = CoseForge(holder=zoo.clinician, protected={ALG: other})
        expect(verify_bytes(forge.text(), zoo.context()), FAILED, "SIG_CRYPTO_FAILURE")


# Row 38: dates


DATES: dict[str, tuple[Header, Reason]] = {
    "expired": ({EXP: seconds(NOW - timedelta(days=1))}, Reason.CONTENT_EXPIRED),
    "expires-now": ({EXP: seconds(NOW)}, Reason.CONTENT_EXPIRED),
    "issued-in-the-future": ({IAT: seconds(NOW + timedelta(days=1))}, Reason.CONTENT_NOT_YET),
    "not-before-in-the-future": ({NBF: seconds(NOW + timedelta(days=1))}, Reason.CONTENT_NOT_YET),
}


@pytest.mark.parametrize("name", DATES)
def test_content_out_of_its_dates_is_not_for_use_though_its_signature_holds(zoo: Zoo, name: str) -> None:
    claims, reason = DATES[name]
    verdict = verify_bytes(CoseForge(holder=zoo.clinician, claims=claims).text(), zoo.context())
    expect(verdict, PASSED)
    signature = only(verdict)
    assert (signature.care, signature.crypto, signature.assurance) == (Care.INVALID, Crypto.INTACT, Assurance.A2)
    assert reason in reasons(verdict)
    line = verdict_json(verdict, "code")["signatures"][0]
    assert str(reason) in [found["code"] for found in line["reasons"]]
    assert str(reason).encode() in report_xml(verdict)
    assert str(reason) in report_html(verdict, ReportedFile(name="code", size=1, sha256="00"))


def test_content_without_dates_or_within_the_clocks_skew_may_be_used(zoo: Zoo) -> None:
    soon = seconds(NOW + timedelta(minutes=4))
    usable: tuple[Header, ...] = ({EXP: None}, {IAT: soon}, {NBF: soon}, {EXP: seconds(NOW) + 1}, {IAT: None})
    for claims in usable:
        verdict = verify_bytes(CoseForge(holder=zoo.clinician, claims=claims).text(), zoo.context())
        expect(verdict, PASSED)
        assert only(verdict).care is Care.VALID


# Row 39


def test_a_code_beside_another_document_is_not_accepted(zoo: Zoo, code: bytes, content: bytes) -> None:
    verdict = verify_bytes(code, zoo.context(content=content + b" "))
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert Reason.DOCUMENT_DIFFERS in reasons(verdict)
    assert (only(verdict).crypto, only(verdict).care) == (Crypto.INTACT, Care.INVALID)


def test_a_code_beside_its_signed_document_passes(zoo: Zoo, code: bytes, content: bytes, jades: bytes) -> None:
    expect(verify_bytes(code, zoo.context(content=jades)), PASSED)
    other = sign_jades(content + b" ", zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    for wrong in (other, jades[:-2]):
        expect(verify_bytes(code, zoo.context(content=wrong)), UNDECIDED, "SIG_CONSTRAINTS_FAILURE")


def test_a_code_that_names_no_document_has_only_its_payload(zoo: Zoo) -> None:
    forge = CoseForge(holder=zoo.clinician)
    expect(verify_bytes(forge.text(), zoo.context(content=forge.payload())), PASSED)
    expect(verify_bytes(forge.text(), zoo.context(content=b"other")), FAILED, "HASH_FAILURE")
    forge.detached = True
    expect(verify_bytes(forge.text(), zoo.context(content=forge.payload())), PASSED)
    expect(verify_bytes(forge.text(), zoo.context()), UNDECIDED, "SIGNED_DATA_NOT_FOUND")


# Other spellings


def test_codes_of_others_and_the_bare_structure_are_read_too(zoo: Zoo) -> None:
    forge = CoseForge(holder=zoo.clinician)
    for data in (forge.cose(), b"\xd8\x3d" + forge.cose(), b"\xd9\xd9\xf7" + forge.cose(), forge.text() + b"\r\n"):
        expect(verify_bytes(data, zoo.context()), PASSED)
    forge.prefix = b"HC1:"
    expect(verify_bytes(forge.text(), zoo.context()), PASSED)


def test_the_structure_of_others_may_be_without_its_tag_and_hold_anything(zoo: Zoo) -> None:
    bare = CoseForge(holder=zoo.clinician, tagged=lambda parts: parts)
    plain = CoseForge(holder=zoo.clinician, raw_payload=b'{"resourceType": "Basic"}')
    typed = CoseForge(holder=zoo.clinician, raw_payload=b"\xa1\x04\x61x", protected={3: "application/cbor"})
    for data in (bare.cose(), plain.cose(), typed.cose()):
        expect(verify_bytes(data, zoo.context()), PASSED)
    for data in (bare.text(), plain.text(), b"\xd8\x3d" + plain.cose()):
        expect(verify_bytes(data, zoo.context()), FAILED, "FORMAT_FAILURE")
    endless = CoseForge(holder=zoo.clinician, tagged=lambda parts: b"\xd2\x9f" + parts[1:] + b"\xff").cose()
    expect(verify_bytes(endless, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_another_order_or_length_is_noted_and_changes_nothing(zoo: Zoo) -> None:
    leaf = zoo.clinician.certificate.der
    unsorted = b"\xa2\x18\x21\x59" + len(leaf).to_bytes(2, "big") + leaf + b"\x01\x26"
    for forge in (
        CoseForge(holder=zoo.clinician, raw_protected=unsorted),
        CoseForge(holder=zoo.clinician, tagged=lambda parts: b"\xd8\x12" + parts),
    ):
        verdict = verify_bytes(forge.text(), zoo.context())
        expect(verdict, PASSED)
        noted = reasons(verdict) | {finding.reason for finding in verdict.findings}
        assert Reason.CBOR_NOT_DETERMINISTIC in noted


def test_counter_signatures_and_time_stamps_in_headers_are_named(zoo: Zoo) -> None:
    forge = CoseForge(holder=zoo.clinician, unprotected={11: b"x", 269: b"x"})
    found = reasons(verify_bytes(forge.text(), zoo.context()))
    assert {Reason.COUNTERSIGNATURE_NOT_EVALUATED, Reason.TIMESTAMP_NOT_EVALUATED} <= found


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_a_mutated_code_never_passes_as_another_property(zoo: Zoo, code: bytes, draw: st.DataObject) -> None:
    cose = prescription_code.from_text(code)
    at = draw.draw(st.integers(0, len(cose) - 1))
    changed = cose[:at] + draw.draw(st.binary(max_size=6)) + cose[at + draw.draw(st.integers(0, 6)) :]
    try:
        (parsed,) = parse_cose(prescription_code.to_text(changed), None).signatures
    except InvalidInput:
        parsed = None
    verdict = verify_bytes(prescription_code.to_text(changed), zoo.context())
    if changed != cose and parsed is not None and verdict.indication is PASSED:
        covered = [item.sha256 for item in only(verdict).covered]
        assert covered == [item.sha256 for item in only(verify_bytes(code, zoo.context())).covered]


def test_a_code_is_a_prescription_whoever_may_sign_those_decides(zoo: Zoo) -> None:
    policy = replace(DEFAULT, professions_for={"MedicationRequest": frozenset(("physician",))})
    midwife = make_clinician(zoo.intermediate, extra=((admission("midwife"), False),))
    for good in (CoseForge(holder=zoo.clinician), CoseForge(holder=midwife, prefix=b"HC1:")):
        expect(verify_bytes(good.text(), zoo.context(policy=policy)), PASSED)
    for forge in (CoseForge(holder=midwife), CoseForge(holder=midwife, prefix=b"HC1:", claims={-65537: {}})):
        verdict = verify_bytes(forge.text(), zoo.context(policy=policy))
        expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
        assert Reason.PROFESSION_NOT_ADMITTED in reasons(verdict)
