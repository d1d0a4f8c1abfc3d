"""What the text of form fields is drawn with (ISO 32000-2 §12.7.4.3): what is added later changes none of it.

Readers draw a field by the names in its default appearance, and those may be without a meaning when it is signed: a
font that is added under such a name would show other text.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from pyhanko.pdf_utils.generic import ByteStringObject, DictionaryObject, NameObject, NullObject, TextStringObject

from signer.parsers.pdf_objects import ChangeFound, Side, raw

_STANDARD: Final = b"/Helv 0 Tf 0 g"  # what writers put where there is none
_NAME: Final = re.compile(rb"/([^\0\t\n\f\r ()<>\[\]{}/%]*)")
_HEX: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_OF_STANDARD_FONTS: Final = frozenset({"/Type", "/Subtype", "/BaseFont", "/Name", "/Encoding"})
_TEXT_FONT: Final = re.compile(r"/(Helvetica|Courier|Times)(-(Roman|Bold|Oblique|Italic|BoldOblique|BoldItalic))?")
_ENCODINGS: Final = frozenset({"/WinAnsiEncoding", "/StandardEncoding", "/MacRomanEncoding", "/PDFDocEncoding"})


def check_default_appearance(
    fields: Iterable[Any], signed: tuple[Side, DictionaryObject], now: tuple[Side, DictionaryObject]
) -> None:
    """See that what a form got since it was signed is not what the text of its signed `fields` is drawn with.

    `signed` and `now` are both documents with their forms. ChangeFound.
    """
    used, lacking = set[str](), False
    for field in fields:
        if isinstance(field, DictionaryObject) and str(field.get("/FT")) != "/Sig":
            used |= _names(field.get("/DA"))
            lacking = lacking or ("/FT" in field and "/DA" not in field)
    if lacking:
        shown, before = now[1].get("/DA", NullObject()), signed[1].get("/DA", NullObject())
        used |= _names(shown)
        if isinstance(before, NullObject) and not isinstance(shown, NullObject) and _octets(shown) != _STANDARD:
            raise ChangeFound("/AcroForm/DA", "fields that had no appearance got one")
    for category, name, font in _added_resources(signed, now):
        if name in used and not _is_standard(name, font):
            raise ChangeFound(f"/AcroForm/DR{category}{name}", "what fields are drawn with was added")


def _added_resources(
    signed: tuple[Side, DictionaryObject], now: tuple[Side, DictionaryObject]
) -> Iterable[tuple[str, str, Any]]:
    """Yield category, name and value of each resource that the form did not have."""
    before, after = (side.object(raw(form, "/DR")) for side, form in (signed, now))
    for category in after if isinstance(after, DictionaryObject) else ():
        known = signed[0].object(raw(before, category)) if isinstance(before, DictionaryObject) else None
        named = now[0].object(raw(after, category))
        for name in named if isinstance(named, DictionaryObject) else ():
            if not isinstance(known, DictionaryObject) or name not in known:
                yield category, name, now[0].object(raw(named, name))


def _octets(appearance: Any) -> bytes:
    return (
        bytes(appearance.original_bytes).strip() if isinstance(appearance, TextStringObject | ByteStringObject) else b""
    )


def _names(appearance: Any) -> set[str]:
    """Return the names in a default appearance, as keys of a dictionary are written."""
    names = _NAME.findall(_octets(appearance))
    return {"/" + _HEX.sub(lambda code: bytes((int(code[1], 16),)), name).decode("latin-1") for name in names}


def _is_standard(name: str, font: Any) -> bool:
    """Whether a font is one that every reader has, with the letters where they always are (§9.6.2.2)."""
    if not isinstance(font, DictionaryObject) or not _OF_STANDARD_FONTS.issuperset(font):
        return False
    encoding = font.get("/Encoding", "/StandardEncoding")
    shown = str(font.get("/BaseFont"))
    return (
        str(font.get("/Subtype")) == "/Type1"
        and (_TEXT_FONT.fullmatch(shown) is not None or (name, shown) == ("/ZaDb", "/ZapfDingbats"))
        and (isinstance(encoding, NameObject | str) and str(encoding) in _ENCODINGS)
    )
