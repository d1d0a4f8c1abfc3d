"""The report as PDF: text that can be copied, a structure that covers it, and nothing that a stranger's name breaks."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.formats.jades import add_signature_timestamp, sign_jades
from signer.validation.reasons import Reason
from signer.validation.report import ReportedFile
from signer.validation.report_page import Banner, Fold, Heading, Language, Paragraph, Part, Rows, Span, Way
from signer.validation.report_pdf import report_pdf
from signer.validation.report_pdf_layout import MAX_SHEETS
from signer.validation.report_story import tell
from signer.validation.verdict import FileVerdict, note
from signer.validation.verify import verify_bytes
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician

FILE = ReportedFile(name="نسخهٔ ۱۲.json", size=5325, sha256="ab" * 32)
STEERING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def good(zoo: Zoo, jades: bytes) -> FileVerdict:
    return verify_bytes(add_signature_timestamp(jades, zoo.stamper(SIGNED_AT)), zoo.context())


@pytest.fixture(scope="module")
def report(good: FileVerdict) -> bytes:
    return report_pdf(good, FILE)


@pytest.fixture(scope="module")
def unsigned(zoo: Zoo) -> FileVerdict:
    return verify_bytes(b"nothing signed", zoo.context())


def read(report: bytes) -> Any:
    from pyhanko.pdf_utils.reader import PdfFileReader

    return PdfFileReader(BytesIO(report), strict=True)


def sheets(report: bytes) -> list[Any]:
    return [kid.get_object() for kid in read(report).root["/Pages"]["/Kids"]]


def copied(report: bytes, folder: Path) -> str:
    """Take the text out with another program, line by line as read; nothing may be said on the way."""
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("pdftotext is not installed")
    (folder / "report.pdf").write_bytes(report)
    command = [program, "-layout", "report.pdf", "-"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
    assert ended.stderr == b""
    return STEERING.sub("", ended.stdout.decode())


def test_the_same_verdict_gives_the_same_octets(good: FileVerdict, report: bytes) -> None:
    assert report_pdf(good, FILE) == report
    assert report.startswith(b"%PDF-1.7\n")
    assert b"(D:20261122090000Z)" in report


@pytest.mark.real
def test_the_text_can_be_copied_in_both_languages(good: FileVerdict, report: bytes, tmp_path: Path) -> None:
    text = copied(report, tmp_path)
    persian, english = text.split("Signature verification report", 1)
    said = (
        "گزارش راستی‌آزمایی امضا",
        "همهٔ بررسی‌های خواسته‌شده برآورده شدند",
        "چه کسی امضا کرده است؟",
        "نمونهٔ پزشک",
        FILE.sha256,
        "2026-11-20T09:00:00Z",
        "TOTAL-PASSED",
    )
    for one in said:
        assert one in persian
    for one in ("Who signed?", "What is it worth?", FILE.sha256, "Physician", "29 Aban 1405, 12:30:00 Tehran"):
        assert one in english
    serial = good.signatures[0].chain[0].serial_hex
    assert serial in persian
    assert serial in english


def spans(parts: Iterable[Part]) -> Iterator[Span]:
    for part in parts:
        match part:
            case Heading() | Paragraph():
                yield from part.line
            case Banner():
                yield from (span for line in part.lines for span in line)
            case Rows():
                yield from (span for row in part.rows for line in (row.label, *row.values) for span in line)
            case Fold():
                yield from spans((part.heading, *part.parts))


@pytest.mark.real
@pytest.mark.parametrize("language", Language)
def test_every_word_of_a_report_can_be_copied(
    good: FileVerdict, report: bytes, tmp_path: Path, language: Language
) -> None:
    text = copied(report, tmp_path)
    told = " ".join(span.text for span in spans(tell(good, FILE, language).parts) if span.way is Way.TEXT)
    words = set(re.findall(r"[\w\u200c\u0654]+", told))
    assert len(words) > 150
    assert [word for word in words if word not in text] == []


def test_every_line_belongs_to_the_structure(report: bytes) -> None:
    root = read(report).root
    assert root["/MarkInfo"]["/Marked"] == True  # noqa: E712 - a PDF object
    assert root["/Lang"] == "fa"
    tree = root["/StructTreeRoot"]
    document = tree["/K"]
    assert [kid.get_object()["/Lang"] for kid in document["/K"]] == ["fa", "en"]
    parents = tree["/ParentTree"]["/Nums"]
    pages = sheets(report)
    assert len(parents) == 2 * len(pages)
    for index, page in enumerate(pages):
        content = page["/Contents"].data.decode("ascii")
        marks = [int(found) for found in re.findall(r"/MCID (\d+)", content)]
        assert marks == list(range(len(marks)))
        owners = parents[2 * index + 1]
        assert len(owners) == len(marks)
        kinds = re.findall(r"/(\w+) << /MCID", content)
        assert [owner.get_object()["/S"] for owner in owners] == [f"/{kind}" for kind in kinds]
        # What is shown and is no content says so.
        outside = re.sub(r"/\w+ << /MCID \d+ >> BDC .*? EMC|/Artifact (BMC|<< [^>]*> >> BDC) .*? EMC", "", content)
        assert outside.strip() == ""


def test_fonts_are_embedded_and_every_code_has_its_letter(report: bytes) -> None:
    fonts = sheets(report)[0]["/Resources"]["/Font"]
    for font in (fonts["/F0"], fonts["/F1"]):
        below = font["/DescendantFonts"][0].get_object()
        assert len(below["/FontDescriptor"]["/FontFile2"].data) > 1000
        widths = below["/W"][1]
        texts = re.findall(rb"^<([0-9A-F]{4})> <([0-9A-F]+)>$", font["/ToUnicode"].data, re.MULTILINE)
        assert len(below["/CIDToGIDMap"].data) == 2 * len(widths) >= 2 * len(texts) > 100
        assert all(len(bytes.fromhex(letters.decode())) <= 4 for _, letters in texts)


def test_nothing_is_drawn_outside_the_margins(report: bytes) -> None:
    for page in sheets(report):
        for x, y in re.findall(r"1 0 0 1 (\S+) (\S+) Tm", page["/Contents"].data.decode("ascii")):
            assert 40 < float(x) < 560
            assert 20 < float(y) < 800


HOSTILE = {
    "\u202egpj.exe": "[U+202E]gpj.exe",
    "a\x00b\x1b[2J": "a[U+0000]b[U+001B][2J",
    "<b>&amp;</b>": "<b>&amp;</b>",
    "中文 Ж": "[U+4E2D][U+6587] [U+0416]",
    "می\u200cشود": "می\u200cشود",
    "ن" * 10_000: "9700",
    "W" * 10_000: "W… [+9700]",
}


@pytest.mark.real
def test_hostile_text_is_shown_for_what_it_is(unsigned: FileVerdict, tmp_path: Path) -> None:
    findings = tuple(note(Reason.FORMAT_UNKNOWN, detail=text) for text in HOSTILE)
    text = copied(report_pdf(replace(unsigned, findings=findings), FILE), tmp_path)
    for seen in HOSTILE.values():
        assert re.sub(r"\s", "", seen) in re.sub(r"\s", "", text)
    assert "\x1b" not in text


@settings(max_examples=15)
@given(name=st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=200))
def test_no_name_breaks_a_report(unsigned: FileVerdict, name: str) -> None:
    report = report_pdf(unsigned, replace(FILE, name=name))
    assert read(report).root["/Type"] == "/Catalog"


def test_a_signer_may_be_called_anything(zoo: Zoo) -> None:
    holder = make_clinician(zoo.intermediate, common_name="\u202eدکتر <script> \U0001f600 مممم")
    data = sign_jades(b"{}", holder.key, holder.chain, signed_at=SIGNED_AT)
    assert len(sheets(report_pdf(verify_bytes(data, zoo.context()), FILE))) > 4


def test_a_report_without_end_is_cut(unsigned: FileVerdict, good: FileVerdict, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_SHEETS >= 100
    monkeypatch.setattr("signer.validation.report_pdf_layout.MAX_SHEETS", 3)
    many = replace(good, signatures=good.signatures * 5)
    assert len(sheets(report_pdf(many, FILE))) == 8
