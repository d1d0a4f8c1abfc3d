"""Synthetic documents for the demo, benches and tests: nobody in them exists.

National codes are the two reserved for examples here; identifier systems are placeholders under
id.example.org that a deployer replaces (RFC 6761 §6.5).
"""

from collections.abc import Mapping, Sequence


def write_pdf(objects: Sequence[bytes], *, trailer: Mapping[str, str] | None = None) -> bytes:
    """Write a PDF 1.7 whose objects are numbered from 1; the first is the catalogue."""
    body = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        body += b"%010d 00000 n \n" % offset
    entries = {"Size": str(len(objects) + 1), "Root": "1 0 R", **(trailer or {})}
    inner = " ".join(f"/{name} {value}" for name, value in entries.items())
    return bytes(body) + f"trailer\n<< {inner} >>\nstartxref\n{start}\n%%EOF\n".encode()


def pdf_page_objects(lines: Sequence[str], *, catalogue: str = "", page: str = "") -> list[bytes]:
    """Return catalogue, page tree, one A5 page, its text and its font; the strings add dictionary entries."""
    text = "\n".join(f"({line}) Tj T*" for line in lines)
    content = f"BT /F1 11 Tf 40 540 Td 16 TL\n{text}\nET".encode("latin-1")
    return [
        f"<< /Type /Catalog /Pages 2 0 R /Lang (en) {catalogue} >>".encode(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents 4 0 R"
            f" /Resources << /Font << /F1 5 0 R >> >> {page} >>"
        ).encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]


def sample_pdf() -> bytes:
    """Return a one-page prescription as PDF, Latin letters only."""
    lines = (
        "PRESCRIPTION \\(synthetic\\)",
        "No. 1405-000123    22 November 2026",
        "Patient: Ali Nemooneh    National code: 0000012351",
        "Prescriber: Dr Sara Nemooneh    Medical council: 123456",
        "",
        "1. Amoxicillin 500 mg capsule, 21, one every 8 hours for 7 days",
        "2. Ibuprofen 400 mg tablet, 10, one when needed, at most 3 a day",
    )
    return write_pdf(pdf_page_objects(lines))
