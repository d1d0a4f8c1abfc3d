"""Text under signature made visible: what cannot be seen, or changes direction, is shown as a mark.

Nothing is removed or reordered in the signed bytes; only what a person is shown gets the marks. A line break
is shown as ⏎ on the same line, so that no value can pass itself off as the next one. The
zero-width non-joiner (U+200C) between two Persian letters is spelling and stays.
"""

import re
import unicodedata
from typing import Final

_ZWNJ: Final = "\u200c"
# Letters and marks by category, but without a glyph of their own.
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ARABIC_LETTER: Final = frozenset({"AL", "NSM"})
# Latin and Arabic-script text without anything to mark: the usual case, told apart at once.
_ARABIC: Final = "\u0620-\u065f\u066e-\u06d3"
_VISIBLE: Final = f" -~\u00a0-\u00ac\u00ae-\u024f\u060c\u061b\u061f{_ARABIC}\u0660-\u066d\u06f0-\u06f9\u2010-\u2027"
_PLAIN: Final = re.compile(f"(?:[{_VISIBLE}]|(?<=[{_ARABIC}]){_ZWNJ}(?=[{_ARABIC}]))*")
_DIGITS: Final = re.compile(r"\d+(?:[.,/٫٬]\d+)*")


def _is_variation_selector(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


def _is_hidden(text: str, index: int) -> bool:
    char = text[index]
    if char == _ZWNJ and 0 < index < len(text) - 1:
        return not all(unicodedata.bidirectional(text[i]) in _ARABIC_LETTER for i in (index - 1, index + 1))
    return char in _BLANK or _is_variation_selector(char) or unicodedata.category(char) in _HIDDEN_CATEGORIES


def mark_hidden(text: str) -> tuple[str, bool]:
    """Return `text` with marks such as ⟦U+202E⟧ in place of hidden characters, and whether there were any."""
    if _PLAIN.fullmatch(text):
        return text, False
    lines = text.replace("\r\n", "\n").replace("\n", " ⏎ ").replace("\t", " ")
    shown = "".join(f"⟦U+{ord(char):04X}⟧" if _is_hidden(lines, i) else char for i, char in enumerate(lines))
    return shown, shown != lines


def _script(digit: str) -> str:
    """Name the block a decimal digit comes from, by its zero."""
    return chr(ord(digit) - unicodedata.digit(digit))


def mixes_digits(text: str) -> bool:
    """Tell whether one number in `text` mixes digits of several scripts, or uses ones that only look like digits.

    ASCII and Persian digits (U+06F0…) are both at home; Arabic-Indic ones (U+0660…) differ from Persian in
    4, 5 and 6 alone and are reported where Persian digits stand in the same text; any other script always is.
    """
    if text.isascii():
        return False
    scripts = set()
    for number in _DIGITS.findall(text):
        found = {_script(char) for char in number if char.isdigit()}
        if len(found) > 1:
            return True
        scripts |= found
    return bool(scripts - {"0", "۰", "٠"}) or {"۰", "٠"} <= scripts
