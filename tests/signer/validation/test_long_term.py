"""Signatures after their time: what expired, was revoked or lost its algorithm, and what time-stamps save of it.

EN 319 102-1 §5.5 and §5.6, for every format: the signer's certificate is gone at `LATER`, and so is the authority of
the signature time-stamp; only what the file holds, and who stamped it when, tells them apart.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from pki import der, oids
from pki.keys import SignatureAlgorithm
from signer.validation.policy import DEFAULT
from signer.validation.reasons import Reason
from signer.validation.report_checks import in_order, timestamp_checks
from signer.validation.verdict import FileVerdict, TimeProof
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.forge import attribute, forge_token
from tests.support.long_term import (
    Cades,
    CadesLists,
    CadesSecond,
    Jades,
    LongTerm,
    Pades,
    Values,
    authority,
)
from tests.support.ocsp_forge import ocsp_answer
from tests.support.pki import NOW, Holder, Issuer, make_root, new_key
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GATHERED, ARCHIVED = SIGNED_AT + HOUR, SIGNED_AT + 2 * HOUR
RENEWED, LATER = NOW + 300 * DAY, NOW + 730 * DAY
FORMATS: dict[str, LongTerm] = {
    "cades": Cades(),
    "cades-lists": CadesLists(),
    "cades-v2": CadesSecond(),
    "jades": Jades(),
    "jades-clear": Jades(clear=True),
    "pades": Pades(),
}


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A world whose certificates end at different times."""

    zoo: Zoo
    lasting: Holder

    def lists(self, at: datetime, until: timedelta = 30 * DAY) -> Values:
        """Return the lists of both authorities as of an instant, with the certificates above the signer."""
        when: dict[str, Any] = {"this_update": at, "next_update": at + until}
        zoo = self.zoo
        return Values(
            certificates=(zoo.intermediate.certificate,), crls=(zoo.root.crl(**when), zoo.intermediate.crl(**when))
        )

    def judged(
        self, data: bytes, at: datetime = LATER, *, root: Any = None, ca: Any = None, **changes: Any
    ) -> FileVerdict:
        """Judge by what the authorities publish at `at`: entries of the `root`'s and the issuing `ca`'s list."""
        when: dict[str, Any] = {"this_update": at - HOUR, "next_update": at + DAY}
        lists = (self.zoo.root.crl(root, **when), self.zoo.intermediate.crl(ca, **when))
        status = replace(self.zoo.status(), crls=lists)
        return verify_bytes(data, self.zoo.context(**({"at": at, "status_sources": (status,)} | changes)))


@pytest.fixture(scope="module")
def archive(zoo: Zoo) -> Archive:
    return Archive(zoo=zoo, lasting=authority(zoo.intermediate, LATER + 365 * DAY))


@pytest.fixture(scope="module", params=FORMATS)
def form(request: pytest.FixtureRequest) -> LongTerm:
    return FORMATS[request.param]


@pytest.fixture(scope="module")
def stamped(archive: Archive, form: LongTerm) -> bytes:
    return form.signed(archive.zoo.clinician, SIGNED_AT, archive.zoo.stamper(SIGNED_AT))


@pytest.fixture(scope="module")
def with_values(archive: Archive, form: LongTerm, stamped: bytes) -> bytes:
    return form.with_values(stamped, archive.lists(GATHERED))


@pytest.fixture(scope="module")
def archived(archive: Archive, form: LongTerm, with_values: bytes) -> bytes:
    return form.archived(with_values, archive.lasting, ARCHIVED)


def test_all_levels_pass_while_everything_lives(
    archive: Archive, stamped: bytes, with_values: bytes, archived: bytes
) -> None:
    for data, level in ((stamped, "B-T"), (with_values, "B-LT"), (archived, "B-LTA")):
        verdict = archive.judged(data, NOW)
        expect(verdict, PASSED)
        assert (only(verdict).level, only(verdict).proven_at) == (level, SIGNED_AT)


