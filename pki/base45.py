"""Base45 (RFC 9285): octets as the 45 characters that a QR code stores most tightly."""

import struct
from typing import Final

from pki.errors import ErrorCode, InvalidInput

_ALPHABET: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_DIGITS: Final = bytes(_ALPHABET.find(character) & 0xFF for character in range(256))
_SQUARE: Final = 45 * 45
_PAIRS: Final = tuple(bytes((_ALPHABET[number % 45], _ALPHABET[number // 45])) for number in range(_SQUARE))
_SINGLES: Final = tuple(bytes((character,)) for character in _ALPHABET)


def encode(data: bytes) -> bytes:
    """Return `data` as Base45 text."""
    whole, last = divmod(len(data), 2)
    numbers = struct.unpack_from(f">{whole}H", data)
    text = b"".join([_PAIRS[number % _SQUARE] + _SINGLES[number // _SQUARE] for number in numbers])
    return text + _PAIRS[data[-1]] if last else text


def decode(text: bytes) -> bytes:
    """Return what Base45 text says; InvalidInput for other characters, another length or too large a group (§6)."""
    if text.translate(None, _ALPHABET):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a character that is not of Base45")
    digits, last = text.translate(_DIGITS), len(text) % 3
    if last == 1:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "Base45 text of an impossible length")
    numbers = [low + 45 * middle + _SQUARE * high for low, middle, high in zip(*[iter(digits)] * 3, strict=False)]
    final = [digits[-2] + 45 * digits[-1]] if last else []
    if max(numbers, default=0) > 0xFFFF or max(final, default=0) > 0xFF:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a group of Base45 text beyond its octets")
    return struct.pack(f">{len(numbers)}H", *numbers) + bytes(final)
