"""A holder's suspension code: sixteen digits that can be said on the telephone, sent as an SMS or typed into USSD.

The first eight are the code's name, by which its row is found; seven are secret and the last one checks all others
(Damm's scheme over the quasigroup of order ten: every wrong digit and every two neighbours that changed places show).
The secret is kept as a salted digest (scrypt, RFC 7914).
"""

import unicodedata
from collections.abc import Callable
from typing import Final

from ca.holder_codes.codes import MAX_TYPED, salted_digest
from pki.crockford import SEPARATORS
from pki.errors import ErrorCode, InvalidInput

DIGITS: Final = 16
NAME_DIGITS: Final = 8

_QUASIGROUP: Final = (
    "0317598642",
    "7092154863",
    "4206871359",
    "1750983426",
    "6123045978",
    "3674209581",
    "5869720134",
    "8945362017",
    "9438617205",
    "2581436790",
)


def new_digits(count: int, random_bytes: Callable[[int], bytes]) -> str:
    """Draw so many digits, each as likely as another."""
    drawn = ""
    while len(drawn) < count:
        drawn += "".join(str(octet % 10) for octet in random_bytes(count) if octet < 250)
    return drawn[:count]


def code_of(name: str, random_bytes: Callable[[int], bytes]) -> str:
    """Draw the code of a name."""
    said = name + new_digits(DIGITS - NAME_DIGITS - 1, random_bytes)
    return said + check_digit(said)


def check_digit(digits: str) -> str:
    """Return the digit that checks others."""
    interim = 0
    for digit in digits:
        interim = int(_QUASIGROUP[interim][int(digit)])
    return str(interim)


def read_code(typed: str) -> str:
    """Return a code as it was drawn; InvalidInput for one that is mistyped, without what was typed.

    Digits may be Persian, Arabic or Latin ones; spaces and hyphens part groups.
    """
    plain = "" if len(typed) > MAX_TYPED else "".join(_digit(symbol) for symbol in SEPARATORS.sub("", typed))
    if len(plain) != DIGITS or not plain.isascii() or not plain.isdigit() or check_digit(plain[:-1]) != plain[-1]:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the code is mistyped", reason="suspension.mistyped")
    return plain


def _digit(symbol: str) -> str:
    value = unicodedata.decimal(symbol, None)
    return symbol if value is None else str(value)


def digest_of(code: str, salt: bytes, cost: int) -> bytes:
    """Return the digest of a code's secret half; `cost` is scrypt's N."""
    return salted_digest(code[NAME_DIGITS:], salt, cost)
