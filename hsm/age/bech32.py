"""Bech32 (BIP 173) as age writes keys in it: a prefix, data without a limit on their length, six symbols that check."""

from collections.abc import Iterable
from typing import Final

from pki.errors import ErrorCode, InvalidInput

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES: Final = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECK_SYMBOLS: Final = 6
_MAX_TYPED: Final = 128


def write_bech32(prefix: str, octets: bytes | bytearray) -> str:
    """Write octets under a prefix in small letters."""
    data = _regrouped(octets, 8, 5, fill=True)
    check = _checksum([*_expanded(prefix), *data, *bytes(_CHECK_SYMBOLS)]) ^ 1
    data += [check >> 5 * (_CHECK_SYMBOLS - 1 - place) & 31 for place in range(_CHECK_SYMBOLS)]
    return f"{prefix}1{''.join(_ALPHABET[value] for value in data)}"


def read_bech32(prefix: str, text: str) -> bytearray:
    """Return the octets under a prefix; InvalidInput, which does not repeat what was typed."""
    small = text.lower()
    if len(text) > _MAX_TYPED or text not in (small, text.upper()) or not small.startswith(f"{prefix}1"):
        raise _refuse()
    symbols = small[len(prefix) + 1 :]
    if len(symbols) < _CHECK_SYMBOLS or not _VALUES.keys() >= set(symbols):
        raise _refuse()
    data = [_VALUES[symbol] for symbol in symbols]
    if _checksum([*_expanded(prefix), *data]) != 1:
        raise _refuse()
    return bytearray(_regrouped(data[:-_CHECK_SYMBOLS], 5, 8, fill=False))


def _expanded(prefix: str) -> list[int]:
    codes = prefix.encode("ascii")
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _checksum(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            check ^= generator if top >> bit & 1 else 0
    return check


def _regrouped(values: Iterable[int], bits: int, to_bits: int, *, fill: bool) -> list[int]:
    held, held_bits, found = 0, 0, []
    for value in values:
        held, held_bits = held << bits | value, held_bits + bits
        while held_bits >= to_bits:
            held_bits -= to_bits
            found.append(held >> held_bits)
            held &= (1 << held_bits) - 1
    if fill and held_bits:
        found.append(held << to_bits - held_bits)
    elif not fill and (held or held_bits >= bits):
        raise _refuse()
    return found


def _refuse() -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, "not an age key, or it is mistyped")
