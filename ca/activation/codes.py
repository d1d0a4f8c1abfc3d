"""The two codes that a holder types, and the name of what they activate, as people write them.

A code has seven symbols of chance (35 bits) and one that checks them, `K7QM-2X9C`; an activation's name has eleven
and one. A mistyped code shows by itself and costs no try. Both codes have one salted digest (scrypt, RFC 7914):
whoever reads it must guess 70 bits, and nothing tells which of two codes was wrong.
"""

from collections.abc import Callable
from typing import Final

from ca.holder_codes.codes import MAX_TYPED, salted_digest
from pki.crockford import ALPHABET, SEPARATORS, UNKNOWN, check_symbol, symbol_values
from pki.errors import ErrorCode, InvalidInput

CODE_SYMBOLS: Final = 8
NAME_SYMBOLS: Final = 12


def new_code(symbols: int, random_bytes: Callable[[int], bytes]) -> str:
    """Draw a code of so many symbols, the last of which checks the others."""
    drawn = bytes(octet & 31 for octet in random_bytes(symbols - 1))
    return "".join(ALPHABET[value] for value in (*drawn, check_symbol(drawn)))


def read_code(typed: str, symbols: int) -> str:
    """Return a code as it was drawn; InvalidInput for one that is mistyped, without what was typed."""
    values = b"" if len(typed) > MAX_TYPED else symbol_values(SEPARATORS.sub("", typed))
    if len(values) != symbols or UNKNOWN in values or check_symbol(values[:-1]) != values[-1]:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the code is mistyped", reason="activation.mistyped")
    return "".join(ALPHABET[value] for value in values)


def digest_of(first: str, second: str, salt: bytes, cost: int) -> bytes:
    """Return the digest of both codes together; `cost` is scrypt's N."""
    return salted_digest(f"{first}-{second}", salt, cost)
