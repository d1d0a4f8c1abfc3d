"""Rows 10 to 17: revoked before and after, expired, not yet valid, silent status."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from signer.formats import cades as cades_format
from signer.formats import jades as jades_format
from signer.formats.cades import sign_cades
from signer.formats.jades import sign_jades
from signer.formats.pades import sign_pades
from signer.samples import sample_pdf
from signer.validation.policy import ARCHIVE, DEFAULT
from signer.validation.reasons import Reason
from signer.validation.verdict import Assurance, Care, TimeProof
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.ocsp_forge import ocsp_answer
from tests.support.pki import NOW, Holder
from tests.support.zoo import SIGNED_AT, Zoo, admission, make_clinician

DAY = timedelta(days=1)
BEFORE, AFTER = SIGNED_AT - DAY, SIGNED_AT + DAY


def jades_t(zoo: Zoo, at: datetime = SIGNED_AT, holder: Holder | None = None, tsa: Holder | None = None) -> bytes:
    by = holder or zoo.clinician
    return jades_format.add_signature_timestamp(sign_jades(b"{}", by.key, by.chain, signed_at=at), zoo.stamper(at, tsa))


def cades_t(zoo: Zoo) -> bytes:
    by = zoo.clinician
    plain = sign_cades(b"content", by.key, by.chain, signed_at=SIGNED_AT, detached=False)
    return cades_format.add_signature_timestamp(plain, zoo.stamper(SIGNED_AT))


def pades_t(zoo: Zoo) -> bytes:
    by = zoo.clinician
    return sign_pades(sample_pdf(), by.key, by.chain, signed_at=SIGNED_AT, stamper=zoo.stamper(SIGNED_AT))


STAMPED: dict[str, Callable[[Zoo], bytes]] = {"jades": jades_t, "cades": cades_t, "pades": pades_t}


def revoked(zoo: Zoo, at: datetime, **entry: Any) -> Any:
    """Return a context in which the clinician was revoked at `at`, by a CRL of an hour ago."""
    crl = zoo.intermediate.crl({zoo.clinician.certificate.serial: at}, **entry)
    return zoo.context(status_sources=(zoo.status(crl),))


def test_an_archive_takes_nobodys_word_on_the_time(zoo: Zoo) -> None:
    by = zoo.clinician
    claimed = verify_bytes(sign_jades(b"{}", by.key, by.chain, signed_at=SIGNED_AT), zoo.context(policy=ARCHIVE))
    expect(claimed, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert Reason.TIME_PROOF_REQUIRED in reasons(claimed)
    expect(verify_bytes(jades_t(zoo), zoo.context(policy=ARCHIVE)), PASSED)
    stale = zoo.context(policy=ARCHIVE, status_sources=(zoo.status(this_update=BEFORE),))
    expect(verify_bytes(jades_t(zoo), stale), UNDECIDED, "TRY_LATER")


@pytest.mark.parametrize("form", STAMPED)
def test_a_good_time_stamp_proves_the_time(zoo: Zoo, form: str) -> None:
    verdict = verify_bytes(STAMPED[form](zoo), zoo.context())
    expect(verdict, PASSED)
    signature = only(verdict)
    assert (signature.level, signature.time_proof) == ("B-T", TimeProof.TIMESTAMP)
    assert (signature.proven_at, signature.assurance) == (SIGNED_AT, Assurance.A3)


# Rows 10 to 13


@pytest.mark.parametrize("form", STAMPED)
def test_revoked_before_the_proven_time_fails(zoo: Zoo, form: str) -> None:
    verdict = verify_bytes(STAMPED[form](zoo), revoked(zoo, BEFORE))
    expect(verdict, FAILED, "REVOKED")
    assert only(verdict).care is Care.INVALID


def test_revoked_without_proof_of_time_stays_undecided(zoo: Zoo, cades: bytes, jades: bytes, pades: bytes) -> None:
    for data in (cades, jades, pades):
        for when in (BEFORE, AFTER):
            verdict = verify_bytes(data, revoked(zoo, when))
            expect(verdict, UNDECIDED, "REVOKED_NO_POE")
            assert only(verdict).care is Care.INVALID


def test_the_mark_of_a_responder_saves_no_signer_from_being_asked_about(zoo: Zoo, content: bytes) -> None:
    marked = make_clinician(zoo.intermediate, extra=((admission(), False), (x509.OCSPNoCheck(), False)))
    signed = sign_cades(content, marked.key, marked.chain, signed_at=SIGNED_AT, detached=False)
    expect(verify_bytes(signed, zoo.context()), PASSED)
    status = zoo.status(zoo.intermediate.crl({marked.certificate.serial: BEFORE}))
    expect(verify_bytes(signed, zoo.context(status_sources=(status,))), UNDECIDED, "REVOKED_NO_POE")


@pytest.mark.parametrize("form", STAMPED)
def test_revoked_after_the_proven_time_passes_and_says_so(zoo: Zoo, form: str) -> None:
    verdict = verify_bytes(STAMPED[form](zoo), revoked(zoo, AFTER))
    expect(verdict, PASSED)
    assert Reason.CERTIFICATE_REVOKED_LATER in reasons(verdict)


def test_an_invalidity_date_before_signing_counts_as_the_revocation(zoo: Zoo, jades: bytes) -> None:
    context = revoked(zoo, AFTER, reason=x509.ReasonFlags.key_compromise, invalid_since=BEFORE)
    verdict = verify_bytes(jades_t(zoo), context)
    expect(verdict, FAILED, "REVOKED")
    assert Reason.INVALIDITY_DATE_USED in reasons(verdict)
    expect(verify_bytes(jades, context), UNDECIDED, "REVOKED_NO_POE")


def test_an_invalidity_date_after_signing_changes_nothing(zoo: Zoo) -> None:
    later = revoked(zoo, AFTER + DAY / 2, reason=x509.ReasonFlags.key_compromise, invalid_since=AFTER)
    expect(verify_bytes(jades_t(zoo), later), PASSED)


def test_a_revoked_ca_leaves_the_signature_undecided(zoo: Zoo, jades: bytes) -> None:
    root_crl = zoo.root.crl({zoo.intermediate.certificate.serial: BEFORE})
    status = replace(zoo.status(), crls=(root_crl, zoo.intermediate.crl()))
    verdict = verify_bytes(jades, zoo.context(status_sources=(status,)))
    expect(verdict, UNDECIDED, "REVOKED_CA_NO_POE")
    assert only(verdict).care is Care.INVALID


# Holds


def test_a_hold_leaves_the_signature_undecided_but_is_not_silence(zoo: Zoo, jades: bytes) -> None:
    held = revoked(zoo, BEFORE, reason=x509.ReasonFlags.certificate_hold)
    verdict = verify_bytes(jades, held)
    expect(verdict, UNDECIDED, "TRY_LATER")
    assert only(verdict).care is Care.INVALID
    assert Reason.CERTIFICATE_ON_HOLD in reasons(verdict)


def test_a_hold_after_the_proven_time_passes(zoo: Zoo) -> None:
    expect(verify_bytes(jades_t(zoo), revoked(zoo, AFTER, reason=x509.ReasonFlags.certificate_hold)), PASSED)


def test_a_released_hold_is_good_again(zoo: Zoo, jades: bytes) -> None:
    serial = zoo.clinician.certificate.serial
    held = zoo.intermediate.crl({serial: BEFORE}, reason=x509.ReasonFlags.certificate_hold, this_update=AFTER)
    released = zoo.status(held, zoo.intermediate.crl(this_update=NOW - DAY / 4, number=2))
    for data in (jades, jades_t(zoo)):
        expect(verify_bytes(data, zoo.context(status_sources=(released,))), PASSED)


def test_a_revocation_is_never_taken_back_by_a_later_list(zoo: Zoo, jades: bytes) -> None:
    gone = zoo.intermediate.crl({zoo.clinician.certificate.serial: BEFORE}, this_update=AFTER)
    status = zoo.status(gone, zoo.intermediate.crl(number=2))
    expect(verify_bytes(jades, zoo.context(status_sources=(status,))), UNDECIDED, "REVOKED_NO_POE")


def test_a_no_from_any_source_outweighs_a_yes_from_another(zoo: Zoo, jades: bytes) -> None:
    no = zoo.intermediate.crl({zoo.clinician.certificate.serial: BEFORE})
    context = zoo.context(status_sources=(zoo.status(), zoo.status(no)))
    expect(verify_bytes(jades, context), UNDECIDED, "REVOKED_NO_POE")


# Rows 14 and 15


def _expired(zoo: Zoo) -> Holder:
    return make_clinician(zoo.intermediate, not_after=NOW - DAY)


def test_expired_now_but_stamped_inside_validity_passes(zoo: Zoo) -> None:
    holder = _expired(zoo)
    status = zoo.status(zoo.intermediate.crl(this_update=NOW - 1.5 * DAY), zoo.intermediate.crl())
    verdict = verify_bytes(jades_t(zoo, holder=holder), zoo.context(status_sources=(status,)))
    expect(verdict, PASSED)


def test_expired_without_proof_of_time_is_out_of_bounds(zoo: Zoo) -> None:
    holder = _expired(zoo)
    data = sign_jades(b"{}", holder.key, holder.chain, signed_at=SIGNED_AT)
    verdict = verify_bytes(data, zoo.context(status_sources=()))
    expect(verdict, UNDECIDED, "OUT_OF_BOUNDS_NO_POE")
    assert only(verdict).care is Care.DEFERRED


def test_expired_but_known_not_revoked_is_told_apart(zoo: Zoo) -> None:
    holder = _expired(zoo)
    data = sign_jades(b"{}", holder.key, holder.chain, signed_at=SIGNED_AT)
    status = zoo.status(zoo.intermediate.crl(this_update=NOW - 1.5 * DAY, next_update=NOW))
    expect(verify_bytes(data, zoo.context(status_sources=(status,))), UNDECIDED, "OUT_OF_BOUNDS_NOT_REVOKED")


def test_a_list_that_dropped_expired_certificates_says_nothing(zoo: Zoo) -> None:
    data = jades_t(zoo, holder=_expired(zoo))
    expect(verify_bytes(data, zoo.context()), UNDECIDED, "TRY_LATER")


def test_a_time_stamp_from_after_expiry_proves_too_late(zoo: Zoo) -> None:
    holder = make_clinician(zoo.intermediate, not_after=SIGNED_AT - DAY)
    expect(
        verify_bytes(jades_t(zoo, holder=holder), zoo.context(status_sources=(zoo.status(),))),
        UNDECIDED,
        "OUT_OF_BOUNDS_NO_POE",
    )


def test_claimed_before_the_certificate_was_valid_is_undecided(zoo: Zoo) -> None:
    young = make_clinician(zoo.intermediate, not_before=NOW - DAY)
    data = sign_jades(b"{}", young.key, young.chain, signed_at=SIGNED_AT)
    verdict = verify_bytes(data, zoo.context())
    expect(verdict, UNDECIDED, "NOT_YET_VALID")
    assert only(verdict).care is Care.INVALID


def test_proven_before_the_certificate_was_valid_fails(zoo: Zoo) -> None:
    young = make_clinician(zoo.intermediate, not_before=NOW - DAY)
    expect(verify_bytes(jades_t(zoo, holder=young), zoo.context()), FAILED, "NOT_YET_VALID")


def test_validated_before_the_certificate_is_valid_is_undecided(zoo: Zoo, jades: bytes) -> None:
    early = zoo.context(at=zoo.clinician.certificate.not_before - DAY)
    expect(verify_bytes(jades, early), UNDECIDED, "NOT_YET_VALID")


# Row 16


def _silent(zoo: Zoo, data: bytes, **changes: Any) -> None:
    verdict = verify_bytes(data, zoo.context(**changes))
    expect(verdict, UNDECIDED, "TRY_LATER")
    assert only(verdict).care is Care.DEFERRED


def test_no_status_at_all_is_deferred(zoo: Zoo, jades: bytes) -> None:
    _silent(zoo, jades, status_sources=())


def test_a_stale_list_is_deferred(zoo: Zoo, jades: bytes) -> None:
    stale = zoo.intermediate.crl(this_update=NOW - 3 * DAY, next_update=NOW - DAY)
    _silent(zoo, jades, status_sources=(zoo.status(stale),))
    verdict = verify_bytes(jades, zoo.context(status_sources=(zoo.status(stale),)))
    assert Reason.STATUS_STALE in reasons(verdict)


def test_a_list_from_the_future_is_deferred(zoo: Zoo, jades: bytes) -> None:
    future = zoo.intermediate.crl(this_update=NOW + DAY, next_update=NOW + 2 * DAY)
    _silent(zoo, jades, status_sources=(zoo.status(future),))


def test_a_list_signed_by_another_key_is_deferred(zoo: Zoo, jades: bytes) -> None:
    impostor = zoo.root.issue_ca("Test intermediate")
    _silent(zoo, jades, status_sources=(zoo.status(impostor.crl()),))


def _responses(zoo: Zoo, *responses: bytes) -> dict[str, Any]:
    elsewhere = zoo.root.issue_ca("Elsewhere").crl()
    return {"status_sources": (zoo.status(elsewhere, responses=responses),)}


def test_a_good_ocsp_answer_counts(zoo: Zoo, jades: bytes) -> None:
    responder = zoo.intermediate.ocsp_responder()
    for by in (None, responder):
        answer = ocsp_answer(zoo.intermediate, zoo.clinician, responder=by)
        expect(verify_bytes(jades, zoo.context(**_responses(zoo, answer))), PASSED)


def test_a_revoked_ocsp_answer_counts(zoo: Zoo, jades: bytes) -> None:
    answer = ocsp_answer(zoo.intermediate, zoo.clinician, revoked_at=BEFORE)
    expect(verify_bytes(jades, zoo.context(**_responses(zoo, answer))), UNDECIDED, "REVOKED_NO_POE")


def test_a_responder_without_its_key_usage_is_deferred(zoo: Zoo, jades: bytes) -> None:
    plain = zoo.intermediate.issue("No responder", usage=("digital_signature",), extended=None)
    _silent(zoo, jades, **_responses(zoo, ocsp_answer(zoo.intermediate, zoo.clinician, responder=plain)))


def test_a_responder_of_another_ca_is_deferred(zoo: Zoo, jades: bytes) -> None:
    foreign = zoo.root.issue_ca("Elsewhere").ocsp_responder()
    _silent(zoo, jades, **_responses(zoo, ocsp_answer(zoo.intermediate, zoo.clinician, responder=foreign)))


def test_an_answer_about_another_serial_is_deferred(zoo: Zoo, jades: bytes) -> None:
    other = make_clinician(zoo.intermediate)
    _silent(zoo, jades, **_responses(zoo, ocsp_answer(zoo.intermediate, other)))


def test_an_old_or_future_answer_is_deferred(zoo: Zoo, jades: bytes) -> None:
    old = ocsp_answer(zoo.intermediate, zoo.clinician, this_update=NOW - 2 * DAY, next_update=NOW - DAY)
    future = ocsp_answer(zoo.intermediate, zoo.clinician, this_update=NOW + DAY, next_update=NOW + 2 * DAY)
    for answer in (old, future):
        _silent(zoo, jades, **_responses(zoo, answer))


def test_status_of_the_ca_is_needed_unless_the_policy_says_otherwise(zoo: Zoo, jades: bytes) -> None:
    leaf_only = (replace(zoo.status(), crls=(zoo.intermediate.crl(),)),)
    _silent(zoo, jades, status_sources=leaf_only)
    lax = replace(DEFAULT, require_ca_status=False)
    expect(verify_bytes(jades, zoo.context(status_sources=leaf_only, policy=lax)), PASSED)


def test_a_status_older_than_the_policy_allows_is_deferred(zoo: Zoo, jades: bytes) -> None:
    strict = replace(DEFAULT, max_status_age=timedelta(minutes=10))
    _silent(zoo, jades, policy=strict)


# Row 17


def test_status_from_before_the_time_stamp_is_a_question_of_policy(zoo: Zoo) -> None:
    before = zoo.intermediate.crl(this_update=SIGNED_AT - timedelta(hours=1), next_update=NOW + DAY)
    context = zoo.context(status_sources=(zoo.status(before),))
    data = jades_t(zoo)
    verdict = verify_bytes(data, context)
    expect(verdict, PASSED)
    assert Reason.STATUS_BEFORE_SIGNATURE in reasons(verdict)
    strict = replace(DEFAULT, status_after_signature=True)
    verdict = verify_bytes(data, replace(context, policy=strict))
    expect(verdict, UNDECIDED, "TRY_LATER")
    assert only(verdict).care is Care.DEFERRED
