"""A report's page laid onto sheets: lines broken, rows in two columns, each line marked with what it belongs to."""

from dataclasses import dataclass, replace
from typing import Final

from pki.messages import Message
from signer.validation.report_lines import broken
from signer.validation.report_page import Banner, Fold, Heading, Language, Line, Page, Paragraph, Part, Row, Rows, Span
from signer.validation.report_pdf_file import number
from signer.validation.report_pdf_fonts import EmbeddedFonts
from signer.validation.report_pdf_tags import Element
from signer.validation.report_shape import Glyph, typeface
from signer.validation.report_words import say
from signer.validation.verdict import Indication

WIDTH: Final = 595.28
HEIGHT: Final = 841.89  # A4, in points
MAX_SHEETS: Final = 100  # in a language

_CUT: Final = Message(
    "این گزارش در اینجا بریده شده است؛ همهٔ آن در گزارش JSON هست.",
    "This report is cut here; all of it is in the report as JSON.",
)
_MARGIN: Final = 48.0
_FOOT: Final = 60.0
_SIZE: Final = 9.5
_HEADINGS: Final = {1: 18.0, 2: 14.0, 3: 11.5, 4: 9.5, 5: 9.5, 6: 9.5}
_LEADING: Final = 1.65
_LABEL: Final = 125.0
_GAP: Final = 10.0
_UNSEEN: Final = 0.0005  # of an em
_RULE: Final = "0.8 G 0.5 w"
_COLOURS: Final = {
    Indication.PASSED: "0.106 0.498 0.231",
    Indication.FAILED: "0.702 0.149 0.118",
    Indication.INDETERMINATE: "0.604 0.404 0",
}


@dataclass(slots=True)
class Sheet:
    """One side of paper: its operators, and the elements of its marked content by their numbers."""

    operators: list[str]
    marks: list[Element]


