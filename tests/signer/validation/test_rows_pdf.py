"""Rows 24 to 30 as far as they are judged now: byte ranges, later revisions, odd signature fields."""

import gc
import hashlib
import re
import tracemalloc
from collections.abc import Callable
from io import BytesIO

import pytest
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import SigFieldSpec, append_signature_field

from pki import ber, der
from signer.formats.pades import sign_pades
from signer.parsers.pades import parse_pdf
from signer.samples import sample_pdf, write_pdf
from signer.validation.reasons import Reason
from signer.validation.verdict import Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.forge import CmsForge
from tests.support.pdf import form_pdf, page_pdf
from tests.support.zoo import SIGNED_AT, Zoo

_RANGE = re.compile(rb"/ByteRange \[0 (\d+) (\d+) (\d+)\s*\]")


def append(pdf: bytes, change: Callable[[IncrementalPdfFileWriter], None]) -> bytes:
    """Add a revision to a PDF."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    change(writer)
    output = BytesIO()
    writer.write(output)  # type: ignore[no-untyped-call]  # untyped upstream
    return output.getvalue()


def respell_range(pdf: bytes, *numbers: int) -> bytes:
    """Write other numbers into the byte range, in the room there is."""
    match = _RANGE.search(pdf)
    assert match
    text = b"/ByteRange [" + " ".join(map(str, numbers)).encode()
    return pdf[: match.start()] + text.ljust(match.end() - match.start() - 1) + b"]" + pdf[match.end() :]


def numbers_of(pdf: bytes) -> tuple[int, int, int]:
    match = _RANGE.search(pdf)
    assert match
    first, second, length = map(int, match.groups())
    return first, second, length


# Row 24

RANGES: dict[str, Callable[[int, int, int], tuple[int, ...]]] = {
    "not-from-the-start": lambda a, b, c: (1, a, b, c),
    "beyond-the-end": lambda a, b, c: (0, a, b, c + 1),
    "overlap": lambda a, b, c: (0, a, a - 10, c),
    "gap-wider-than-the-value": lambda a, b, c: (0, a - 1, b, c),
    "gap-narrower-than-the-value": lambda a, b, c: (0, a + 2, b, c),
    "negative": lambda a, b, c: (0, -a, b, c),
    "three-numbers": lambda a, b, c: (0, a, b),
    "six-numbers": lambda a, b, c: (0, a, b, c, 1, 1),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_byte_range_that_is_not_the_whole_file_around_the_value_is_refused(zoo: Zoo, pades: bytes, name: str) -> None:
    changed = respell_range(pades, *RANGES[name](*numbers_of(pades)))
    expect(verify_bytes(changed, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_the_end_left_out_of_the_byte_range_is_refused(zoo: Zoo, pades: bytes) -> None:
    first, second, length = numbers_of(pades)
    changed = respell_range(pades, 0, first, second, length - 20)
    expect(verify_bytes(changed, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_octets_other_than_zeros_after_the_value_are_refused(zoo: Zoo, pades: bytes) -> None:
    first, second, _length = numbers_of(pades)
    padded = pades[: second - 3] + b"01" + pades[second - 1 :]
    assert padded[first] == ord("<")
    expect(verify_bytes(padded, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_flipped_signature_value_is_a_crypto_failure(zoo: Zoo, pades: bytes) -> None:
    first, second, _length = numbers_of(pades)
    contents = bytes.fromhex(pades[first + 1 : second - 1].decode())
    info = der.parse(ber.normalise_prefix(contents)[0])  # the value itself may end with a zero
    signer = info.sequence()[1].inner().sequence()[-1].children()[0]
    value = signer.sequence()[-1].octets()
    changed = pades.replace(value.hex().encode(), (value[:-1] + bytes((value[-1] ^ 1,))).hex().encode())
    verdict = verify_bytes(changed, zoo.context())
    expect(verdict, FAILED, "SIG_CRYPTO_FAILURE")
    assert only(verdict).crypto is Crypto.BROKEN


@pytest.mark.parametrize("name", ["Again", None])
def test_a_field_that_reuses_anothers_signature_or_name_is_refused(zoo: Zoo, pades: bytes, name: str | None) -> None:
    def reuse(writer: IncrementalPdfFileWriter) -> None:
        form = writer.root["/AcroForm"]
        first = form["/Fields"][0]
        again = generic.DictionaryObject(dict(first))  # type: ignore[no-untyped-call]  # untyped upstream
        again[pdf_name("/T")] = generic.TextStringObject(name or str(first["/T"]))
        form["/Fields"].append(writer.add_object(again))
        writer.update_container(form["/Fields"])

    verdict = verify_bytes(append(pades, reuse), zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    expected = Reason.BYTE_RANGE_REFUSED if name else Reason.FORMAT_MALFORMED
    assert expected in {f.reason for s in verdict.signatures for f in s.findings}


@pytest.mark.parametrize("ber", [False, True])
def test_a_value_in_ber_with_padding_is_read_to_its_end(zoo: Zoo, pades: bytes, *, ber: bool) -> None:
    first, second, _length = numbers_of(pades)
    contents = bytes.fromhex(pades[first + 1 : second - 1].decode())
    value = contents[: 4 + int.from_bytes(contents[2:4], "big")]
    kind, explicit = der.parse(value).sequence()
    respelt = b"\x30\x80" + kind.raw + b"\xa0\x80" + explicit.inner().raw + bytes(4) if ber else value
    room = (second - first - 2) // 2
    for tail, expected in ((b"", PASSED), (b"\1", FAILED)):
        filled = (respelt + tail).ljust(room, b"\0").hex().encode()
        verdict = verify_bytes(pades[: first + 1] + filled + pades[second - 1 :], zoo.context())
        assert verdict.indication is expected


def test_a_file_that_ends_twice_before_it_is_signed_is_read(zoo: Zoo, pades: bytes) -> None:
    first, second, length = numbers_of(pades)
    twice = respell_range(pades + b"%%EOF\r\n", 0, first, second, length + 7)
    forge = CmsForge(content=twice[:first] + twice[second:], holder=zoo.clinician, detached=True)
    value = forge.build().hex().encode().ljust(second - first - 2, b"0")
    signed = twice[: first + 1] + value + twice[second - 1 :]
    expect(verify_bytes(signed, zoo.context()), PASSED)
    expect(verify_bytes(signed + b"%%EOF\n", zoo.context()), FAILED, "FORMAT_FAILURE")


# Rows 25 to 28


def _add_page(writer: IncrementalPdfFileWriter) -> None:
    first = writer.root["/Pages"]["/Kids"][0]
    page = generic.DictionaryObject(dict(first))  # type: ignore[no-untyped-call]  # untyped upstream
    for name in ("/Annots", "/Parent"):
        page.pop(pdf_name(name), None)
    writer.insert_page(page)  # type: ignore[no-untyped-call]  # untyped upstream


def _change_content(writer: IncrementalPdfFileWriter) -> None:
    page = writer.root["/Pages"]["/Kids"][0]
    stream = generic.StreamObject(stream_data=b"BT (other) Tj ET")
    page[pdf_name("/Contents")] = writer.add_object(stream)
    writer.update_container(page)


@pytest.mark.parametrize("change", [_add_page, _change_content])
def test_a_document_changed_after_signing_fails(
    zoo: Zoo, pades: bytes, change: Callable[[IncrementalPdfFileWriter], None]
) -> None:
    verdict = verify_bytes(append(pades, change), zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert Reason.DOCUMENT_CHANGED in reasons(verdict)
    assert only(verdict).crypto is Crypto.INTACT


def test_a_form_value_changed_after_signing_fails(zoo: Zoo) -> None:
    signed = sign_pades(form_pdf(), zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    expect(verify_bytes(signed, zoo.context()), PASSED)

    def change(writer: IncrementalPdfFileWriter) -> None:
        field = writer.root["/AcroForm"]["/Fields"][0]
        field[pdf_name("/V")] = generic.TextStringObject("100")
        writer.update_container(field)

    expect(verify_bytes(append(signed, change), zoo.context()), FAILED, "FORMAT_FAILURE")


def test_octets_after_the_end_of_a_signed_pdf_are_not_a_revision(zoo: Zoo, pades: bytes) -> None:
    expect(verify_bytes(pades + b"\n", zoo.context()), PASSED)
    for tail in (b"\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", b"%comment", b"x" * 2000, b"\n%%EOF\n"):
        expect(verify_bytes(pades + tail, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_second_signature_leaves_the_first_valid(zoo: Zoo, pades: bytes) -> None:
    twice = sign_pades(pades, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    verdict = verify_bytes(twice, zoo.context())
    expect(verdict, PASSED)
    assert len(verdict.signatures) == 2
    assert Reason.DOCUMENT_EXTENDED in {finding.reason for finding in verdict.signatures[0].findings}


def test_a_large_pdf_of_many_signatures_is_held_a_few_times_at_most(zoo: Zoo) -> None:
    signed = page_pdf(extra=(f"<< /Length {5 << 20} >>\nstream\n{'x' * (5 << 20)}\nendstream",))
    for _ in range(6):
        signed = sign_pades(signed, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    gc.collect()
    gc.disable()  # when it would come by itself is not known
    tracemalloc.start()
    try:
        assert len(parse_pdf(signed).signatures) == 6
        held = tracemalloc.get_traced_memory()[1] / len(signed)
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < 4


# Rows 29 and 30


def test_a_pdf_beside_another_document_fails(zoo: Zoo, pades: bytes) -> None:
    for content in (pades, sample_pdf()):  # itself, and what was signed
        expect(verify_bytes(pades, zoo.context(content=content)), PASSED)
    expect(verify_bytes(pades, zoo.context(content=b"another")), FAILED, "HASH_FAILURE")


def test_an_empty_signature_field_is_no_signature(zoo: Zoo, pades: bytes) -> None:
    def add_field(writer: IncrementalPdfFileWriter) -> None:
        append_signature_field(writer, SigFieldSpec("Later"))

    empty = append(sample_pdf(), add_field)
    verdict = verify_bytes(empty, zoo.context())
    expect(verdict, UNDECIDED)
    assert (verdict.format, verdict.signatures) == ("PAdES", ())


def test_a_pdf_without_fields_is_not_signed(zoo: Zoo) -> None:
    verdict = verify_bytes(sample_pdf(), zoo.context())
    expect(verdict, UNDECIDED)
    assert [finding.reason for finding in verdict.findings] == [Reason.NOTHING_SIGNED]


FORGERIES: dict[str, str] = {
    "no-contents": "/ByteRange [0 10 20 30]",
    "empty-contents": "/Contents <> /ByteRange [0 10 20 30]",
    "null-contents": "/Contents null /ByteRange [0 10 20 30]",
    "null-byte-range": "/Contents <00> /ByteRange null",
    "no-byte-range": "/Contents <00>",
    "byte-range-of-names": "/Contents <00> /ByteRange [/A /B /C /D]",
    "no-entries": "",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_universal_forgeries_are_format_failures(zoo: Zoo, name: str) -> None:
    value = f"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached {FORGERIES[name]} >>"
    field = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Forged) /V 7 0 R /Rect [0 0 0 0] /P 3 0 R >>"
    data = page_pdf(catalogue="/AcroForm << /Fields [6 0 R] /SigFlags 3 >>", extra=(field, value))
    verdict = verify_bytes(data, zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert only(verdict).id == "Forged"


def test_a_circular_field_tree_ends(zoo: Zoo) -> None:
    field = "<< /FT /Sig /T (Loop) /Kids [6 0 R] >>"
    data = page_pdf(catalogue="/AcroForm << /Fields [6 0 R] >>", extra=(field,))
    expect(verify_bytes(data, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_pdf_whose_value_holds_its_digest_is_judged_as_sha1_is(zoo: Zoo, pades: bytes) -> None:
    old = pades.replace(b"/ETSI.CAdES.detached", b"/adbe.pkcs7.sha1    ")
    first, second, _length = numbers_of(old)
    covered = hashlib.sha1(old[:first] + old[second:], usedforsecurity=False).digest()
    for content, answer in (
        (covered, (UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")),
        (bytes(20), (FAILED, "HASH_FAILURE")),
        (None, (FAILED, "FORMAT_FAILURE")),
    ):
        forge = CmsForge(content=content or covered, holder=zoo.clinician, detached=content is None)
        value = forge.build().hex().encode().ljust(second - first - 2, b"0")
        verdict = verify_bytes(old[: first + 1] + value + old[second - 1 :], zoo.context())
        expect(verdict, *answer)
        assert only(verdict).format == "PAdES"


def test_a_pdf_of_an_old_sub_filter_is_recognised_but_not_judged(zoo: Zoo, pades: bytes) -> None:
    old = pades.replace(b"/ETSI.CAdES.detached", b"/adbe.x509.rsa_sha1 ")
    verdict = verify_bytes(old, zoo.context())
    expect(verdict, UNDECIDED, "GENERIC")
    assert Reason.FORMAT_NOT_SUPPORTED in reasons(verdict)


def test_a_pdf_that_is_no_pdf_is_a_format_failure(zoo: Zoo) -> None:
    for data in (b"%PDF-1.7\n", b"%PDF-1.7\n%%EOF\n", write_pdf([])[:60], b"%PDF-1.7" + bytes(5000)):
        expect(verify_bytes(data, zoo.context()), FAILED, "FORMAT_FAILURE")
