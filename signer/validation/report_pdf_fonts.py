"""The fonts inside a report's PDF: cut to its glyphs, each bound to the text that it stands for.

A code names a pair of glyph and text, for a glyph may stand for several letters: so what is copied is what was written.
"""

import struct
from collections.abc import Iterator, Sequence

from signer.validation.report_pdf_file import Objects, number
from signer.validation.report_shape import Glyph, typeface

_ROWS = 100  # of a bfchar section, at most


class EmbeddedFonts:
    """The codes that a report uses, in the order in which they first appear."""

    def __init__(self) -> None:
        self._codes: tuple[dict[tuple[int, str], int], ...] = ({(0, ""): 0}, {(0, ""): 0})

    def code(self, glyph: Glyph) -> int:
        """Return the code of a glyph that stands for its text."""
        codes = self._codes[glyph.strong]
        return codes.setdefault((glyph.index, glyph.text), len(codes))

    def write(self, objects: Objects) -> str:
        """Write the fonts; return the entries of a page's font resources."""
        return " ".join(f"/F{int(strong)} {self._font(objects, strong=strong)} 0 R" for strong in (False, True))

    def _font(self, objects: Objects, *, strong: bool) -> int:
        codes = self._codes[strong]
        used = [index for index, _ in codes]
        octets, places = typeface().subset(used, strong=strong)
        name = f"MOHR{'AB'[strong]}A+NotoSansArabic-{'Bold' if strong else 'Regular'}"
        program = objects.stream(octets, f"/Length1 {len(octets)}")
        ascent, descent = (round(value * 1000) for value in typeface().extents())
        box = " ".join(str(round(value * 1000 / typeface().em)) for value in _box(octets))
        descriptor = objects.add(
            f"<< /Type /FontDescriptor /FontName /{name} /Flags 4 /FontBBox [{box}] /ItalicAngle 0 /Ascent {ascent} "
            f"/Descent {descent} /CapHeight 714 /StemV {'160' if strong else '90'} /FontFile2 {program} 0 R >>"
        )
        glyphs = objects.stream(b"".join(struct.pack(">H", places[index]) for index in used))
        widths = " ".join(number(typeface().advance(index, strong=strong) * 1000) for index in used)
        below = objects.add(
            f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /{name} /CIDSystemInfo << /Registry (Adobe) "
            f"/Ordering (Identity) /Supplement 0 >> /FontDescriptor {descriptor} 0 R /CIDToGIDMap {glyphs} 0 R "
            f"/DW 0 /W [0 [{widths}]] >>"
        )
        texts = objects.stream("\n".join(_to_unicode([text for _, text in codes])).encode("ascii"))
        return objects.add(
            f"<< /Type /Font /Subtype /Type0 /BaseFont /{name} /Encoding /Identity-H "
            f"/DescendantFonts [{below} 0 R] /ToUnicode {texts} 0 R >>"
        )


def _box(octets: bytes) -> tuple[int, ...]:
    """Read the bounding box of a font's `head` table."""
    count = int.from_bytes(octets[4:6], "big")
    for entry in range(12, 12 + 16 * count, 16):
        if octets[entry : entry + 4] == b"head":
            start = int.from_bytes(octets[entry + 8 : entry + 12], "big")
            return struct.unpack(">4h", octets[start + 36 : start + 44])
    return (0, 0, 0, 0)


def _to_unicode(texts: Sequence[str]) -> Iterator[str]:
    yield "/CIDInit /ProcSet findresource begin 12 dict begin begincmap"
    yield "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def"
    yield "/CMapName /Adobe-Identity-UCS def /CMapType 2 def"
    yield "1 begincodespacerange <0000> <FFFF> endcodespacerange"
    rows = [f"<{code:04X}> <{text.encode('utf-16-be').hex().upper()}>" for code, text in enumerate(texts) if text]
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        yield f"{len(part)} beginbfchar"
        yield from part
        yield "endbfchar"
    yield "endcmap CMapName currentdict /CMap defineresource pop end end"
