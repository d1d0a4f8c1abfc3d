"""BER-TLV data objects as cards use them (ISO/IEC 7816-4:2020 §6.3, ITU-T X.690 §8.1).

Tags of one to three octets, definite lengths of at most two octets after the first; anything longer is
refused. Lengths need not be minimal: cards write `82 00 10`. Elementary files have fixed sizes, so what
follows the last object is 00 or FF padding: `padded=True` stops there.
"""

from dataclasses import dataclass
from typing import Final

from cardreader.errors import CardProtocolError

MAX_OCTETS: Final = 0xFFFF
MAX_HEADER: Final = 6
_PADDING: Final = frozenset((0x00, 0xFF))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tlv:
    """One data object; `raw` is its whole encoding as it was read."""

    tag: int
    value: bytes
    raw: bytes

    def children(self) -> tuple["Tlv", ...]:
        """Read the data objects inside this one."""
        return parse_tlvs(self.value)


def _read_tag(data: bytes, offset: int) -> tuple[int, int]:
    tag = data[offset]
    offset += 1
    if tag & 0x1F != 0x1F:
        return tag, offset
    for _ in range(2):
        if offset >= len(data):
            raise CardProtocolError("truncated tag")
        octet = data[offset]
        tag, offset = tag << 8 | octet, offset + 1
        if not octet & 0x80:
            return tag, offset
    raise CardProtocolError("tag longer than three octets")


def _read_length(data: bytes, offset: int) -> tuple[int, int]:
    if offset >= len(data):
        raise CardProtocolError("truncated length")
    first = data[offset]
    offset += 1
    if first < 0x80:
        return first, offset
    count = first & 0x7F
    if not 1 <= count <= 2:
        raise CardProtocolError("indefinite length" if count == 0 else "length longer than two octets")
    if offset + count > len(data):
        raise CardProtocolError("truncated length")
    return int.from_bytes(data[offset : offset + count], "big"), offset + count


def parse_tlvs(data: bytes, *, padded: bool = False) -> tuple[Tlv, ...]:
    """Read the data objects that fill `data`, in order; with `padded`, up to the first 00 or FF where a tag should be.

    CardProtocolError when an object is malformed or longer than `data`.
    """
    if len(data) > MAX_OCTETS:
        raise CardProtocolError("data object longer than 64 KiB")
    found: list[Tlv] = []
    offset = 0
    while offset < len(data):
        if padded and data[offset] in _PADDING:
            break
        begin = offset
        tag, offset = _read_tag(data, offset)
        length, offset = _read_length(data, offset)
        end = offset + length
        if end > len(data):
            raise CardProtocolError("data object longer than its container")
        found.append(Tlv(tag=tag, value=data[offset:end], raw=data[begin:end]))
        offset = end
    return tuple(found)


def ends_in_padding(data: bytes) -> bool:
    """Whether `data`, the beginning of a file, surely holds its last object; CardProtocolError when malformed.

    False for as long as a header could still be cut off by the end of `data`.
    """
    offset = 0
    while offset < len(data):
        if data[offset] in _PADDING:
            return True
        if offset + MAX_HEADER > len(data):
            return False
        _tag, offset = _read_tag(data, offset)
        length, offset = _read_length(data, offset)
        offset += length
    return False


def parse_tlv(data: bytes) -> Tlv:
    """Read the one data object that fills `data`."""
    found = parse_tlvs(data)
    if len(found) != 1:
        raise CardProtocolError(f"one data object expected, {len(found)} found")
    return found[0]


def find(objects: tuple[Tlv, ...], tag: int) -> bytes | None:
    """Return the value of the only object with `tag`, or None; CardProtocolError when it appears twice."""
    values = [each.value for each in objects if each.tag == tag]
    if len(values) > 1:
        raise CardProtocolError(f"tag {tag:X} appears twice")
    return values[0] if values else None


def encode(tag: int, *parts: bytes) -> bytes:
    """Encode one data object around the concatenated `parts`, with a minimal length."""
    value = b"".join(parts)
    size = len(value)
    if size > MAX_OCTETS:
        raise CardProtocolError("data object longer than 64 KiB")
    head = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    if size < 0x80:
        return head + bytes((size,)) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return head + bytes((0x80 | len(octets),)) + octets + value