def test_without_an_archive_time_stamp_nothing_is_proven_after_the_certificates_end(
    archive: Archive, with_values: bytes
) -> None:
    verdict = archive.judged(with_values)
    expect(verdict, UNDECIDED, "OUT_OF_BOUNDS_NO_POE")
    assert only(verdict).time_proof is TimeProof.CLAIMED
    assert {stamp.sub_indication for stamp in only(verdict).timestamps} == {"OUT_OF_BOUNDS_NO_POE"}


def test_an_archive_time_stamp_saves_what_it_covers(archive: Archive, archived: bytes) -> None:
    verdict = archive.judged(archived)
    expect(verdict, PASSED)
    assert only(verdict).proven_at == SIGNED_AT
    assert {stamp.indication for stamp in (*only(verdict).timestamps, *verdict.timestamps)} == {PASSED}


@pytest.mark.parametrize(("lasting", "sub_indication"), [(30 * DAY, None), (HOUR / 2, "TRY_LATER")])
def test_lists_must_have_been_fresh_when_they_were_stamped(
    zoo: Zoo, archive: Archive, form: LongTerm, stamped: bytes, lasting: timedelta, sub_indication: str | None
) -> None:
    """Nobody publishes anything any more but the root of the archive's authority."""
    root = make_root("Archive root")
    tsa = authority(root, LATER + 365 * DAY)
    data = form.archived(form.with_values(stamped, archive.lists(GATHERED, lasting)), tsa, ARCHIVED)
    status = replace(zoo.status(), crls=(root.crl(this_update=LATER - HOUR, next_update=LATER + DAY),))
    anchors = (zoo.root.certificate, root.certificate)
    verdict = verify_bytes(data, zoo.context(at=LATER, status_sources=(status,), anchors=anchors))
    expect(verdict, PASSED if sub_indication is None else UNDECIDED, sub_indication)


def test_missing_values_leave_the_status_open(archive: Archive, form: LongTerm, stamped: bytes) -> None:
    bare = form.archived(stamped, archive.lasting, ARCHIVED)
    expect(archive.judged(bare), UNDECIDED, "TRY_LATER")


# -- the signer is revoked --------------------------------------------------------------------------


def test_a_signer_revoked_after_the_proven_time_stands(archive: Archive, archived: bytes) -> None:
    gone = {archive.zoo.clinician.certificate.serial: NOW}
    verdict = archive.judged(archived, ca=gone)
    expect(verdict, PASSED)
    assert Reason.CERTIFICATE_REVOKED_LATER in reasons(verdict)


def test_a_signer_revoked_before_the_proven_time_fails(archive: Archive, archived: bytes) -> None:
    gone = {archive.zoo.clinician.certificate.serial: SIGNED_AT - HOUR}
    expect(archive.judged(archived, ca=gone), FAILED, "REVOKED")


# -- the issuing authority is revoked ---------------------------------------------------------------


def test_an_authority_revoked_later_spoils_only_what_had_no_proof_before(
    archive: Archive, form: LongTerm, stamped: bytes, with_values: bytes, zoo: Zoo
) -> None:
    """The archive's authority stands under another issuer, which nobody revoked."""
    other = zoo.root.issue_ca("Issuer of archive authorities")
    tsa = authority(other, LATER + 365 * DAY)
    when: dict[str, Any] = {"this_update": LATER - HOUR, "next_update": LATER + DAY}
    fresh = zoo.intermediate.crl(**when)
    archived = form.archived(with_values, tsa, ARCHIVED)
    after = form.with_values(form.archived(stamped, tsa, ARCHIVED), archive.lists(GATHERED))

    def judged(data: bytes, revoked_at: datetime) -> FileVerdict:
        lists = (zoo.root.crl({zoo.intermediate.certificate.serial: revoked_at}, **when), fresh, other.crl(**when))
        status = replace(zoo.status(), crls=lists)
        certificates = (zoo.intermediate.certificate, other.certificate)
        return verify_bytes(data, zoo.context(at=LATER, status_sources=(status,), intermediates=certificates))

    expect(judged(archived, NOW), PASSED)
    expect(judged(archived, ARCHIVED - HOUR / 2), UNDECIDED, "REVOKED_CA_NO_POE")
    expect(judged(after, NOW), UNDECIDED, "REVOKED_CA_NO_POE")


