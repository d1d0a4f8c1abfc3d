"""Later revisions of a signed PDF: what other implementations add is let through, every other change is found."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, IndirectObject, NullObject, pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigFieldSpec, append_signature_field

from signer.formats.pades import sign_pades
from signer.parsers.pdf import PdfField, read_pdf
from signer.parsers.pdf_permissions import Permissions
from signer.validation.reasons import Reason
from tests.support.pdf import form_pdf, page_pdf
from tests.support.zoo import SIGNED_AT, Zoo

Change = Callable[[IncrementalPdfFileWriter], object]
DATE = generic.TextStringObject("D:20261122090000Z")


def appended(pdf: bytes, change: Change) -> bytes:
    """Add a revision."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    change(writer)
    output = BytesIO()
    writer.write(output)  # type: ignore[no-untyped-call]  # untyped upstream
    return output.getvalue()


def first_field(pdf: bytes) -> PdfField:
    contents = read_pdf(pdf)
    assert contents.unreadable == ()
    return contents.fields[0]


def what_changed(pdf: bytes) -> str:
    """Return why the first signature's document counts as changed."""
    (defect,) = first_field(pdf).defects
    assert defect.reason is Reason.DOCUMENT_CHANGED
    return defect.detail


def what_was_added(pdf: bytes) -> str:
    field = first_field(pdf)
    assert field.defects == ()
    note, *revisions = field.notes
    assert note.reason is Reason.DOCUMENT_EXTENDED
    assert {one.reason for one in revisions} == {Reason.DOCUMENT_REVISION}
    return note.detail


def dictionary(**entries: Any) -> DictionaryObject:
    return DictionaryObject({pdf_name(f"/{name}"): value for name, value in entries.items()})  # type: ignore[no-untyped-call]  # untyped upstream


def number(value: int) -> generic.NumberObject:
    return generic.NumberObject(value)  # type: ignore[no-untyped-call]  # untyped upstream


def page_of(writer: IncrementalPdfFileWriter) -> DictionaryObject:
    found: DictionaryObject = writer.root["/Pages"]["/Kids"][0]
    return found


def set_in(container: Callable[[IncrementalPdfFileWriter], Any], key: str, value: Any) -> Change:
    """Write one entry of a dictionary anew."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        found = container(writer)
        found[pdf_name(key)] = value(writer) if callable(value) else value
        writer.update_container(found)

    return change


def form_of(writer: IncrementalPdfFileWriter) -> Any:
    return writer.root["/AcroForm"]


def root_of(writer: IncrementalPdfFileWriter) -> Any:
    return writer.root


def resources_of(writer: IncrementalPdfFileWriter, category: str) -> Any:
    return form_of(writer)["/DR"][category]


def a_stream(writer: IncrementalPdfFileWriter) -> IndirectObject:
    return writer.add_object(generic.StreamObject(stream_data=b"BT (other) Tj ET"))


def add_signature_field(**entries: Any) -> Change:
    """Add an empty signature field, with more in it."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        append_signature_field(writer, SigFieldSpec("Second"))
        field = form_of(writer)["/Fields"][-1]
        for name, value in entries.items():
            field[pdf_name(f"/{name}")] = value
        writer.update_container(field)

    return change


def add_annotation(writer: IncrementalPdfFileWriter) -> None:
    page = page_of(writer)
    note = dictionary(Type=pdf_name("/Annot"), Subtype=pdf_name("/FreeText"))
    page[pdf_name("/Annots")] = ArrayObject([*(page.get("/Annots", ())), writer.add_object(note)])
    writer.update_container(page)


def remove_annotation(writer: IncrementalPdfFileWriter) -> None:
    page = page_of(writer)
    page[pdf_name("/Annots")] = ArrayObject()
    writer.update_container(page)


def add_text_field(writer: IncrementalPdfFileWriter) -> None:
    fields = form_of(writer)["/Fields"]
    text = dictionary(FT=pdf_name("/Tx"), T=generic.TextStringObject("New"), V=generic.TextStringObject("x"))
    fields.append(writer.add_object(text))
    writer.update_container(fields)


