"""A report as PDF, Persian sheets and then English ones: embedded font, shaped text that can be copied, tagged.

Dates and identifiers come from the verdict and the content, so the same verdict gives the same octets.
"""

from datetime import UTC
from html import escape
from typing import Final

from signer.validation.names import visible
from signer.validation.report import ReportedFile, instant
from signer.validation.report_page import Language
from signer.validation.report_pdf_file import Objects, number, text_string
from signer.validation.report_pdf_fonts import EmbeddedFonts
from signer.validation.report_pdf_layout import HEIGHT, WIDTH, Sheet, Sheets
from signer.validation.report_pdf_tags import Element, write_structure
from signer.validation.report_story import TITLE, tell
from signer.validation.verdict import FileVerdict

_PRODUCER: Final = "Mohr"


def report_pdf(verdict: FileVerdict, file: ReportedFile) -> bytes:
    """Write the report on one file."""
    fonts, document = EmbeddedFonts(), Element("Document")
    sheets = Sheets(fonts)
    for language in Language:
        sheets.lay(tell(verdict, file, language), document.below("Sect", lang=language.value))
    sheets.foot(f"SHA-256 {file.sha256}")
    objects = Objects()
    pages = _pages(objects, sheets.sheets, fonts)
    structure = write_structure(objects, document, pages[1:], [sheet.marks for sheet in sheets.sheets])
    title = f"{TITLE.fa} · {TITLE.en} · {visible(file.name)}"
    told = _metadata(title, instant(verdict.validated_at) or "").encode("utf-8", "replace")
    metadata = objects.stream(told, "/Type /Metadata /Subtype /XML", plain=True)
    root = objects.add(
        f"<< /Type /Catalog /Pages {pages[0]} 0 R /StructTreeRoot {structure} 0 R /MarkInfo << /Marked true >> "
        f"/Lang (fa) /Metadata {metadata} 0 R /ViewerPreferences << /DisplayDocTitle true /Direction /R2L >> >>"
    )
    made = verdict.validated_at.astimezone(UTC)
    date = f"(D:{made.year:04}{made:%m%d%H%M%S}Z)"
    info = objects.add(
        f"<< /Title {text_string(title)} /Producer ({_PRODUCER}) /CreationDate {date} /ModDate {date} >>"
    )
    return objects.file(root, info)


def _pages(objects: Objects, sheets: list[Sheet], fonts: EmbeddedFonts) -> list[int]:
    """Write the sheets; return the number of their tree, then of each."""
    tree, shared = objects.reserve(), objects.reserve()
    numbers = [objects.reserve() for _ in sheets]
    for index, (own, sheet) in enumerate(zip(numbers, sheets, strict=True)):
        content = objects.stream("\n".join(sheet.operators).encode("ascii"))
        objects.put(
            own,
            f"<< /Type /Page /Parent {tree} 0 R /Resources {shared} 0 R /Contents {content} 0 R "
            f"/MediaBox [0 0 {number(WIDTH)} {number(HEIGHT)}] /StructParents {index} /Tabs /S >>",
        )
    objects.put(shared, f"<< /Font << {fonts.write(objects)} >> >>")
    kids = " ".join(f"{own} 0 R" for own in numbers)
    objects.put(tree, f"<< /Type /Pages /Kids [{kids}] /Count {len(numbers)} >>")
    return [tree, *numbers]


def _metadata(title: str, moment: str) -> str:
    shown = "".join(char if char.isprintable() else "\ufffd" for char in title)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:pdf="http://ns.adobe.com/pdf/1.3/"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{escape(shown)}</rdf:li></rdf:Alt></dc:title><dc:language><rdf:Bag><rdf:li>fa</rdf:li><rdf:li>en</rdf:li>"
        f"</rdf:Bag></dc:language><xmp:CreateDate>{moment}</xmp:CreateDate><xmp:ModifyDate>{moment}</xmp:ModifyDate>"
        f'<pdf:Producer>{_PRODUCER}</pdf:Producer></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
