"""Letters to glyphs: a line of spans, shaped and ordered as it is seen, ready to be drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import uharfbuzz as hb

from signer.fonts import arabic_font
from signer.validation.report_bidi import OBJECT, base_level, levels, visual_order
from signer.validation.report_page import Language, Line, Span, Way

WEIGHTS: Final = (400, 700)
_NON_JOINER: Final = 0x200C  # its glyph is empty and has no width


@dataclass(frozen=True, slots=True)
class Glyph:
    """A glyph in units of an em: `text` is what it stands for, empty where another glyph says it."""

    strong: bool
    index: int
    text: str
    advance: float
    right: float = 0.0
    up: float = 0.0


class Typeface:
    """The font in its two weights, with what was shaped kept."""

    def __init__(self) -> None:
        self._face = hb.Face(arabic_font().read_bytes())
        self.em = int(self._face.upem)
        self._fonts = [hb.Font(self._face) for _ in WEIGHTS]
        for font, weight in zip(self._fonts, WEIGHTS, strict=True):
            font.set_variations({"wght": weight, "wdth": 100})
        self._unseen = int(self._fonts[0].get_nominal_glyph(_NON_JOINER) or 0)
        self._run = lru_cache(maxsize=4096)(self._shape_run)
        self._width = lru_cache(maxsize=4096)(self._measure)

    @cached_property
    def characters(self) -> frozenset[int]:
        """The characters that the font has glyphs for."""
        return frozenset(self._face.unicodes)

    def drawable(self, text: str) -> str:
        """Name the characters that the font cannot draw."""
        if self.characters.issuperset(map(ord, text)):
            return text
        return "".join(char if ord(char) in self.characters else f"[U+{ord(char):04X}]" for char in text)

    def shape(self, line: Line, language: Language) -> list[Glyph]:
        """Shape one line that is not broken any more, in the order in which it is seen."""
        base = int(language is Language.FA)
        return list(self._ordered(line, base, language))

    def width(self, text: str, language: Language, *, strong: bool = False) -> float:
        """Return how wide a word is, in ems."""
        return self._width(text, language, strong)

    def advance(self, index: int, *, strong: bool) -> float:
        """Return the width of a glyph as the embedded font has it, in ems."""
        return float(self._fonts[strong].get_glyph_h_advance(index)) / self.em

    def extents(self) -> tuple[float, float]:
        """Return ascent and descent in ems; the descent is negative."""
        found = self._fonts[0].get_font_extents("ltr")
        return found.ascender / self.em, found.descender / self.em

    def subset(self, glyphs: Sequence[int], *, strong: bool) -> tuple[bytes, dict[int, int]]:
        """Cut one weight of the font to some glyphs; return its octets and the new index of each."""
        wanted = hb.SubsetInput()
        wanted.glyph_set.set(set(glyphs))
        wanted.flags = hb.SubsetFlags.NO_HINTING | hb.SubsetFlags.NOTDEF_OUTLINE
        wanted.drop_table_tag_set.set(
            {_tag(name) for name in ("GSUB", "GPOS", "GDEF", "STAT", "name", "post", "OS/2", "cmap", "meta")}
        )
        wanted.pin_axis_location(self._face, "wght", float(WEIGHTS[strong]))
        wanted.pin_axis_location(self._face, "wdth", 100.0)
        plan = hb.SubsetPlan(self._face, wanted)
        return bytes(plan.execute().blob.data), dict(plan.old_to_new_glyph_mapping)

    def _measure(self, text: str, language: Language, strong: bool) -> float:  # noqa: FBT001 - a key of the cache
        return sum(glyph.advance for glyph in self.shape((Span(text, Way.STRANGER, strong),), language))

    def _ordered(self, line: Line, base: int, language: Language) -> Iterator[Glyph]:
        """Yield the glyphs of text, and of each isolate in its place."""
        owners: list[Span] = []
        flow = ""
        for span in line:
            piece = span.text if span.way is Way.TEXT else OBJECT
            owners += [span] * len(piece)
            flow += piece
        runs = _runs(levels(flow, base), owners)
        for start, end, level in (runs[place] for place in visual_order([run[2] for run in runs])):
            span = owners[start]
            if span.way is Way.TEXT:
                yield from self._run(flow[start:end], level % 2, span.strong, language)
            else:
                inner = base_level(span.text) if span.way is Way.STRANGER else 0
                yield from self._ordered((Span(span.text, strong=span.strong),), inner, language)

    def _shape_run(self, text: str, to_left: int, strong: bool, language: Language) -> tuple[Glyph, ...]:  # noqa: FBT001 - a key of the cache
        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        buffer.direction = "rtl" if to_left else "ltr"
        buffer.language = language.value
        buffer.cluster_level = hb.BufferClusterLevel.MONOTONE_GRAPHEMES
        hb.shape(self._fonts[strong], buffer, {"liga": False} if not to_left else {})
        return tuple(self._glyphs(text, buffer, strong=strong, to_left=bool(to_left)))

    def _glyphs(self, text: str, buffer: Any, *, strong: bool, to_left: bool) -> Iterator[Glyph]:
        infos, positions = buffer.glyph_infos, buffer.glyph_positions
        starts = sorted({info.cluster for info in infos})
        ends = dict(zip(starts, [*starts[1:], len(text)], strict=True))
        speakers: dict[int, int] = {}  # the glyph of each cluster that stands for its text
        for place, (info, position) in enumerate(zip(infos, positions, strict=True)):
            before = speakers.get(info.cluster)
            if before is None or (position.x_advance and not positions[before].x_advance):
                speakers[info.cluster] = place
        for place, (info, position) in enumerate(zip(infos, positions, strict=True)):
            said = text[info.cluster : ends[info.cluster]] if speakers[info.cluster] == place else ""
            # Readers turn letters of one code around where lines run to the left: each code stands for one letter.
            others = [Glyph(strong, self._unseen, char, 0.0) for char in said[1:]]
            if to_left:
                yield from reversed(others)
            yield Glyph(
                strong,
                info.codepoint,
                said[:1],
                position.x_advance / self.em,
                position.x_offset / self.em,
                position.y_offset / self.em,
            )
            if not to_left:
                yield from others


@lru_cache(maxsize=1)
def typeface() -> Typeface:
    """Return the one typeface, read when a report first needs it."""
    return Typeface()


def _runs(found: list[int], owners: Sequence[Span]) -> list[tuple[int, int, int]]:
    """Cut a line where its level or its span changes: (start, end, level) in the order of reading."""
    runs: list[tuple[int, int, int]] = []
    start = 0
    for index in range(1, len(found) + 1):
        if index == len(found) or found[index] != found[start] or owners[index] is not owners[start]:
            runs.append((start, index, found[start]))
            start = index
    return runs


def _tag(name: str) -> int:
    return int.from_bytes(name.encode("ascii"), "big")