def another_appearance(writer: IncrementalPdfFileWriter) -> None:
    field = next(one.get_object() for one in form_of(writer)["/Fields"] if one.get_object()["/FT"] == "/Sig")
    field[pdf_name("/AP")] = dictionary(N=a_stream(writer))
    writer.update_container(field)


def another_font(writer: IncrementalPdfFileWriter) -> None:
    font = page_of(writer)["/Resources"]["/Font"]["/F1"]
    font[pdf_name("/BaseFont")] = pdf_name("/Symbol")
    writer.update_container(font)


CHANGES: dict[str, tuple[Change, str]] = {
    "action on opening": (set_in(root_of, "/OpenAction", dictionary(S=pdf_name("/JavaScript"))), "/OpenAction"),
    "scripts by name": (set_in(root_of, "/Names", dictionary()), "/Names"),
    "another tree of pages": (set_in(root_of, "/Pages", dictionary(Kids=ArrayObject())), "/Pages"),
    "other content": (set_in(page_of, "/Contents", a_stream), "/Pages/Kids[0]/Contents"),
    "a smaller page": (set_in(page_of, "/CropBox", ArrayObject([number(0)] * 4)), "/CropBox"),
    "turned": (set_in(page_of, "/Rotate", number(180)), "/Rotate"),
    "another font": (another_font, "/Font/F1/BaseFont"),
    "an annotation": (add_annotation, "/Annots[2]: an annotation was added"),
    "an annotation gone": (remove_annotation, "/Annots: an annotation is gone"),
    "a text field": (add_text_field, "a form field was added"),
    "form values drawn anew": (
        set_in(form_of, "/NeedAppearances", generic.BooleanObject(True)),  # type: ignore[no-untyped-call]
        "/NeedAppearances",
    ),
    "another default appearance": (set_in(form_of, "/DA", generic.TextStringObject("/Helv 0 Tf")), "/DA"),
    "the signature's appearance": (another_appearance, "/AP"),
    "a field with an action": (add_signature_field(AA=dictionary()), "more than hold a signature"),
}


