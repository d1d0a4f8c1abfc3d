"""PINs and PUKs: secrets that are checked before any APDU, never shown, and wiped after use.

Wiping is best effort: this object's buffer and each padded copy are overwritten; what the interpreter,
pyscard and the PC/SC service copied on the way is not in our hands.
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn, Self

from cardreader.errors import PinFormatRefused, PinRequired

MIN_DIGITS: Final = 4
MAX_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PinStatus:
    """What the card says of a PIN without being asked to check one.

    `tries_left` is None when the card does not tell, as cards do while the PIN is verified.
    """

    tries_left: int | None
    blocked: bool
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PinFormat:
    """Which PINs a card accepts, in digits, and how they are padded (`stored_length` 0: not padded)."""

    min_length: int
    max_length: int
    stored_length: int = 0
    pad: int = 0x00


class Pin:
    """A secret of 4 to 16 digits, ASCII. Takes a copy; a bytearray given to it is wiped.

    PinFormatRefused for anything else than digits of such a length.
    """

    __slots__ = ("_digits",)

    def __init__(self, digits: bytes | bytearray) -> None:
        self._digits = bytearray(digits)
        if isinstance(digits, bytearray):
            wipe(digits)
        if not MIN_DIGITS <= len(self._digits) <= MAX_DIGITS:
            self.wipe()
            raise PinFormatRefused(f"a PIN has {MIN_DIGITS} to {MAX_DIGITS} digits")
        if any(not 0x30 <= octet <= 0x39 for octet in self._digits):
            self.wipe()
            raise PinFormatRefused("a PIN has digits only")

    def __repr__(self) -> str:
        return "Pin(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PIN is not serialised")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Overwrite the digits; the object cannot be used afterwards."""
        wipe(self._digits)
        self._digits.clear()

    def check(self, wanted: PinFormat) -> None:
        """Check the length; PinFormatRefused outside the card's limits, PinRequired once wiped."""
        if not self._digits:
            raise PinRequired("the PIN was wiped already")
        if not wanted.min_length <= len(self._digits) <= wanted.max_length:
            raise PinFormatRefused(f"this PIN has {wanted.min_length} to {wanted.max_length} digits")

    def fingerprint(self, key: bytes) -> bytes:
        """Return an HMAC-SHA-256 of the digits, to recognise the same wrong PIN; `key` is random and short-lived."""
        return hmac.digest(key, self._digits, "sha256")

    def padded(self, wanted: PinFormat) -> bytearray:
        """Return the digits in the card's form, in a buffer that the caller wipes."""
        self.check(wanted)
        buffer = bytearray((wanted.pad,)) * max(wanted.stored_length, len(self._digits))
        buffer[: len(self._digits)] = self._digits
        return buffer


def wipe(buffer: bytearray) -> None:
    """Overwrite `buffer` with zeros in place."""
    buffer[:] = bytes(len(buffer))


@contextmanager
def reference_data(*secrets: tuple[Pin, PinFormat]) -> Iterator[bytearray]:
    """Lend the data field of a PIN command: the secrets one after the other; wiped when the block ends."""
    parts: list[bytearray] = []
    buffer = bytearray()
    try:
        for secret, wanted in secrets:
            parts.append(secret.padded(wanted))
        buffer = bytearray(sum(map(len, parts)))  # its final size at once, so that it never moves
        offset = 0
        for part in parts:
            buffer[offset : offset + len(part)] = part
            offset += len(part)
        yield buffer
    finally:
        for part in (*parts, buffer):
            wipe(part)
