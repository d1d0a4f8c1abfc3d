"""Names of strangers, for people to read."""

import unicodedata
from typing import Final

from pki.certificates import name_attributes, name_text
from signer.parsers.model import UNREADABLE

MAX_SHOWN: Final = 300

_COMMON_NAME: Final = "2.5.4.3"
_STEERING: Final = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
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

    What is longer than `limit` characters is cut, and says so. A zero-width non-joiner stays between letters that join,
    where it is spelling.
    """
    cut = text[:limit]
    shown = "".join(_seen(cut, index) for index in range(len(cut)))
    return shown if len(text) <= limit else f"{shown}… [+{len(text) - limit}]"


def _seen(text: str, index: int) -> str:
    char = text[index]
    if unicodedata.category(char) not in _STEERING:
        return char
    if char == _NON_JOINER and _joins(text[index - 1 : index]) and _joins(text[index + 1 : index + 2]):
        return char
    return f"[U+{ord(char):04X}]"


def _joins(char: str) -> bool:
    return char != "" and unicodedata.bidirectional(char) == "AL"
