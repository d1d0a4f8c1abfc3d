"""Files that were prepared to show something else after they are signed: each way is found."""

from collections.abc import Mapping
from io import BytesIO

import pytest
from pyhanko.pdf_utils.misc import PdfStreamError
from pyhanko.pdf_utils.reader import PdfFileReader

from signer.bounded_pdf import open_pdf
from signer.formats.pades import sign_pades
from signer.parsers.pdf import read_pdf
from signer.parsers.pdf_changes import Changes
from signer.parsers.pdf_objects import ChangeFound
from signer.parsers.pdf_permissions import Permissions
from signer.parsers.pdf_roles import Addition
from signer.validation.reasons import Reason
from tests.signer.validation.test_pdf_changes import add_validation_data, appended, what_changed, what_was_added
from tests.support.pdf import page_pdf
from tests.support.zoo import SIGNED_AT, Zoo

FORM = "/AcroForm << /Fields [6 0 R] >>"
TEXT = "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Dose) /V (1) /DA (/Own 9 Tf 0 g) /Rect [0 0 50 20] /P 3 0 R >>"
EMPTY = "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Later) /Rect [0 0 50 20] /P 3 0 R >>"
DRAWING = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 3 >>\nstream\n0 g\nendstream"


def signed_page(zoo: Zoo, *extra: str, catalogue: str = "", page: str = "") -> bytes:
    pdf = page_pdf(catalogue=catalogue, page=page, extra=extra)
    return sign_pades(pdf, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)


def with_objects(
    pdf: bytes, objects: Mapping[int, bytes], *, between: bytes = b"", previous: int | None = None
) -> bytes:
    """Add a revision that writes these objects, as any program could."""
    reader = PdfFileReader(BytesIO(pdf))
    size = max(int(reader.trailer["/Size"]), *(number + 1 for number in objects))
    body, rows = pdf + between, b""
    for number, value in objects.items():
        rows += b"%d 1\n%010d 00000 n \n" % (number, len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, value)
    start = reader.last_startxref if previous is None else previous
    root = reader.trailer.raw_get("/Root").idnum
    assert start is not None
    trailer = b"trailer\n<< /Size %d /Root %d 0 R /Prev %d >>\n" % (size, root, start)
    return body + b"xref\n" + rows + trailer + b"startxref\n%d\n%%%%EOF\n" % len(body)


def added(signed: bytes, now: bytes) -> frozenset[Addition]:
    """Compare two documents without a signature."""
    return Changes(open_pdf(now)).since(open_pdf(signed))


def raw_object(pdf: bytes, number: int) -> bytes:
    """Return an object's octets as the last revision wrote them."""
    start = pdf.rindex(b"\n%d 0 obj" % number)
    return pdf[pdf.index(b"obj", start) + 3 : pdf.index(b"endobj", start)].strip()


def fields_of(pdf: bytes) -> tuple[int, bytes]:
    """Return the number of the form's object, or the catalogue's, and its octets."""
    root = PdfFileReader(BytesIO(pdf)).trailer.raw_get("/Root").idnum
    return root, raw_object(pdf, root)


def with_field(pdf: bytes, field: bytes, objects: Mapping[int, bytes], *, on_page: int = 50) -> bytes:
    """Add field 50 to the form, and a widget of it to the page."""
    number, catalogue = fields_of(pdf)
    page = raw_object(pdf, 3)
    return with_objects(
        pdf,
        {
            number: catalogue.replace(b"/Fields [", b"/Fields [50 0 R ", 1),
            3: page.replace(b"/Annots [", b"/Annots [%d 0 R " % on_page, 1),
            50: field,
            **objects,
        },
    )


def test_a_stream_whose_length_is_written_elsewhere_keeps_its_length(zoo: Zoo) -> None:
    hidden = "0 g\nendstream\nendobj\n 1 g 0 0 9 9 re f"
    stream = f"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 8 0 R >>\nstream\n{hidden}\nendstream"
    stamp = "<< /Type /Annot /Subtype /Stamp /Rect [0 0 50 20] /AP << /N 7 0 R >> >>"
    signed = signed_page(zoo, stamp, stream, "3", page="/Annots [6 0 R]")
    assert what_was_added(with_objects(signed, {8: b"3"})) == "nothing that is seen"
    assert "/AP/N" in what_changed(with_objects(signed, {8: b"%d" % len(hidden)}))


def test_an_object_that_begins_where_the_signed_file_ends_is_not_of_it() -> None:
    pdf = page_pdf(page="/Thumb 6 0 R", extra=("<< >>",))
    prepared = pdf.replace(b"%010d 00000 n" % pdf.index(b"6 0 obj"), b"%010d 00000 n" % len(pdf))
    assert (len(prepared), prepared == pdf) == (len(pdf), False)
    with pytest.raises(PdfStreamError):
        added(prepared, with_objects(prepared, {60: b"<< >>"}, between=b"6 0 obj\n<< /A 1 >>\nendobj\n"))


