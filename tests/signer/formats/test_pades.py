import re
import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import x509 as asn1_x509
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext

from pki import oids
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.keys import SignatureAlgorithm
from signer.bounded_pdf import Meter, open_pdf
from signer.errors import DocumentUnsignable, SignerMismatch
from signer.findings import FindingCode
from signer.formats import pades
from signer.formats.pades import RESERVED_OCTETS, inspect_pdf, sign_pades
from signer.formats.signing import MAX_DOCUMENT_OCTETS
from signer.samples import sample_pdf
from signer.timestamps.client import LocalTimeStamper
from tests.support.pdf import certified_pdf, encrypted_pdf, form_pdf, hybrid_pdf, page_pdf
from tests.support.pki import NOW, TrustPath, make_path


def status_of(pdf: bytes, path: TrustPath, index: int = -1) -> PdfSignatureStatus:
    """Let pyHanko's validator judge one signature."""
    context = ValidationContext(
        trust_roots=[asn1_x509.Certificate.load(path.root.certificate.der)], moment=NOW, allow_fetching=False
    )
    signature = PdfFileReader(BytesIO(pdf)).embedded_signatures[index]
    return validate_pdf_signature(signature, context)


@pytest.fixture(scope="module")
def signed(path: TrustPath) -> bytes:
    return sign_pades(sample_pdf(), path.clinician.key, path.clinician.chain, signed_at=NOW, reason="تجویز دارو")


@pytest.mark.parametrize(
    "algorithm",
    [SignatureAlgorithm.ES256, SignatureAlgorithm.ES384, SignatureAlgorithm.RS256, SignatureAlgorithm.PS256],
    ids=str,
)
def test_an_independent_validator_calls_it_good(algorithm: SignatureAlgorithm) -> None:
    path = make_path(algorithm)
    signer = path.clinician
    status = status_of(sign_pades(sample_pdf(), signer.key, signer.chain, signed_at=NOW), path)
    assert status.bottom_line, status.summary()
    assert status.modification_level is ModificationLevel.NONE


