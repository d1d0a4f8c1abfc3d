"""How octets are written for people who type them: groups of six Crockford base32 symbols.

The sixth symbol of a group checks the other five and the group's place, over GF(32): every single wrong symbol
and every two neighbours that changed places show, and show where. Case does not matter; O is 0, I and L are 1;
Persian and Arabic digits are digits; groups are parted by spaces or hyphens, or not at all.
"""

from collections.abc import Callable
from typing import Final

from hsm.errors import ShareMalformed
from pki.crockford import ALPHABET, SEPARATORS, UNKNOWN, check_symbol, symbol_values

GROUP_SYMBOLS: Final = 6
MAX_TEXT_CHARACTERS: Final = 1024

_DATA_SYMBOLS: Final = GROUP_SYMBOLS - 1


def group_count(octets: int) -> int:
    """Return how many groups `octets` octets take."""
    return -(-octets * 8 // (5 * _DATA_SYMBOLS))


def write_groups(octets: bytes | bytearray) -> list[str]:
    """Write `octets` as groups; the last one is filled up with zero bits."""
    bits = int.from_bytes(octets)
    groups = group_count(len(octets))
    bits <<= groups * 5 * _DATA_SYMBOLS - len(octets) * 8
    written = []
    for place in range(1, groups + 1):
        group = bits >> (groups - place) * 5 * _DATA_SYMBOLS
        values = bytes(group >> 5 * (_DATA_SYMBOLS - 1 - k) & 31 for k in range(_DATA_SYMBOLS))
        written.append("".join(ALPHABET[value] for value in (*values, check_symbol(values, place))))
    return written


def read_groups(text: str, expected_octets: Callable[[int], int]) -> bytearray:
    """Read what `write_groups` wrote; ShareMalformed names the groups that do not fit.

    `expected_octets` says, from the first octet, how many there are in all; it may raise ShareMalformed.
    """
    values = _values(text)
    groups = _groups(values)
    try:
        wrong = [place for place, group in enumerate(groups, 1) if not _fits(group, place)]
        if not groups or 1 in wrong:
            raise _refuse(wrong or [1])
        size = expected_octets(groups[0][0] << 3 | groups[0][1] >> 2)
        if len(groups) != group_count(size):
            place = wrong[0] if wrong else min(len(groups), group_count(size)) + 1
            raise ShareMalformed(
                f"{len(groups)} groups where {group_count(size)} belong; group {place} is the first that does not fit"
            )
        if wrong:
            raise _refuse(wrong)
        return _octets(groups, size)
    finally:
        _wipe(values, *groups)


def typed_groups(text: str) -> list[str]:
    """Return the groups as they were typed, to have single ones typed again.

    None when they cannot be told apart, or fewer than half are right in their places: then it is another text.
    """
    pieces = [piece for piece in SEPARATORS.split(text) if piece]
    if len(pieces) == 1:
        whole = pieces[0]
        pieces = [whole[start : start + GROUP_SYMBOLS] for start in range(0, len(whole), GROUP_SYMBOLS)]
        if len(pieces[-1]) != GROUP_SYMBOLS:
            return []
    right = sum(_fits(bytearray(symbol_values(piece)), place) for place, piece in enumerate(pieces, 1))
    return pieces if 2 * right >= len(pieces) else []


def _refuse(places: list[int]) -> ShareMalformed:
    if len(places) == 1:
        return ShareMalformed(f"group {places[0]} is mistyped", tuple(places))
    return ShareMalformed(f"groups {', '.join(map(str, places))} are mistyped", tuple(places))


def _values(text: str) -> bytearray:
    """Return the value of each symbol, groups in their places; a group of another length is refused by its number."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ShareMalformed("more text than a share has")
    values = bytearray()
    for piece in filter(None, SEPARATORS.split(text)):
        values += symbol_values(piece)
        if len(values) % GROUP_SYMBOLS:
            raise _off_beat(values)
    return values


def _off_beat(values: bytearray) -> ShareMalformed:
    """Say where a symbol is missing or one too many: a piece ended in the middle of a group."""
    groups = _groups(values)
    place = next(place for place, group in enumerate(groups, 1) if not _fits(group, place))
    _wipe(values, *groups)
    return ShareMalformed(f"group {place} lacks a symbol or has one too many", (place,))


def _groups(values: bytearray) -> list[bytearray]:
    return [values[start : start + GROUP_SYMBOLS] for start in range(0, len(values), GROUP_SYMBOLS)]


def _wipe(*secrets: bytearray) -> None:
    for secret in secrets:
        secret[:] = bytes(len(secret))


def _fits(group: bytearray, place: int) -> bool:
    if len(group) != GROUP_SYMBOLS or UNKNOWN in group:
        return False
    return check_symbol(group[:_DATA_SYMBOLS], place) == group[_DATA_SYMBOLS]


def _octets(groups: list[bytearray], size: int) -> bytearray:
    octets = bytearray()
    held = bits = 0
    for group in groups:
        for value in group[:_DATA_SYMBOLS]:
            held, bits = (held << 5 | value) & 0xFFF, bits + 5
            if bits >= 8:
                bits -= 8
                octets.append(held >> bits & 0xFF)
    if any(octets[size:]) or held & ((1 << bits) - 1):
        raise _refuse([len(groups)])
    del octets[size:]
    return octets