def test_equal_layers_do_not_change_places(zoo: Zoo) -> None:
    layers = ("<< /Type /OCG /Name (L) >>",) * 2
    catalogue = "/OCProperties << /OCGs [6 0 R 7 0 R] /D 8 0 R >>"
    signed = signed_page(zoo, *layers, "<< /ON [6 0 R] /OFF [7 0 R] >>", catalogue=catalogue)
    assert what_was_added(with_objects(signed, {8: b"<< /ON [6 0 R] /OFF [7 0 R] >>"})) == "nothing that is seen"
    for other in (b"<< /ON [7 0 R] /OFF [6 0 R] >>", b"<< /ON [6 0 R] /OFF [<< /Type /OCG /Name (L) >>] >>"):
        assert "another object" in what_changed(with_objects(signed, {8: other}))


def test_a_reference_to_a_reference_hides_nothing(zoo: Zoo) -> None:
    signed = signed_page(zoo, "7 0 R", "<< /A 1 >>", page="/Thumb 6 0 R")
    assert what_changed(with_objects(signed, {7: b"<< /A 2 >>"}))


def test_no_revision_that_was_signed_is_passed_over() -> None:
    pdf = page_pdf()
    signed = with_objects(pdf, {60: b"<< >>"})
    assert added(signed, with_objects(signed, {60: b"<< >>"})) == frozenset()
    with pytest.raises(ChangeFound, match="passed over"):
        added(signed, with_objects(signed, {60: b"<< >>"}, previous=PdfFileReader(BytesIO(pdf)).last_startxref))


NEW = {
    "a widget below a widget": (
        b"<< /FT /Sig /T (N) /Kids [51 0 R] >>",
        {51: b"<< /Parent 50 0 R /Kids [52 0 R] >>", 52: b"<< /Subtype /FreeText /Contents (x) >>"},
        52,
    ),
    "a note": (b"<< /Type /Annot /Subtype /FreeText /FT /Sig /T (N) /Rect [0 0 9 9] >>", {}, 50),
    "a text below": (
        b"<< /FT /Sig /T (N) /Kids [51 0 R] >>",
        {51: b"<< /Subtype /Widget /FT /Tx /V (x) /Rect [0 0 9 9] >>"},
        51,
    ),
    "a picture without a signature": (
        b"<< /Subtype /Widget /FT /Sig /T (N) /Rect [0 0 9 9] /AP << /N 51 0 R >> >>",
        {51: DRAWING},
        50,
    ),
    "a signature that nobody sees": (
        b"<< /Subtype /Widget /FT /Sig /V << /Type /Sig >> /Rect [0 0 9 9] /AP << /N 51 0 R >> >>",
        {51: DRAWING},
        50,
    ),
    "a signature of nothing": (
        b"<< /Subtype /Widget /FT /Sig /T (N) /V << >> /Rect [0 0 9 9] /AP << /N 51 0 R >> >>",
        {51: DRAWING},
        50,
    ),
}


@pytest.mark.parametrize("name", NEW)
def test_a_new_field_is_no_cloak_for_anything_else(zoo: Zoo, name: str) -> None:
    field, objects, on_page = NEW[name]
    signed = signed_page(zoo, TEXT, catalogue=FORM, page="/Annots [6 0 R]")
    assert "signature field" in what_changed(with_field(signed, field, objects, on_page=on_page))


def test_a_new_field_without_a_signature_shows_nothing(zoo: Zoo) -> None:
    signed = signed_page(zoo, TEXT, catalogue=FORM, page="/Annots [6 0 R]")
    field = b"<< /Subtype /Widget /FT /Sig /T (N) /Rect [0 0 9 9] /AP << /N 51 0 R >> >>"
    nothing = DRAWING.replace(b"/Length 3", b"/Length 1").replace(b"0 g", b" ")
    assert what_was_added(with_field(signed, field, {51: nothing})) == "signature field"


@pytest.mark.parametrize("value", ["", "/V << >>"])
def test_an_empty_field_gets_an_appearance_with_its_signature_alone(zoo: Zoo, value: str) -> None:
    signed = signed_page(zoo, EMPTY, catalogue=FORM, page="/Annots [6 0 R]")
    shown = EMPTY.replace("/T (Later)", f"/T (Later) {value} /AP << /N 51 0 R >>").encode()
    assert what_changed(with_objects(signed, {6: shown, 51: DRAWING}))