# -- the authority of a time-stamp is revoked -------------------------------------------------------


@pytest.mark.parametrize(
    ("revoked_at", "sealed", "first"),
    [
        (NOW, False, (UNDECIDED, "REVOKED_NO_POE")),
        (NOW, True, (PASSED, None)),
        (ARCHIVED + HOUR / 2, True, (FAILED, "REVOKED")),
    ],
)
def test_a_time_stamp_outlives_its_authoritys_revocation_only_under_a_later_one(
    archive: Archive, form: LongTerm, with_values: bytes, revoked_at: datetime, sealed: bool, first: Any, zoo: Zoo
) -> None:
    gone = authority(zoo.intermediate, LATER + DAY)
    data = form.archived(with_values, gone, ARCHIVED)
    if sealed:
        data = form.archived(data, archive.lasting, ARCHIVED + HOUR)
    verdict = archive.judged(data, ca={gone.certificate.serial: revoked_at})
    ended = [s for s in (*only(verdict).timestamps, *verdict.timestamps) if s.generated_at == ARCHIVED]
    assert [(stamp.indication, stamp.sub_indication) for stamp in ended] == [first]
    checks = in_order((timestamp_checks(ended[0], DEFAULT),))
    assert {finding for check in checks for finding in check.findings} == set(ended[0].findings)
    expect(verdict, *((PASSED, None) if sealed else (UNDECIDED, "OUT_OF_BOUNDS_NO_POE")))


# -- renewal ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("renewed_at", "indication"), [(RENEWED, PASSED), (NOW + 450 * DAY, UNDECIDED)])
def test_an_archive_time_stamp_must_be_renewed_while_its_authority_lives(
    archive: Archive, form: LongTerm, with_values: bytes, renewed_at: datetime, indication: Any, zoo: Zoo
) -> None:
    first = authority(zoo.intermediate, NOW + 400 * DAY)
    data = form.archived(with_values, first, ARCHIVED)
    expect(archive.judged(data), UNDECIDED, "OUT_OF_BOUNDS_NO_POE")
    if isinstance(form, CadesLists):
        return  # a second list among the members is not covered by the first index's order
    data = form.with_values(data, archive.lists(renewed_at - HOUR))
    data = form.archived(data, archive.lasting, renewed_at)
    verdict = archive.judged(data)
    assert verdict.indication is indication, [(f.reason, f.detail) for f in only(verdict).findings]
    assert verdict.sub_indication == (None if indication is PASSED else "OUT_OF_BOUNDS_NO_POE")


# -- algorithms -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rsa_issuer(zoo: Zoo) -> Issuer:
    return zoo.root.issue_ca("RSA intermediate", key=new_key(SignatureAlgorithm.RS256))