@pytest.fixture(scope="module")
def signed(zoo: Zoo) -> bytes:
    """A form with a filled text field, signed."""
    return sign_pades(form_pdf(), zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_and_its_place_named(signed: bytes, name: str) -> None:
    change, place = CHANGES[name]
    assert place in what_changed(appended(signed, change))


def add_validation_data(writer: IncrementalPdfFileWriter) -> None:
    certificates = writer.add_object(ArrayObject([a_stream(writer)]))
    writer.root[pdf_name("/DSS")] = dictionary(Certs=certificates, VRI=dictionary(AB=dictionary(TU=DATE)))
    writer.root[pdf_name("/Extensions")] = dictionary(ESIC=dictionary())
    writer.update_root()  # type: ignore[no-untyped-call]  # untyped upstream


def write_anew(writer: IncrementalPdfFileWriter) -> None:
    """Write every object once more, as it is."""
    pages = writer.root["/Pages"]
    for one in (writer.root, pages, page_of(writer), page_of(writer)["/Resources"]["/Font"]["/F1"]):
        writer.update_container(one)


ADDITIONS: dict[str, tuple[Change, str]] = {
    "validation data": (add_validation_data, "validation data"),
    "nothing new": (write_anew, "nothing that is seen"),
    "another description": (set_in(root_of, "/Metadata", a_stream), "nothing that is seen"),
    "an empty signature field": (add_signature_field(), "signature field"),
    "a font for fields": (
        set_in(form_of, "/DR", dictionary(Font=dictionary(Cour=dictionary()))),
        "nothing that is seen",
    ),
    "a null entry": (set_in(page_of, "/Thumb", NullObject()), "nothing that is seen"),
}


@pytest.mark.parametrize("name", ADDITIONS)
def test_what_later_signatures_bring_is_no_change(signed: bytes, name: str) -> None:
    change, said = ADDITIONS[name]
    assert what_was_added(appended(signed, change)) == said


def test_validation_data_may_be_replaced(signed: bytes) -> None:
    def replace_it(writer: IncrementalPdfFileWriter) -> None:
        writer.root["/DSS"][pdf_name("/VRI")] = dictionary()
        writer.update_container(writer.root["/DSS"])

    once = appended(signed, add_validation_data)
    assert what_was_added(appended(once, replace_it)) == "validation data"


def test_a_second_signature_and_a_time_stamp_are_named(zoo: Zoo, signed: bytes) -> None:
    by = zoo.clinician
    twice = sign_pades(signed, by.key, by.chain, signed_at=SIGNED_AT)
    assert what_was_added(twice) == "signature"
    assert "signature" in what_was_added(appended(twice, add_validation_data))


def test_a_form_s_resources_may_grow_and_not_change(zoo: Zoo) -> None:
    field = "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Dose) /V (1) /Rect [0 0 50 20] /P 3 0 R >>"
    form = "/AcroForm << /Fields [6 0 R] /DR << /Font << /H << /BaseFont /A >> >> /XObject << /FRM 5 0 R >> >> >>"
    page = page_pdf(catalogue=form, page="/Annots [6 0 R]", extra=(field,))
    signed = sign_pades(page, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    for path, value, changed in (
        (("/Font", "/New"), dictionary(), False),
        (("/XObject", "/FRM"), dictionary(), False),
        (("/Font", "/H"), dictionary(BaseFont=pdf_name("/B")), True),
        (("/Font", "/H"), dictionary(BaseFont=pdf_name("/A"), ToUnicode=dictionary()), True),
    ):
        category, name = path

        def change(
            writer: IncrementalPdfFileWriter, category: str = category, name: str = name, value: Any = value
        ) -> None:
            resources = form_of(writer)["/DR"][category]
            resources[pdf_name(name)] = value
            writer.update_container(resources)

        assert bool(first_field(appended(signed, change)).defects) is changed


def test_any_object_of_the_document_written_with_another_entry_is_a_change(signed: bytes) -> None:
    """Nothing that can be reached is overlooked: each dictionary gets an entry more, one after the other."""
    reader = PdfFileReader(BytesIO(signed))
    references = sorted(reader.xrefs.explicit_refs_in_revision(0) | reader.xrefs.explicit_refs_in_revision(1), key=str)
    about = reader.trailer.raw_get("/Info").reference  # what properties show, outside the document itself
    tried = 0
    for reference in references:
        if reference == about or not isinstance(reader.get_object(reference), DictionaryObject):  # type: ignore[no-untyped-call]  # untyped upstream
            continue

        def change(writer: IncrementalPdfFileWriter, wanted: generic.Reference = reference) -> None:
            found = writer.get_object(generic.Reference(wanted.idnum, wanted.generation, writer))
            found[pdf_name("/Added")] = number(1)
            writer.mark_update(generic.Reference(wanted.idnum, wanted.generation, writer))

        changed = appended(signed, change)
        assert read_pdf(changed).unreadable or "/Added" in what_changed(changed), reference
        tried += 1
    assert tried >= 6


@pytest.mark.parametrize(("permission", "changed"), [(1, True), (2, False), (3, False)])
def test_a_certified_document_is_signed_again_only_where_it_may_be(
    zoo: Zoo, signed: bytes, monkeypatch: pytest.MonkeyPatch, permission: int, *, changed: bool
) -> None:
    monkeypatch.setattr("signer.parsers.pdf.read_permissions", lambda *_read: Permissions(level=permission))
    by = zoo.clinician
    twice = sign_pades(signed, by.key, by.chain, signed_at=SIGNED_AT)
    assert bool(first_field(twice).defects) is changed
    assert first_field(appended(signed, add_validation_data)).defects == ()


def test_a_revision_that_the_last_one_hides_is_no_revision(signed: bytes) -> None:
    start = signed[signed.rindex(b"startxref") :]
    assert (
        what_changed(signed + b"9 0 obj\n<< /Type /Catalog >>\nendobj\n" + start) == "octets that belong to no revision"
    )
