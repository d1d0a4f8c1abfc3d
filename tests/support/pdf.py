"""PDF files for tests: a prescription page, and pages with something on them that nobody should sign."""

from io import BytesIO
from typing import Final

from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer

from signer.samples import pdf_page_objects, sample_pdf, write_pdf

LINES = ("PRESCRIPTION", "1. Amoxicillin 500 mg, 21")


def page_pdf(*, catalogue: str = "", page: str = "", extra: tuple[str, ...] = ()) -> bytes:
    """Write a page with more entries in catalogue and page; `extra` objects are numbered from 6."""
    objects = pdf_page_objects(LINES, catalogue=catalogue, page=page)
    return write_pdf([*objects, *(content.encode() for content in extra)])


def form_pdf() -> bytes:
    """Write a page with a filled text field named Dose."""
    field = "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Dose) /V (1) /Rect [0 0 50 20] /P 3 0 R >>"
    form = "/AcroForm << /Fields [6 0 R] /DA (/Helv 10 Tf) >>"
    return page_pdf(catalogue=form, page="/Annots [6 0 R]", extra=(field,))


def certified_pdf(permission: int) -> bytes:
    """Write a page whose catalogue points to a certification signature with `permission`."""
    reference = (
        "<< /Type /SigRef /TransformMethod /DocMDP"
        f" /TransformParams << /Type /TransformParams /V /1.2 /P {permission} >> >>"
    )
    signature = f"<< /Type /Sig /Filter /Adobe.PPKLite /Reference [{reference}] >>"
    return page_pdf(catalogue="/Perms << /DocMDP 6 0 R >>", extra=(signature,))


def encrypted_pdf() -> bytes:
    """Write the sample page encrypted with a password."""
    writer = copy_into_new_writer(PdfFileReader(BytesIO(sample_pdf())))
    writer.encrypt(owner_pass="owner", user_pass="user")  # type: ignore[no-untyped-call]  # untyped upstream
    output = BytesIO()
    writer.write(output)  # type: ignore[no-untyped-call]  # untyped upstream
    return output.getvalue()


def hybrid_pdf() -> bytes:
    """Write a page whose trailer also points to a cross-reference stream (ISO 32000-2 §7.5.8.4)."""
    objects = pdf_page_objects(LINES)
    rows = b"\0\0\0\0\0\xff"
    stream = b"<< /Type /XRef /Size 6 /W [1 4 1] /Index [0 1] /Root 1 0 R /Length %d >>\nstream\n%s\nendstream"
    plain = write_pdf([*objects, stream % (len(rows), rows)])
    offset = plain.index(b"6 0 obj")
    return write_pdf([*objects, stream % (len(rows), rows)], trailer={"XRefStm": str(offset)})


_GAP: Final = b"<3003020100" + bytes(118).replace(b"\0", b"0") + b">"
_RANGE: Final = b"/ByteRange [0 ########## ########## ##########]"


def value_entries(entries: str = "") -> str:
    """Return the entries of a signature value that nobody verifies, for `ranged`."""
    return f"/Type /Sig /SubFilter /ETSI.CAdES.detached {_RANGE.decode()} /Contents {_GAP.decode()} {entries}"


def ranged(pdf: bytes) -> bytes:
    """Fill in the byte range of the last value, which then covers the whole file."""
    at = pdf.rindex(_RANGE)
    gap = pdf.index(_GAP, at)
    end = gap + len(_GAP)
    numbers = b"/ByteRange [0 %10d %10d %10d]" % (gap, end, len(pdf) - end)
    return pdf[:at] + numbers + pdf[at + len(numbers) :]
