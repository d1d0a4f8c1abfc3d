"""CBOR (RFC 8949): a strict reader within limits, and an emitter of the core deterministic encoding (§4.2.1).

What reads in two ways is refused: indefinite lengths, equal keys, octets after the end, text that is not UTF-8.
What merely could have been written shorter or in another order reads in one way; the reader says that it is so.
"""

import math
import struct
from typing import Final, NamedTuple

from pki.errors import ErrorCode, InvalidInput

MAX_DEPTH: Final = 16

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_CONSTANTS: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None}
_HALF_NAN: Final = b"\x7e\x00"


class Tag(NamedTuple):
    """A tagged item (§3.4)."""

    number: int
    value: "Value"


Key = int | str | bytes
Value = int | float | bool | str | bytes | list["Value"] | dict[Key, "Value"] | Tag | None


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"CBOR: {detail}")


def decode(data: bytes) -> tuple[Value, bool]:
    """Read one item that is all of `data`; the second answer tells whether its encoding is deterministic.

    InvalidInput for anything that is malformed or reads in two ways, for more than `MAX_DEPTH` items in each
    other, and for keys that are neither integers nor strings.
    """
    reader = _Reader(data)
    value = reader.item(0)
    if reader.at != len(data):
        raise _refuse("octets after the item")
    return value, reader.deterministic


class _Reader:
    """A place in the octets; counts are held against what is left, so that nothing is made for what is not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self.deterministic = True

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self.at:
            raise _refuse("an item goes beyond the end")
        self.at += size
        return self._data[self.at - size : self.at]

    def _argument(self, information: int) -> int:
        if information < 24:
            return information
        if information > 27:
            raise _refuse("indefinite length" if information == 31 else "a reserved length")
        size = 1 << information - 24
        number = int.from_bytes(self._take(size), "big")
        if number < (24 if size == 1 else 1 << 4 * size):
            self.deterministic = False
        return number

    def item(self, depth: int) -> Value:
        """Read the next item."""
        if depth >= MAX_DEPTH:
            raise _refuse("nested too deep")
        major, information = divmod(self._take(1)[0], 32)
        if major == _SIMPLE:
            return self._simple(information)
        number = self._argument(information)
        match major:
            case 0:
                return number
            case 1:
                return -1 - number
            case 2:
                return self._take(number)
            case 3:
                return self._text(number)
            case 4:
                self._expect(number)
                return [self.item(depth + 1) for _ in range(number)]
            case 5:
                self._expect(2 * number)
                return self._map(number, depth + 1)
        return Tag(number, self.item(depth + 1))

    def _expect(self, items: int) -> None:
        if items > len(self._data) - self.at:
            raise _refuse("an item goes beyond the end")

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise _refuse("text that is not UTF-8") from error

    def _map(self, count: int, depth: int) -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        before = b""
        for _ in range(count):
            start = self.at
            key = self.item(depth)
            if isinstance(key, bool) or not isinstance(key, int | str | bytes):
                raise _refuse("a key that is no integer and no string")
            if key in found:
                raise _refuse("a key twice")
            encoded = self._data[start : self.at]
            self.deterministic &= encoded > before
            before = encoded
            found[key] = self.item(depth)
        return found

    def _simple(self, information: int) -> float | bool | None:
        if information in _CONSTANTS:
            return _CONSTANTS[information]
        if information not in _FLOATS:
            raise _refuse("indefinite length" if information == 31 else "a simple value without a meaning")
        octets = self._take(1 << information - 24)
        (number,) = struct.unpack(_FLOATS[information], octets)
        value = float(number)
        self.deterministic &= octets == _HALF_NAN if math.isnan(value) else not _fits_shorter(value, information)
        return value


def _fits_shorter(value: float, information: int) -> bool:
    if information == 25:
        return False
    layout = _FLOATS[information - 1]
    try:
        return struct.unpack(layout, struct.pack(layout, value)) == (value,)
    except OverflowError:
        return False


def encode(value: Value) -> bytes:
    """Write a value in the core deterministic encoding; ValueError for floats and integers above 64 bits."""
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case None:
            return b"\xf6"
        case int():
            return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
        case bytes():
            return _head(_BYTES, len(value)) + value
        case str():
            text = value.encode()
            return _head(_TEXT, len(text)) + text
        case Tag(number, inner):
            return _head(_TAG, number) + encode(inner)
        case list():
            return _head(_ARRAY, len(value)) + b"".join(map(encode, value))
        case dict():
            pairs = sorted((encode(key), encode(item)) for key, item in value.items())
            return _head(_MAP, len(pairs)) + b"".join(key + item for key, item in pairs)
    raise ValueError("a float is not written")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major << 5 | number,))
    size = next((size for size in (1, 2, 4, 8) if number < 1 << 8 * size), None)
    if size is None:
        raise ValueError("an integer above 64 bits")
    return bytes((major << 5 | 23 + size.bit_length(),)) + number.to_bytes(size, "big")
