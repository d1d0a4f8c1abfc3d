"""Real files of other implementations: what their descriptions promise must hold."""

from pathlib import Path

import pytest

from signer.parsers.pades import parse_pdf
from signer.validation.context import VerificationContext
from signer.validation.verdict import Crypto, FileVerdict
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only
from tests.support.forge import flip
from tests.support.pki import NOW

CONTEXT = VerificationContext(at=NOW)
NO_CHAIN = "NO_CERTIFICATE_CHAIN_FOUND"


def verdict_on(path: Path) -> FileVerdict:
    return verify_bytes(path.read_bytes(), CONTEXT)


def test_all_prescriptions_in_cms_are_intact_and_without_an_anchor_undecided(vectors: Path) -> None:
    files = sorted((vectors / "cms-prescriptions").glob("*.p7m"))
    assert len(files) == 38
    for path in files:
        verdict = verdict_on(path)
        expect(verdict, UNDECIDED, NO_CHAIN)
        assert (verdict.format, only(verdict).crypto, only(verdict).level) == ("CAdES", Crypto.INTACT, "B-B"), path.name


def test_one_flipped_payload_octet_of_each_prescription_is_a_hash_failure(vectors: Path) -> None:
    for path in sorted((vectors / "cms-prescriptions").glob("*.p7m")):
        data = path.read_bytes()
        verdict = verify_bytes(flip(data, data.index(b"<Bundle") + 300), CONTEXT)
        expect(verdict, FAILED, "HASH_FAILURE")
        assert only(verdict).crypto is Crypto.BROKEN


def test_prescribers_of_another_country_are_named_by_their_admission(vectors: Path) -> None:
    signers = [only(verdict_on(path)).signer for path in (vectors / "cms-prescriptions").glob("*.p7m")]
    assert all(signer and signer.council_number and signer.profession for signer in signers)


def test_a_prescription_passes_when_its_signer_is_the_anchor(vectors: Path) -> None:
    data = (vectors / "cms-prescriptions" / "15953a6ac517.p7m").read_bytes()
    signer = only(verify_bytes(data, CONTEXT)).signer
    assert signer is not None
    inside = signer.certificate.not_before + (signer.certificate.not_after - signer.certificate.not_before) / 2
    expect(verify_bytes(data, VerificationContext(at=inside, anchors=(signer.certificate,))), PASSED)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("jades-b-iat-and-sigt.json", "B-B"),
        ("jades-level-b-full-type.json", "B-B"),
        ("jades-lta.json", "B-LTA"),
        ("jades-with-counter-signature.json", "B-B"),
    ],
)
def test_jades_files_are_intact_and_never_pass_without_an_anchor(vectors: Path, name: str, level: str) -> None:
    verdict = verdict_on(vectors / "jades" / name)
    expect(verdict, UNDECIDED, NO_CHAIN)
    assert (only(verdict).crypto, only(verdict).level) == (Crypto.INTACT, level)


def test_every_jades_time_stamp_recomputes(vectors: Path) -> None:
    stamps = only(verdict_on(vectors / "jades" / "jades-lta.json")).timestamps
    assert [(stamp.kind, stamp.crypto) for stamp in stamps] == [("signature", "intact"), ("archive", "intact")]


@pytest.mark.parametrize(
    ("name", "level", "doubt"),
    [
        ("CAdES-BpT.p7m", "B-T", NO_CHAIN),
        ("CAdES-BpT_modified_ts_hash.p7m", "B-B", NO_CHAIN),
        ("Signature-C-B-B-8.p7m", "B-B", "SIGNATURE_POLICY_NOT_AVAILABLE"),
        ("Signature-C-B-LTA-10.p7m", "B-LTA", NO_CHAIN),
        ("Signature-CBp-LT-2.p7m", "B-LT", NO_CHAIN),
    ],
)
def test_cades_files_are_intact(vectors: Path, name: str, level: str, doubt: str) -> None:
    verdict = verdict_on(vectors / "cades" / name)
    expect(verdict, UNDECIDED, doubt)
    assert (only(verdict).crypto, only(verdict).level) == (Crypto.INTACT, level)