def test_an_issuers_algorithm_counts_at_the_proven_time(
    zoo: Zoo, archive: Archive, form: LongTerm, rsa_issuer: Issuer
) -> None:
    when: dict[str, Any] = {"this_update": GATHERED, "next_update": GATHERED + 30 * DAY}
    values = Values(
        certificates=(rsa_issuer.certificate, zoo.intermediate.certificate),
        crls=(zoo.root.crl(**when), rsa_issuer.crl(**when), zoo.intermediate.crl(**when)),
    )
    plain = form.signed(make_clinician(rsa_issuer), SIGNED_AT, zoo.stamper(SIGNED_AT))
    with_values = form.with_values(plain, values)
    archived = form.archived(with_values, archive.lasting, ARCHIVED)

    def judged(data: bytes, end: datetime) -> FileVerdict:
        algorithms = replace(DEFAULT.algorithms, rsa_ends=((4096, end),))
        return archive.judged(data, NOW, policy=replace(DEFAULT, algorithms=algorithms))

    expect(judged(archived, ARCHIVED + HOUR), PASSED)
    expect(judged(with_values, ARCHIVED + HOUR), UNDECIDED, "TRY_LATER")  # anybody can sign lists of then by now
    expect(judged(archived, ARCHIVED - HOUR / 2), UNDECIDED, "TRY_LATER")
    expect(judged(archived, SIGNED_AT - HOUR), UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE")
    never_stamped = form.with_values(form.signed(make_clinician(rsa_issuer), SIGNED_AT, None), values)
    expect(judged(never_stamped, ARCHIVED + HOUR), UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")


# -- responders -------------------------------------------------------------------------------------


def test_an_answer_outlives_its_responders_certificate_only_where_it_was_stamped(zoo: Zoo, form: LongTerm) -> None:
    responder = zoo.intermediate.issue(
        "Short-lived OCSP",
        usage=("digital_signature",),
        extended=(oids.EKU_OCSP_SIGNING,),
        extra=((x509.OCSPNoCheck(), False),),
        not_after=NOW + DAY,
    )
    until, root = NOW + 60 * DAY, make_root("Archive root")
    answer = ocsp_answer(zoo.intermediate, zoo.clinician, responder=responder, this_update=GATHERED, next_update=until)
    values = Values(
        certificates=(zoo.intermediate.certificate,),
        crls=(zoo.root.crl(this_update=GATHERED, next_update=until),),
        responses=(answer,),
    )
    with_values = form.with_values(form.signed(zoo.clinician, SIGNED_AT, None), values)
    archived = form.archived(with_values, authority(root, LATER), ARCHIVED)
    at = NOW + 10 * DAY
    status = replace(zoo.status(), crls=(root.crl(this_update=at - HOUR, next_update=at + DAY),))
    context = zoo.context(at=at, status_sources=(status,), anchors=(zoo.root.certificate, root.certificate))
    expect(verify_bytes(with_values, context), UNDECIDED, "REVOCATION_OUT_OF_BOUNDS_NO_POE")
    expect(verify_bytes(archived, context), PASSED)


# -- order ------------------------------------------------------------------------------------------


def test_an_archive_time_stamp_from_before_the_signatures_is_out_of_order(
    archive: Archive, form: LongTerm, with_values: bytes
) -> None:
    early = form.archived(with_values, archive.lasting, SIGNED_AT - HOUR)
    expect(archive.judged(early, NOW), UNDECIDED, "TIMESTAMP_ORDER_FAILURE")


def test_an_archive_time_stamp_from_before_one_that_it_covers_is_out_of_order(
    archive: Archive, form: LongTerm, with_values: bytes
) -> None:
    data = form.archived(with_values, archive.lasting, ARCHIVED + HOUR)
    data = form.archived(data, archive.lasting, ARCHIVED)
    if isinstance(form, CadesSecond):
        return  # it leaves out what is not older
    expect(archive.judged(data, NOW), UNDECIDED, "TIMESTAMP_ORDER_FAILURE")


def test_a_token_signed_with_a_weak_hash_proves_nothing(archive: Archive) -> None:
    form, zoo = Cades(), archive.zoo
    data = form.signed(zoo.clinician, SIGNED_AT, None)
    value = der.parse(data).sequence()[1].inner().sequence()[-1].children()[0].sequence()[-1].octets()
    weak = replace(DEFAULT.algorithms, hash_ends=((oids.SHA256, None), (oids.SHA512, SIGNED_AT - HOUR)))
    for name in ("sha256", "sha512"):
        oid = {"sha256": oids.SHA256, "sha512": oids.SHA512}[name]
        token = forge_token(hashlib.new(name, value).digest(), zoo.tsa, SIGNED_AT, hash_oid=oid)
        stamped = form.with_attribute(data, attribute(oids.ATTR_SIGNATURE_TIMESTAMP, token))
        verdict = archive.judged(stamped, NOW, policy=replace(DEFAULT, algorithms=weak))
        (stamp,) = only(verdict).timestamps
        assert stamp.sub_indication == (None if name == "sha256" else "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