@pytest.mark.parametrize("elsewhere", ["", "/Other 7 0 R", "/Others [<< /One 7 0 R >>]"])
def test_an_appearance_that_something_else_uses_is_not_replaced(zoo: Zoo, elsewhere: str) -> None:
    own = EMPTY.replace("/T (Later)", "/T (Later) /AP 7 0 R")
    extra = own, "<< /N 8 0 R >>", DRAWING.decode()
    signed = signed_page(zoo, *extra, catalogue=f"{FORM} {elsewhere}", page="/Annots [6 0 R]")
    value = "/V << /Type /Sig /SubFilter /ETSI.CAdES.detached /Contents <00> /ByteRange [0 1 2 3] >>"
    shown = own.replace("/AP 7 0 R", f"{value} /AP << /N 51 0 R >>").encode()
    (first,) = read_pdf(with_objects(signed, {6: shown, 51: DRAWING})).fields
    assert [defect.reason for defect in first.defects] == ([Reason.DOCUMENT_CHANGED] if elsewhere else [])


def test_a_note_that_is_an_empty_field_too_keeps_its_appearance(zoo: Zoo) -> None:
    note = EMPTY.replace("/Widget", "/Stamp").replace("/P 3", "/AP << /N 7 0 R >> /P 3")
    signed = signed_page(zoo, note, DRAWING.decode(), catalogue=FORM, page="/Annots [6 0 R]")
    shown = note.replace("7 0 R", "51 0 R").replace("/FT", "/V 52 0 R /FT").encode()
    later = with_objects(signed, {6: shown, 51: DRAWING.replace(b"0 g", b"1 g"), 52: b"<< /Type /Sig /A 1 >>"})
    (first,) = read_pdf(later).fields
    assert "/AP" in first.defects[0].detail


def test_an_empty_field_that_nobody_touched_is_no_addition(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = signed_page(zoo, EMPTY, catalogue=FORM, page="/Annots [6 0 R]")
    assert what_was_added(appended(signed, add_validation_data)) == "validation data"
    monkeypatch.setattr("signer.parsers.pdf.read_permissions", lambda *_read: Permissions(level=1))
    assert what_was_added(appended(signed, add_validation_data)) == "validation data"


def test_a_signature_s_widget_may_stand_apart_from_its_field(zoo: Zoo) -> None:
    field = "<< /FT /Sig /T (Later) /Kids [7 0 R] >>"
    widget = "<< /Type /Annot /Subtype /Widget /Parent 6 0 R /Rect [0 0 50 20] /P 3 0 R >>"
    signed = signed_page(zoo, field, widget, catalogue=FORM, page="/Annots [7 0 R]")
    filled = {
        6: field.replace("/Kids", "/V 52 0 R /Kids").encode(),
        7: widget.replace("/P 3", "/F 4 /AP << /N 51 0 R >> /P 3").encode(),
        51: DRAWING,
        52: b"<< /Type /Sig /SubFilter /ETSI.CAdES.detached >>",
    }
    (first,) = read_pdf(with_objects(signed, filled)).fields
    assert first.defects == ()
    assert first.notes[0].detail == "signature"


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


@pytest.mark.parametrize(
    ("resources", "changed"),
    [
        (b"/DR << /Font << /Other << /Type /Font >> >> >>", False),
        (b"/DR << /Font << /Own %s >> >>" % FONT, False),
        (b"/DR << /Font << /Own %s >> >>" % FONT.replace(b">>", b"/ToUnicode << >> >>"), True),
        (b"/DR << /Font << /Own %s >> >>" % FONT.replace(b"/Helvetica", b"/Symbol"), True),
        (b"/DR << /Font << /Own << /Type /Font /Subtype /Type3 >> >> >>", True),
        (b"/DR << /ExtGState << /Own << /ca 0 >> >> >>", True),
    ],
)
def test_what_text_is_drawn_with_is_not_added_later(zoo: Zoo, resources: bytes, *, changed: bool) -> None:
    signed = signed_page(zoo, TEXT, catalogue=FORM, page="/Annots [6 0 R]")
    number, catalogue = fields_of(signed)
    later = with_objects(signed, {number: catalogue.replace(b"/Fields [", resources + b" /Fields [", 1)})
    if changed:
        assert "/AcroForm/DR" in what_changed(later)
    else:
        assert what_was_added(later) == "nothing that is seen"


@pytest.mark.parametrize(
    ("appearance", "changed"), [(b"/DA (/Helv 0 Tf 0 g )", False), (b"/DA (/Helv 0 Tf 1 g)", True)]
)
def test_text_without_an_appearance_gets_the_usual_one_at_most(zoo: Zoo, appearance: bytes, *, changed: bool) -> None:
    field = TEXT.replace("/DA (/Own 9 Tf 0 g)", "")
    signed = signed_page(zoo, field, catalogue=FORM, page="/Annots [6 0 R]")
    number, catalogue = fields_of(signed)
    later = with_objects(signed, {number: catalogue.replace(b"/Fields [", appearance + b" /Fields [", 1)})
    if changed:
        assert "/AcroForm/DA" in what_changed(later)
    else:
        assert what_was_added(later) == "nothing that is seen"
