"""Names of strangers, for people to read."""

import unicodedata
from typing import Final

from pki.certificates import name_attributes, name_text
from signer.parsers.model import UNREADABLE

MAX_SHOWN: Final = 300

_COMMON_NAME: Final = "2.5.4.3"
_STEERING: Final = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
_STACKED: Final = frozenset(("Mn", "Me"))
_MAX_STACKED: Final = 3  # Persian has two: a doubled letter with its vowel
_NON_JOINER: Final = "\u200c"


def readable_name(name_der: bytes) -> str:
    """Write a Name for people; a stranger's Name that has no structure is shown as such, never raised."""
    try:
        return name_text(name_der)
    except UNREADABLE:
        return "(unreadable name)"


def common_name(name_der: bytes) -> str:
    """Return the one common name of a Name for people to read; all of the Name where it has none or several."""
    try:
        found = [text for kind, text in name_attributes(name_der) if kind == _COMMON_NAME]
    except UNREADABLE:
        found = []
    return found[0] if len(found) == 1 else readable_name(name_der)


def visible(text: str, limit: int = MAX_SHOWN) -> str:
    """Write a stranger's text so that it steers nothing: what is not seen or turns text around is named instead.

    What is longer than `limit` characters is cut, and says so. Of the marks on a letter a few are drawn: a heap of them
    paints over other lines. A zero-width non-joiner stays between letters that join, where it is spelling.
    """
    cut = text[:limit]
    shown = "".join(_seen(cut, index) for index in range(len(cut)))
    return shown if len(text) <= limit else f"{shown}… [+{len(text) - limit}]"


def _seen(text: str, index: int) -> str:
    char = text[index]
    kind = unicodedata.category(char)
    if kind not in _STEERING and not (kind in _STACKED and _is_heaped(text[max(0, index - _MAX_STACKED) : index])):
        return char
    if char == _NON_JOINER and _joins(text[index - 1 : index]) and _joins(text[index + 1 : index + 2]):
        return char
    return f"[U+{ord(char):04X}]"


def _is_heaped(before: str) -> bool:
    """Say whether a mark behind this text stands on no letter, or on enough marks."""
    return all(unicodedata.category(char) in _STACKED for char in before)


def _joins(char: str) -> bool:
    return char != "" and unicodedata.bidirectional(char) == "AL"
