"""Published attacks on signed PDF files, each as it was published: every one is a change or a refused byte range.

Mladenov and others, "1 Trillion Dollar Refund" (2019: universal forgery, incremental saving, signature wrapping);
Mainka and others, "Shadow Attacks" (2021: hide, replace, hide and replace); Rohlmann and others, "Breaking the
Specification" (2021: evil annotations and sneaky signatures on certified documents).
"""

import re

import pytest

from signer.parsers.pdf import read_pdf
from signer.parsers.pdf_comparison import Comparison
from signer.parsers.pdf_objects import Effort
from signer.validation.reasons import Reason
from tests.signer.validation.test_pdf_permissions import (
    DOSE,
    SIGNATURE,
    certification,
    first,
    is_change,
    rewritten,
    second_signature,
    signed_form,
)
from tests.signer.validation.test_pdf_shadows import DRAWING, raw_object, with_objects
from tests.support.pdf import page_pdf, ranged, value_entries

DSS = b"/DSS << /Certs [70 0 R] /VRI << /A << /Cert [70 0 R] >> >> >>"
STREAM = b"<< /Length 1 >>\nstream\n0\nendstream"


def signed_page(*extra: str, catalogue: str = "", page: str = "") -> bytes:
    """Return a page of these objects (from 8 on) that an invisible field signs."""
    field = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (First) /V 7 0 R /Rect [0 0 0 0] /P 3 0 R >>"
    objects = (field, f"<< {value_entries()} >>", *extra)
    return ranged(page_pdf(catalogue=f"/AcroForm << /Fields [6 0 R] >> {catalogue}", page=page, extra=objects))


def redirected(pdf: bytes, number: int, offset: int) -> bytes:
    """Add a revision of nothing but a cross-reference."""
    start = int(pdf[pdf.rindex(b"startxref") :].split()[1])
    size = int(re.findall(rb"/Size (\d+)", pdf)[-1])
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (size, start, len(pdf))
    return pdf + b"xref\n%d 1\n%010d 00000 n \n" % (number, offset) + trailer


def with_entry(pdf: bytes, number: int, entry: bytes, objects: dict[int, bytes] | None = None) -> bytes:
    """Add a revision in which a dictionary has one entry more."""
    value = raw_object(pdf, number)
    return with_objects(pdf, {number: value[:-2] + entry + b" >>", **(objects or {})})


# Shadow attacks: hide

COVER = "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>"


@pytest.mark.parametrize("replacement", [b"null", b"<< >>", DRAWING, COVER.replace("1 >>", "0 >>").encode()])
def test_a_cover_that_is_taken_away_shows_what_it_hid(replacement: bytes) -> None:
    signed = signed_page(f"{COVER}\nstream\n0\nendstream", page="/Thumb 8 0 R")
    assert is_change(with_objects(signed, {8: replacement}))


def test_a_cover_that_is_freed_is_taken_away() -> None:
    signed = signed_page(f"{COVER}\nstream\n0\nendstream", page="/Thumb 8 0 R")
    freed = redirected(signed, 8, 0).replace(b"0000000000 00000 n", b"0000000000 00001 f")
    assert is_change(freed)


@pytest.mark.parametrize("number", [9, 40])
def test_a_number_that_stood_for_nothing_gets_a_meaning(number: int) -> None:
    """A reference to no object is null: a page hides another content behind it."""
    signed = signed_page("<< >>", page=f"/Contents [4 0 R {number} 0 R]".replace("/Contents", "/Hidden"))
    assert not is_change(with_objects(signed, {number + 1: STREAM}))
    assert is_change(with_objects(signed, {number: STREAM}))


# Shadow attacks: replace


def test_a_font_that_draws_other_letters_is_found() -> None:
    signed = signed_page()
    assert is_change(rewritten(signed, 5, (b"/Helvetica", b"/Symbol")))
    assert is_change(with_entry(signed, 5, b"/ToUnicode 60 0 R", {60: STREAM}))


def test_a_value_beneath_a_shown_one_is_found() -> None:
    assert is_change(rewritten(signed_form(), DOSE, (b"/V (1)", b"/V (100)")))
    assert is_change(with_entry(signed_form(), DOSE, b"/AP << /N 60 0 R >>", {60: DRAWING}))