@pytest.mark.real
@pytest.mark.parametrize("flip", [False, True], ids=["as-signed", "one-bit-flipped"])
def test_poppler_calls_it_valid_unless_a_bit_flips(tmp_path: Path, signed: bytes, flip: bool) -> None:
    program = shutil.which("pdfsig")
    if program is None:
        pytest.skip("pdfsig is not installed")
    data = bytearray(signed)
    data[data.index(b"Amoxicillin")] ^= flip
    (tmp_path / "signed.pdf").write_bytes(data)
    command = [program, "-nocert", str(tmp_path / "signed.pdf")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ("Signature is Valid" in result.stdout) is not flip, result.stdout
    assert "ETSI.CAdES.detached" in result.stdout


def cms_of(pdf: bytes) -> asn1_cms.SignerInfo:
    return PdfFileReader(BytesIO(pdf)).embedded_signatures[-1].signer_info


def test_it_is_a_baseline_b_signature(signed: bytes) -> None:
    (signature,) = PdfFileReader(BytesIO(signed)).embedded_signatures
    dictionary = signature.sig_object
    assert dictionary["/SubFilter"] == "/ETSI.CAdES.detached"
    assert dictionary["/M"] == "D:20261122090000Z"
    assert dictionary["/Reason"] == "تجویز دارو"
    present = {attribute["type"].dotted for attribute in signature.signer_info["signed_attrs"]}
    assert oids.ATTR_SIGNING_CERTIFICATE_V2 in present
    assert oids.ATTR_SIGNING_TIME not in present  # EN 319 142-1 §6.3: the time is /M


def test_the_signed_file_begins_with_the_old_one(signed: bytes) -> None:
    assert signed.startswith(sample_pdf())
    assert re.search(rb"/ByteRange \[0 \d+ \d+ \d+\]", signed)


def test_the_reservation_is_fixed(signed: bytes) -> None:
    hole = re.search(rb"/Contents <([0-9a-fA-F]+)>", signed)
    assert hole is not None
    assert len(hole[1]) == 2 * RESERVED_OCTETS


def test_the_key_signs_once(path: TrustPath) -> None:
    class CountingKey:
        asked = 0
        algorithm = path.clinician.key.algorithm
        public_key = path.clinician.key.public_key

        def sign(self, message: bytes) -> bytes:
            self.asked += 1
            return path.clinician.key.sign(message)

    key = CountingKey()
    sign_pades(sample_pdf(), key, path.clinician.chain, signed_at=NOW)
    assert key.asked == 1


def test_a_second_person_signs_after_the_first(signed: bytes, path: TrustPath) -> None:
    other = path.intermediate.issue("نمونهٔ داروساز")
    twice = sign_pades(signed, other.key, other.chain, signed_at=NOW)
    assert twice.startswith(signed)
    assert status_of(twice, path, 0).bottom_line
    assert status_of(twice, path, 1).bottom_line
    names = [signature.field_name for signature in PdfFileReader(BytesIO(twice)).embedded_signatures]
    assert names == ["Mohr1", "Mohr2"]


def test_fields_with_answers_are_locked_and_both_signatures_hold(path: TrustPath) -> None:
    signer = path.clinician
    once = sign_pades(form_pdf(), signer.key, signer.chain, signed_at=NOW)
    (signature,) = PdfFileReader(BytesIO(once)).embedded_signatures
    assert signature.fieldmdp is not None
    assert signature.fieldmdp.fields == ["Dose"]
    twice = sign_pades(once, signer.key, signer.chain, signed_at=NOW)
    assert status_of(twice, path, 0).bottom_line
    assert status_of(twice, path, 1).bottom_line


def test_a_timestamp_makes_level_t(path: TrustPath, stamper: LocalTimeStamper) -> None:
    pdf = sign_pades(sample_pdf(), path.clinician.key, path.clinician.chain, signed_at=NOW, stamper=stamper)
    status = status_of(pdf, path)
    assert status.bottom_line, status.summary()
    assert status.timestamp_validity is not None
    assert status.timestamp_validity.valid
    assert status.timestamp_validity.timestamp == NOW


HOSTILE = {
    "open-action": (page_pdf(catalogue="/OpenAction << /S /JavaScript /JS (app.alert(1)) >>"), FindingCode.PDF_SCRIPT),
    "escaped-name": (page_pdf(catalogue="/OpenAction << /S /Java#53cript /J#53 (1) >>"), FindingCode.PDF_SCRIPT),
    "name-tree": (page_pdf(catalogue="/Names << /JavaScript << /Names [] >> >>"), FindingCode.PDF_SCRIPT),
    "page-action": (
        page_pdf(page="/AA << /O << /S /JavaScript /JS 6 0 R >> >>", extra=("(1)",)),
        FindingCode.PDF_SCRIPT,
    ),
    "chained-action": (
        page_pdf(
            page="/Annots [6 0 R]", extra=("<< /Subtype /Link /A << /S /GoTo /Next [7 0 R] >> >>", "<< /S /Launch >>")
        ),
        FindingCode.PDF_LAUNCH,
    ),
    "launch": (page_pdf(catalogue="/OpenAction << /S /Launch /F (cmd.exe) >>"), FindingCode.PDF_LAUNCH),
    "xfa": (page_pdf(catalogue="/AcroForm << /Fields [] /XFA [] >>"), FindingCode.PDF_XFA),
    "encrypted": (encrypted_pdf(), FindingCode.PDF_ENCRYPTED),
    "hybrid": (hybrid_pdf(), FindingCode.PDF_HYBRID),
    "no-changes-allowed": (certified_pdf(1), FindingCode.PDF_CERTIFIED),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_dangerous_file_is_refused_by_name(path: TrustPath, name: str) -> None:
    pdf, expected = HOSTILE[name]
    assert expected in [finding.code for finding in inspect_pdf(pdf).findings]
    with pytest.raises(DocumentUnsignable) as refused:
        sign_pades(pdf, path.clinician.key, path.clinician.chain, signed_at=NOW)
    assert refused.value.code is ErrorCode.DOCUMENT_UNSIGNABLE
    assert expected in refused.value.detail


def test_a_certification_that_allows_signing_does_not_stand_in_the_way(path: TrustPath) -> None:
    assert inspect_pdf(certified_pdf(2)).findings == ()
    assert sign_pades(certified_pdf(2), path.clinician.key, path.clinician.chain, signed_at=NOW)


@pytest.mark.parametrize(
    ("pdf", "expected"),
    [
        (page_pdf(catalogue="/OCProperties << /OCGs [] /D << >> >>"), FindingCode.PDF_LAYERS),
        (page_pdf(catalogue="/Names << /EmbeddedFiles << /Names [] >> >>"), FindingCode.PDF_ATTACHMENTS),
    ],
    ids=["layers", "attachments"],
)
def test_what_can_hide_is_told_but_not_refused(path: TrustPath, pdf: bytes, expected: FindingCode) -> None:
    assert [finding.code for finding in inspect_pdf(pdf).findings] == [expected]
    assert sign_pades(pdf, path.clinician.key, path.clinician.chain, signed_at=NOW)


def test_text_that_speaks_of_scripts_is_no_script() -> None:
    assert inspect_pdf(page_pdf(catalogue="/Title (/S /JavaScript /JS)")).findings == ()


@pytest.mark.parametrize(
    "pdf",
    [
        b"%PDF-1.7\n",
        b"not a PDF",
        sample_pdf()[:-200],
        sample_pdf().replace(b"/Pages 2 0 R", b"/Pages 9 0 R"),
        sample_pdf().replace(b"/Count 1", b"/Count x"),
        page_pdf(catalogue="/Deep " + "[" * 5000 + "]" * 5000),
        sample_pdf().replace(b"/Type /Catalog", b"/Type /Catalog /AcroForm 7"),
    ],
    ids=["header-only", "text", "truncated", "no-pages", "count-is-a-name", "deep", "moved-offsets"],
)
def test_a_broken_file_is_a_coded_error(path: TrustPath, pdf: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        sign_pades(pdf, path.clinician.key, path.clinician.chain, signed_at=NOW)
    assert refused.value.code is ErrorCode.INPUT_MALFORMED


def test_a_page_tree_that_bites_its_tail_ends(path: TrustPath) -> None:
    pdf = sample_pdf().replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]")
    with pytest.raises(InvalidInput):
        sign_pades(pdf, path.clinician.key, path.clinician.chain, signed_at=NOW)


@pytest.mark.parametrize(
    ("pdf", "code"),
    [(b"", ErrorCode.INPUT_EMPTY), (bytes(MAX_DOCUMENT_OCTETS + 1), ErrorCode.INPUT_TOO_LARGE)],
    ids=["empty", "oversized"],
)
def test_the_file_has_bounds(path: TrustPath, pdf: bytes, code: ErrorCode) -> None:
    with pytest.raises(InvalidInput) as refused:
        sign_pades(pdf, path.clinician.key, path.clinician.chain, signed_at=NOW)
    assert refused.value.code is code


def test_a_file_that_takes_too_much_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pades, "open_pdf", lambda pdf: open_pdf(pdf, meter=Meter(len(pdf), reads=2000)))
    assert inspect_pdf(sample_pdf()).pages == 1
    heavy = page_pdf(catalogue="/Big [" + "1 % one\n" * 5000 + "]")
    facts = inspect_pdf(heavy)
    assert facts.pages is None
    assert [finding.code for finding in facts.findings] == [FindingCode.PDF_TOO_COMPLEX]


def test_a_file_of_too_many_objects_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pades, "MAX_OBJECTS", 100)
    heavy = page_pdf(catalogue="/Big [" + "1 " * 200 + "]")
    assert [finding.code for finding in inspect_pdf(heavy).findings] == [FindingCode.PDF_TOO_COMPLEX]