class Sheets:
    """Sheets that fill up from the top."""

    def __init__(self, fonts: EmbeddedFonts) -> None:
        self._fonts = fonts
        self.sheets: list[Sheet] = []
        self._y = 0.0
        self._language = Language.FA
        self._last = 0

    def lay(self, page: Page, section: Element) -> None:
        """Lay a page in one language, beginning a sheet."""
        self._language = page.language
        self._turn()
        self._last = len(self.sheets) + MAX_SHEETS
        for part in page.parts:
            self._part(part, section)
            if self._full:
                break
        if self._full:
            self._lines(self._broken((Span(say(_CUT, page.language), strong=True),), self._inner), section.below("P"))

    def foot(self, text: str) -> None:
        """Write a line and the number of the sheet under each."""
        for index, sheet in enumerate(self.sheets, start=1):
            line = (Span(f"{text} · {index}/{len(self.sheets)}"),)
            glyphs = typeface().shape(line, Language.EN)
            shown = self._shown(glyphs, _MARGIN, _FOOT / 2, 7.0)
            sheet.operators.append(f"/Artifact BMC 0.4 g {shown} EMC")

    # -- parts -------------------------------------------------------------------------------------

    def _part(self, part: Part, section: Element) -> None:
        if self._full:
            return
        match part:
            case Heading():
                self._heading(part, section)
            case Banner():
                self._banner(part, section)
            case Paragraph():
                self._lines(self._broken(part.line, self._inner), section.below("P"))
                self._y -= 4
            case Rows():
                table = section.below("Table")
                for row in part.rows:
                    self._row(row, table)
            case Fold():
                self._part(part.heading, section)
                for inside in part.parts:
                    self._part(inside, section)

    def _heading(self, heading: Heading, section: Element) -> None:
        size = _HEADINGS[heading.level]
        bold = tuple(replace(span, strong=True) for span in heading.line)
        lines = self._broken(bold, self._inner, size)
        self._y -= size * 0.6
        self._need(len(lines) * size * _LEADING + 3 * _SIZE * _LEADING)
        self._lines(lines, section.below(f"H{heading.level}"), size)

    def _banner(self, banner: Banner, section: Element) -> None:
        lines = [
            (index, line) for index, one in enumerate(banner.lines) for line in self._broken(one, self._inner - 24)
        ]
        height = len(lines) * _SIZE * _LEADING + 10
        self._need(height)
        low = number(self._y - height)
        bar = WIDTH - _MARGIN - 4 if self._to_left else _MARGIN
        self._draw(
            f"/Artifact BMC 0.95 g {number(_MARGIN)} {low} {number(self._inner)} {number(height)} re f "
            f"{_COLOURS[banner.indication]} rg {number(bar)} {low} 4 {number(height)} re f EMC"
        )
        self._y -= 5
        group = section.below("Div")
        elements = [group.below("P") for _ in banner.lines]
        for index, line in lines:
            self._y -= _SIZE * _LEADING
            self._put(line, elements[index], 12, _SIZE)
        self._y -= 9

    def _row(self, row: Row, table: Element) -> None:
        label = self._broken(tuple(replace(span, strong=True) for span in row.label), _LABEL)
        values = [line for value in row.values for line in self._broken(value, self._inner - _LABEL - _GAP)]
        self._need(min(max(len(label), len(values)), 3) * _SIZE * _LEADING + 3)
        self._rule()
        element = table.below("TR")
        head, cell = element.below("TH"), element.below("TD")
        for index in range(max(len(label), len(values))):
            self._need(_SIZE * _LEADING)
            self._y -= _SIZE * _LEADING
            if index < len(label):
                self._put(label[index], head, 0, _SIZE)
            if index < len(values):
                self._put(values[index], cell, _LABEL + _GAP, _SIZE)
        self._y -= 3

    def _lines(self, lines: list[Line], element: Element, size: float = _SIZE) -> None:
        for line in lines:
            self._need(size * _LEADING)
            self._y -= size * _LEADING
            self._put(line, element, 0, size)

    # -- the sheet ---------------------------------------------------------------------------------

    @property
    def _inner(self) -> float:
        return WIDTH - 2 * _MARGIN

    @property
    def _to_left(self) -> bool:
        return self._language is Language.FA

    @property
    def _full(self) -> bool:
        return len(self.sheets) >= self._last

    def _turn(self) -> None:
        self.sheets.append(Sheet([], []))
        self._y = HEIGHT - _MARGIN

    def _need(self, height: float) -> None:
        if self._y - height < _FOOT:
            self._turn()

    def _draw(self, operators: str) -> None:
        self.sheets[-1].operators.append(operators)

    def _rule(self) -> None:
        left, right, y = number(_MARGIN), number(WIDTH - _MARGIN), number(self._y)
        self._draw(f"/Artifact BMC {_RULE} {left} {y} m {right} {y} l S EMC")

    def _put(self, line: Line, element: Element, indent: float, size: float) -> None:
        """Write a line at the height reached, `indent` from where lines start, as content of an element."""
        glyphs = typeface().shape(line, self._language)
        width = sum(glyph.advance for glyph in glyphs) * size
        x = WIDTH - _MARGIN - indent - width if self._to_left else _MARGIN + indent
        sheet = self.sheets[-1]
        element.kids.append((len(self.sheets) - 1, len(sheet.marks)))
        marked = f"/{element.kind} << /MCID {len(sheet.marks)} >> BDC"
        sheet.marks.append(element)
        y = self._y + 0.3 * size
        self._draw(f"{marked} 0 g {self._shown(glyphs, x, y, size)} EMC{self._marks(glyphs, x, y, size)}")

    def _marks(self, glyphs: list[Glyph], x: float, y: float, size: float) -> str:
        """Write the dots and marks that other glyphs speak for: nobody is to hear or copy them."""
        if all(glyph.text for glyph in glyphs):
            return ""
        shown = self._shown(glyphs, x, y, size, speaking=False)
        return f" /Artifact << /ActualText <FEFF> >> BDC {shown} EMC"

    def _shown(self, glyphs: list[Glyph], x: float, y: float, size: float, *, speaking: bool = True) -> str:
        """Write glyphs from a point on: the pen goes as the font's widths say, what differs is said."""
        out = [f"BT 1 0 0 1 {number(x)} {number(y)} Tm"]
        shown: list[str] = []
        state: tuple[bool, float] | None = None
        place = pen = 0.0
        for glyph in glyphs:
            if bool(glyph.text) is speaking:
                now = (glyph.strong, glyph.up)
                if now != state:
                    out += [f"[{''.join(shown)}] TJ"] if shown else []
                    out.append(f"/F{int(glyph.strong)} {number(size)} Tf {number(glyph.up * size)} Ts")
                    shown, state = [], now
                gap = place + glyph.right - pen
                if abs(gap) >= _UNSEEN:
                    shown.append(number(-gap * 1000))
                    pen += gap
                code = f"{self._fonts.code(glyph):04X}>"
                if shown and shown[-1].endswith(">"):
                    shown[-1] = shown[-1][:-1] + code
                else:
                    shown.append(f"<{code}")
                pen += typeface().advance(glyph.index, strong=glyph.strong)
            place += glyph.advance
        out += [f"[{''.join(shown)}] TJ"] if shown else []
        return " ".join((*out, "ET"))

    def _broken(self, line: Line, width: float, size: float = _SIZE) -> list[Line]:
        return broken(line, width / size, self._language)
