"""Base45 (RFC 9285): octets as the 45 characters that a QR code stores most tightly."""

from typing import Final

from pki.errors import ErrorCode, InvalidInput

_ALPHABET: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_DIGITS: Final = {character: digit for digit, character in enumerate(_ALPHABET)}


def encode(data: bytes) -> bytes:
    """Return `data` as Base45 text."""
    text = bytearray()
    for at in range(0, len(data) - 1, 2):
        high, low = divmod(data[at] << 8 | data[at + 1], 45 * 45)
        text += bytes((_ALPHABET[low % 45], _ALPHABET[low // 45], _ALPHABET[high]))
    if len(data) % 2:
        text += bytes((_ALPHABET[data[-1] % 45], _ALPHABET[data[-1] // 45]))
    return bytes(text)


def decode(text: bytes) -> bytes:
    """Return what Base45 text says; InvalidInput for other characters, another length or too large a group (§6)."""
    try:
        digits = [_DIGITS[character] for character in text]
    except KeyError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a character that is not of Base45") from error
    if len(digits) % 3 == 1:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "Base45 text of an impossible length")
    data = bytearray()
    for at in range(0, len(digits), 3):
        group = digits[at : at + 3]
        size = len(group) - 1
        number = sum(digit * 45**place for place, digit in enumerate(group))
        if number >= 1 << 8 * size:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a group of Base45 text beyond its octets")
        data += number.to_bytes(size, "big")
    return bytes(data)