# Shadow attacks: hide and replace


def test_a_second_catalogue_that_slept_in_the_file_is_not_woken() -> None:
    signed = signed_page("<< /Type /Catalog /Pages 9 0 R /AcroForm << /Fields [6 0 R] >> >>", "<< /Kids [] /Count 0 >>")
    woken = with_objects(signed, {60: b"<< >>"}).replace(b"/Size 61 /Root 1 0 R", b"/Size 61 /Root 8 0 R")
    assert is_change(woken)


def test_a_cross_reference_does_not_lead_to_another_body() -> None:
    hidden = "4 0 obj\n<< /Length 1 >>\nstream\n1\nendstream\nendobj"
    signed = signed_page(f"<< /Length {len(hidden)} >>\nstream\n{hidden}\nendstream")
    assert not is_change(redirected(signed, 4, signed.index(b"\n4 0 obj") + 1))
    assert is_change(redirected(signed, 4, signed.rindex(b"4 0 obj")))


@pytest.mark.parametrize("number", [2, 3, 4])
def test_no_page_and_no_content_is_exchanged(number: int) -> None:
    assert is_change(with_objects(signed_page(), {number: STREAM}))


# What may change beside a signature leads nowhere else


@pytest.mark.parametrize(
    "catalogue", ["/Metadata 8 0 R", "/DSS << /Certs [8 0 R] >>", "/DSS 9 0 R", "/Extensions << /A 8 0 R >>"]
)
@pytest.mark.parametrize(("page", "changed"), [("", False), ("/Thumb 8 0 R", True), ("/Own [9 0 R]", True)])
def test_what_holds_no_content_holds_it_nowhere(catalogue: str, page: str, *, changed: bool) -> None:
    """Validation data and descriptions may change, but not where a page uses the same objects."""
    signed = signed_page(STREAM.decode(), "<< /Certs [8 0 R] >>", catalogue=catalogue, page=page)
    later = with_objects(signed, {8: STREAM.replace(b"\n0\n", b"\n1\n"), 9: b"<< /Certs [] >>"})
    assert is_change(later) is changed


def test_an_array_of_annotations_is_nothing_else() -> None:
    later = b"<< /Type /Annot /Subtype /Widget /FT /Sig /T (New) /V 51 0 R /Rect [0 0 0 0] >>"
    for entry, changed in (("", False), ("/Thumb 8 0 R", True)):
        signed = signed_page("[6 0 R]", page=f"/Annots 8 0 R {entry}")
        catalogue = raw_object(signed, 1).replace(b"/Fields [6 0 R]", b"/Fields [6 0 R 50 0 R]")
        added = with_objects(signed, {1: catalogue, 8: b"[6 0 R 50 0 R]", 50: later, 51: SIGNATURE})
        assert is_change(added) is changed


# Incremental saving


def appended_body(pdf: bytes) -> bytes:
    return pdf + b"4 0 obj\n<< /Length 1 >>\nstream\n1\nendstream\nendobj\n"


def test_a_revision_without_a_cross_reference_is_none() -> None:
    signed = signed_page()
    start = signed[signed.rindex(b"startxref") :]
    body = appended_body(signed)
    for saved in (
        body,
        body + b"trailer\n<< /Root 1 0 R >>\n",
        body + b"trailer\n<< /Root 1 0 R >>\n" + start,
        body + start,
    ):
        assert is_change(saved)


def test_a_revision_that_repeats_the_signature_changes_the_document_all_the_same() -> None:
    signed = signed_page()
    saved = with_objects(signed, {4: STREAM, 6: raw_object(signed, 6), 7: raw_object(signed, 7)})
    contents = read_pdf(saved)
    assert contents.unreadable or contents.fields[0].defects


def test_a_chain_of_revisions_leaves_none_out() -> None:
    signed = signed_page()
    start = int(signed[signed.rindex(b"startxref") :].split()[1])
    once = with_objects(signed, {4: STREAM})
    assert is_change(with_objects(once, {4: raw_object(signed, 4)})) is False
    assert is_change(with_objects(once, {5: b"<< >>"}, previous=start))


# Signature wrapping


