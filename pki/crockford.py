"""Crockford base32 for people who type: values of symbols, and a symbol that checks the others over GF(32).

Case does not matter; O is 0, I and L are 1; Persian and Arabic digits are digits; spaces and hyphens part symbols.
"""

import re
import unicodedata
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
UNKNOWN: Final = 0xFF
"""The value of what is no symbol."""
SEPARATORS: Final = re.compile(r"[\s\u200c\u200f\u200e-]+")  # also the marks a bidirectional editor leaves

_VALUES: Final = {symbol: value for value, symbol in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}


def symbol_values(piece: str) -> bytes:
    """Return the value of each symbol of a text without separators."""
    return bytes(_VALUES.get(_plain(character), UNKNOWN) for character in piece)


def check_symbol(values: bytes | bytearray, place: int = 0) -> int:
    """Return the value that checks `values` and, up to 31, their place.

    Every single wrong symbol and every two neighbours that changed places show.
    """
    total = 0
    for value in values:  # each symbol gets another power of x, the check symbol itself the power 0
        total = _double(total ^ value)
    return total ^ (place & 31)


def _plain(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    return character.upper() if digit is None else str(digit)


def _double(value: int) -> int:
    value <<= 1
    return value ^ 0x25 if value > 31 else value  # x^5 + x^2 + 1