@pytest.mark.parametrize("where", [b"MediaBox", b"/ByteRange"], ids=["old-bytes", "update"])
def test_a_file_written_wrongly_never_leaves(monkeypatch: pytest.MonkeyPatch, path: TrustPath, where: bytes) -> None:
    class Damaged(BytesIO):
        def getvalue(self) -> bytes:
            return super().getvalue().replace(where, where.swapcase(), 1)

    finish = pades._Embedding.finish

    def damage(embedding: pades._Embedding, cms: bytes) -> bytes:
        return finish(replace(embedding, file=Damaged(embedding.file.getvalue())), cms)

    monkeypatch.setattr(pades._Embedding, "finish", damage)
    with pytest.raises(SignerMismatch, match="not the file"):
        sign_pades(sample_pdf(), path.clinician.key, path.clinician.chain, signed_at=NOW)


def test_another_persons_key_is_refused(path: TrustPath) -> None:
    with pytest.raises(SignerMismatch):
        sign_pades(sample_pdf(), path.tsa.key, path.clinician.chain, signed_at=NOW)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_mutated_file_raises_nothing_but_ours(path: TrustPath, data: st.DataObject) -> None:
    pdf = bytearray(form_pdf())
    for _ in range(data.draw(st.integers(1, 4))):
        pdf[data.draw(st.integers(0, len(pdf) - 1))] = data.draw(st.integers(0, 255))
    try:
        sign_pades(bytes(pdf), path.clinician.key, path.clinician.chain, signed_at=NOW)
    except ServiceError as error:
        assert error.code in (ErrorCode.INPUT_MALFORMED, ErrorCode.DOCUMENT_UNSIGNABLE, ErrorCode.INPUT_TOO_LARGE)