def test_the_second_part_of_a_byte_range_is_not_moved() -> None:
    signed = signed_page()
    gap, end, length = map(int, re.findall(rb"/ByteRange \[0 +(\d+) +(\d+) +(\d+)", signed)[0])
    table = signed.rindex(b"xref\n0 ")
    injected = b" >>\nendobj\n".ljust(table - end) + signed[table:]
    moved = b"/ByteRange [0 %10d %10d %10d]" % (gap, end + len(injected), length)
    at = signed.index(b"/ByteRange")
    wrapped = signed[:at] + moved + signed[at + len(moved) : end] + injected + signed[end:]
    contents = read_pdf(wrapped)
    assert [note.reason for _name, note in contents.unreadable] == [Reason.BYTE_RANGE_REFUSED]


def test_a_value_is_not_used_by_a_second_dictionary() -> None:
    signed = signed_page()
    value = raw_object(signed, 7)
    field = raw_object(signed, 6).replace(b"/V 7 0 R", b"/V 60 0 R")
    contents = read_pdf(with_objects(signed, {4: STREAM, 6: field, 60: value}))
    assert [note.reason for _name, note in contents.unreadable] == [Reason.BYTE_RANGE_REFUSED]


# Certified documents


@pytest.mark.parametrize(
    "kind", ["FreeText", "Stamp", "Redact", "Highlight", "Ink", "Square", "Link", "Popup", "Widget"]
)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_an_evil_annotation_is_a_change_at_every_level(kind: str, level: int) -> None:
    signed = signed_form(certification(level))
    page = raw_object(signed, 3).replace(b"/Annots [", b"/Annots [60 0 R ", 1)
    annotation = f"<< /Type /Annot /Subtype /{kind} /Rect [0 0 400 500] /AP << /N 61 0 R >> >>".encode()
    assert is_change(with_objects(signed, {3: page, 60: annotation, 61: DRAWING}))


def test_an_annotation_that_was_there_stays_as_it_was() -> None:
    note = "<< /Type /Annot /Subtype /FreeText /Rect [0 0 50 20] /Contents (one) >>"
    signed = signed_page(note, page="/Annots [8 0 R 6 0 R]")
    assert is_change(rewritten(signed, 8, (b"(one)", b"(ten)")))
    assert is_change(rewritten(signed, 8, (b"[0 0 50 20]", b"[0 0 500 200]")))
    assert is_change(with_entry(signed, 8, b"/F 2"))
    assert is_change(rewritten(signed, 3, (b"/Annots [8 0 R 6 0 R]", b"/Annots [6 0 R 8 0 R]")))


# No false alarms


def test_what_later_revisions_wrote_is_enough_to_see_that_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither signatures nor validation data nor values make anybody read the whole document."""

    def refuse(_comparison: Comparison) -> None:
        raise AssertionError

    monkeypatch.setattr(Comparison, "run", refuse)
    signed = signed_form(certification(2))
    twice = second_signature(rewritten(signed, DOSE, (b"/V (1)", b"/V (2)")))
    kept = with_entry(with_entry(twice, 1, DSS, {70: STREAM}), 1, b"/Metadata 71 0 R", {71: STREAM, 70: DRAWING})
    contents = read_pdf(kept)
    assert [field.defects for field in contents.fields] == [(), ()]
    assert first(kept).notes[0].detail == "form value, signature, validation data"


def test_a_change_in_a_large_document_is_told_without_reading_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.parsers.pdf_changes.MAX_TOLD_BY_PATH", 3)
    (defect,) = first(rewritten(signed_page(), 5, (b"/Helvetica", b"/Symbol"))).defects
    assert defect.detail == "5 0 R/BaseFont: another value"


def test_a_comparison_that_takes_too_long_says_what_was_found_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.parsers.pdf_changes.Effort", lambda steps=3: Effort(steps))
    (defect,) = first(rewritten(signed_page(), 5, (b"/Helvetica", b"/Symbol"))).defects
    assert defect.detail == "5 0 R/BaseFont: another value"
    moved = with_objects(
        signed_page(), {3: raw_object(signed_page(), 3).replace(b"/F1 5 0 R", b"/F1 60 0 R"), 60: DRAWING}
    )
    (defect,) = first(moved).defects
    assert defect.detail == "PdfTooComplex"