def test_archive_time_stamps_of_cades_recompute_in_both_versions(vectors: Path) -> None:
    stamps = only(verdict_on(vectors / "cades" / "Signature-C-B-LTA-10.p7m")).timestamps
    version_3, version_2 = [stamp for stamp in stamps if stamp.kind == "archive"]
    signature = next(stamp for stamp in stamps if stamp.kind == "signature")
    assert (version_3.crypto, version_2.crypto) == (Crypto.INTACT, Crypto.INTACT)
    assert {signature.id, version_2.id} <= set(version_3.covers)
    assert signature.id in version_2.covers
    assert version_3.id not in version_2.covers


def test_the_broken_cades_file_is_broken(vectors: Path) -> None:
    verdict = verdict_on(vectors / "cades" / "cades-enveloping-broken.pkcs7")
    expect(verdict, FAILED, "HASH_FAILURE")
    assert only(verdict).crypto is Crypto.BROKEN


def test_a_time_stamp_with_a_changed_hash_proves_nothing(vectors: Path) -> None:
    (stamp,) = only(verdict_on(vectors / "cades" / "CAdES-BpT_modified_ts_hash.p7m")).timestamps
    assert (stamp.indication, stamp.sub_indication, stamp.crypto) == (FAILED, "HASH_FAILURE", Crypto.BROKEN)


@pytest.mark.parametrize(
    ("name", "signatures", "document_stamps"),
    [
        ("PAdES-LT.pdf", 3, 1),
        ("extended-LTA.pdf", 1, 3),
        ("pades-ltv.pdf", 1, 2),
        ("pades3_Baseline_B.pdf", 2, 2),
        ("pdf-signed-original.pdf", 1, 0),
    ],
)
def test_pades_values_and_imprints_are_intact(vectors: Path, name: str, signatures: int, document_stamps: int) -> None:
    verdict = verdict_on(vectors / "pades" / name)
    assert verdict.indication is UNDECIDED
    assert [signature.crypto for signature in verdict.signatures] == [Crypto.INTACT] * signatures
    assert [stamp.crypto for stamp in verdict.timestamps] == [Crypto.INTACT] * document_stamps


def test_a_page_added_after_signing_fails_with_an_intact_value(vectors: Path) -> None:
    verdict = verdict_on(vectors / "pades" / "pdf-signed-added-page.pdf")
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert only(verdict).crypto is Crypto.INTACT


def test_a_corrupted_pdf_is_a_format_failure(vectors: Path) -> None:
    expect(verdict_on(vectors / "pades" / "pdf-signed-corrupted.pdf"), FAILED, "FORMAT_FAILURE")


def test_containers_are_intact_but_the_altered_one(vectors: Path) -> None:
    for path in (vectors / "asic").iterdir():
        verdict = verdict_on(path)
        altered = "broken" in path.name
        expect(verdict, *((FAILED, "FORMAT_FAILURE") if altered else (UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")))
        assert (verdict.format, only(verdict).crypto) == ("ASiC", Crypto.BROKEN if altered else Crypto.INTACT)


def test_unsigned_prescriptions_have_no_format(vectors: Path) -> None:
    for path in (vectors / "fhir-prescriptions").glob("*.json"):
        verdict = verdict_on(path)
        expect(verdict, UNDECIDED)
        assert (verdict.format, verdict.signatures) == (None, ())


def test_old_time_stamps_are_judged_at_the_time_that_later_ones_prove(vectors: Path) -> None:
    """The authorities of 2013 and 2019-01 have expired by 2019-07; each next time-stamp vouches for the one before."""
    data = (vectors / "pades" / "extended-LTA.pdf").read_bytes()
    parsed = parse_pdf(data)
    embedded = [c for stamp in parsed.timestamps if stamp.token for c in stamp.token.signature.certificates]
    roots = tuple(c for c in (*parsed.certificates, *embedded) if c.self_issued)
    times = sorted(stamp.token.generated_at for stamp in parsed.timestamps if stamp.token)
    verdict = verify_bytes(data, VerificationContext(at=times[-1], anchors=roots))
    assert [stamp.indication for stamp in verdict.timestamps] == [PASSED, PASSED, PASSED]
    assert only(verdict).proven_at == times[0]
    alone = verify_bytes(data, VerificationContext(at=NOW, anchors=roots))
    assert {stamp.sub_indication for stamp in alone.timestamps} <= {"OUT_OF_BOUNDS_NO_POE", "TRY_LATER"}
