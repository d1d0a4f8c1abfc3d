"""DER, read strictly and written fast (ITU-T X.690 §10), for the hot paths that Mohr owns.

Reading: `parse(data)` gives one `Node` that must fill `data` exactly; children are read on demand and
each read checks definite, minimal lengths inside the parent's bounds. Bytes from others may be BER: `pki.ber`.

Writing: functions that return encoded octets, to be nested. Single-octet tags only; nothing that Mohr
reads or writes uses others.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from pki.errors import ErrorCode, InvalidInput

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
ENUMERATED: Final = 0x0A
UTF8_STRING: Final = 0x0C
PRINTABLE_STRING: Final = 0x13
IA5_STRING: Final = 0x16
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

MAX_DEPTH: Final = 48
MAX_INTEGER_OCTETS: Final = 4096


def malformed(reason: str) -> InvalidInput:
    """Make the refusal of octets that are no DER (`der-malformed`)."""
    return InvalidInput(ErrorCode.DER_MALFORMED, reason)


def _read_header(data: bytes, offset: int, end: int) -> tuple[int, int, int]:
    """Return (tag, content start, content end) of the value at `offset`, all within `end`."""
    if offset + 2 > end:
        raise malformed("truncated header")
    tag = data[offset]
    if tag & 0x1F == 0x1F:
        raise malformed("multi-octet tag")
    length = data[offset + 1]
    start = offset + 2
    if length >= 0x80:
        count = length & 0x7F
        if count == 0:
            raise malformed("indefinite length")
        if count > 4 or start + count > end:
            raise malformed("length field too long")
        length = int.from_bytes(data[start : start + count], "big")
        if length < 0x80 or data[start] == 0:
            raise malformed("length not minimal")
        start += count
    if start + length > end:
        raise malformed("value longer than its container")
    return tag, start, start + length


class Node:
    """One value inside a buffer: its tag, content and children. Immutable."""

    __slots__ = ("_begin", "_data", "_end", "_start", "tag")

    def __init__(self, data: bytes, begin: int, start: int, end: int, tag: int) -> None:
        self._data, self._begin, self._start, self._end, self.tag = data, begin, start, end, tag

    @property
    def raw(self) -> bytes:
        """The whole encoding, tag and length included."""
        return self._data[self._begin : self._end]

    @property
    def content(self) -> bytes:
        """The content octets."""
        return self._data[self._start : self._end]

    @property
    def content_offset(self) -> int:
        """Where the content begins in the buffer given to `parse`."""
        return self._start

    @property
    def end_offset(self) -> int:
        """Where the value ends in the buffer given to `parse`."""
        return self._end

    @property
    def buffer(self) -> bytes:
        """The buffer given to `parse`."""
        return self._data

    def children(self, limit: int | None = None) -> tuple[Node, ...]:
        """Read the values inside a constructed value; InvalidInput when there are more than `limit`."""
        if not self.tag & 0x20:
            raise malformed(f"tag {self.tag:#04x} is not constructed")
        return self._values(limit)

    def inner(self) -> Node:
        """Read the one DER value that an OCTET STRING, or an explicit tag, holds."""
        values = self._values(1)
        if not values:
            raise malformed("one value expected, none found")
        return values[0]

    def _values(self, limit: int | None = None) -> tuple[Node, ...]:
        found, offset, data, end = [], self._start, self._data, self._end
        most = end if limit is None else limit
        while offset < end:
            start = offset + 2
            # What `_read_header` does, here for short lengths: nearly all values have one.
            if start <= end and (length := data[offset + 1]) < 0x80 and (tag := data[offset]) & 0x1F != 0x1F:
                stop = start + length
                if stop > end:
                    raise malformed("value longer than its container")
            else:
                tag, start, stop = _read_header(data, offset, end)
            found.append(Node(data, offset, start, stop, tag))
            offset = stop
            if len(found) > most:
                raise malformed(f"more than {limit} values")
        return tuple(found)

    def expect(self, tag: int) -> Node:
        """Return this node if it has `tag`; InvalidInput otherwise."""
        if self.tag != tag:
            raise malformed(f"tag {tag:#04x} expected, {self.tag:#04x} found")
        return self

    def sequence(self) -> tuple[Node, ...]:
        """Read the children of a SEQUENCE."""
        return self.expect(SEQUENCE).children()

    def set_of(self) -> tuple[Node, ...]:
        """Read the children of a SET; order is not checked."""
        return self.expect(SET).children()

    def integer(self, tag: int = INTEGER) -> int:
        """Read an INTEGER (or an ENUMERATED, by `tag`), minimally encoded."""
        octets = self.expect(tag).content
        if not octets or len(octets) > MAX_INTEGER_OCTETS:
            raise malformed("INTEGER of bad size")
        if len(octets) > 1 and octets[0] in (0, 0xFF) and (octets[0] ^ octets[1]) < 0x80:
            raise malformed("INTEGER not minimal")
        return int.from_bytes(octets, "big", signed=True)

    def boolean(self) -> bool:
        """Read a BOOLEAN, 00 or FF (X.690 §11.1)."""
        octets = self.expect(BOOLEAN).content
        if octets not in (b"\x00", b"\xff"):
            raise malformed("BOOLEAN is neither 00 nor FF")
        return octets == b"\xff"

    def oid(self) -> str:
        """Read an OBJECT IDENTIFIER in dotted form."""
        return _decode_oid(self.expect(OID).content)

    def octets(self) -> bytes:
        """Read the content of an OCTET STRING."""
        return self.expect(OCTET_STRING).content

    def bits(self) -> bytes:
        """Read a BIT STRING of whole octets."""
        content = self.expect(BIT_STRING).content
        if not content or content[0] != 0:
            raise malformed("BIT STRING with unused bits")
        return content[1:]

    def bit_set(self) -> frozenset[int]:
        """Read a BIT STRING as the set of its one-bits, bit 0 first."""
        content = self.expect(BIT_STRING).content
        if not content or content[0] > (7 if len(content) > 1 else 0) or len(content) > 9:
            raise malformed("BIT STRING of bad size")
        if len(content) > 1 and content[-1] & ((1 << content[0]) - 1):
            raise malformed("BIT STRING with unused bits set")  # X.690 §11.2.1: others do not see them
        return frozenset(
            index * 8 + bit for index, octet in enumerate(content[1:]) for bit in range(8) if octet & (0x80 >> bit)
        )

    def time(self) -> datetime:
        """Read a UTCTime or GeneralizedTime in its DER form, ending in Z (RFC 5280 §4.1.2.5)."""
        if self.tag not in (UTC_TIME, GENERALIZED_TIME):
            raise malformed("not a time")
        return _read_time(self.content, short=self.tag == UTC_TIME)

    def text(self) -> str:
        """Read a character string leniently: the alphabet of a PrintableString is not enforced.

        Iranian CAs put `[` and `]` into PrintableString; a reader must survive that.
        """
        codec = {0x1E: "utf-16-be", 0x1C: "utf-32-be", UTF8_STRING: "utf-8"}.get(self.tag, "latin-1")
        return self.content.decode(codec, "replace")


def _read_time(octets: bytes, *, short: bool) -> datetime:
    whole, _, fraction = octets[:-1].partition(b".")
    if not octets.endswith(b"Z") or len(whole) != (12 if short else 14) or not whole.isdigit():
        raise malformed("time not in DER form")
    if b"." in octets and (short or not fraction.isdigit() or fraction.endswith(b"0") or len(fraction) > 9):
        raise malformed("fraction of a second not in DER form")
    year = int(whole[:-10])
    if short:
        year += 1900 if year >= 50 else 2000
    month, day, hour, minute, second = (int(whole[i : i + 2]) for i in range(len(whole) - 10, len(whole), 2))
    try:
        return datetime(year, month, day, hour, minute, second, int(fraction[:6].ljust(6, b"0") or 0), UTC)
    except ValueError as error:
        raise malformed("not a calendar time") from error


def parse(data: bytes) -> Node:
    """Read the one DER value that fills `data`; InvalidInput (`der-malformed`) otherwise."""
    tag, start, end = _read_header(data, 0, len(data))
    if end != len(data):
        raise malformed("trailing octets")
    return Node(data, 0, start, end, tag)


def parse_at(data: bytes, offset: int, end: int) -> Node:
    """Read the value that begins at `offset` and ends at or before `end`; InvalidInput (`der-malformed`) otherwise."""
    tag, start, stop = _read_header(data, offset, end)
    return Node(data, offset, start, stop, tag)


@lru_cache(maxsize=1024)
def _decode_oid(octets: bytes) -> str:
    if not octets or octets[-1] & 0x80 or len(octets) > 64:
        raise malformed("OBJECT IDENTIFIER of bad size")
    arcs: list[int] = []
    value = 0
    fresh = True
    for octet in octets:
        if fresh and octet == 0x80:
            raise malformed("OBJECT IDENTIFIER arc not minimal")
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


# --- writing --------------------------------------------------------------------------------------


def tlv(tag: int, *parts: bytes) -> bytes:
    """Encode one value with `tag` around the concatenated `parts`."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    return header(tag, size) + body


def header(tag: int, size: int) -> bytes:
    """Encode what comes before the content of a value: its tag and the number of its octets."""
    if size < 0x80:
        return bytes((tag, size))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def sequence(*parts: bytes) -> bytes:
    """Encode a SEQUENCE."""
    return tlv(SEQUENCE, *parts)


def set_of(parts: Iterable[bytes]) -> bytes:
    """Encode a SET OF, sorted as DER asks (X.690 §11.6)."""
    return tlv(SET, *sorted(parts))


def context(number: int, *parts: bytes, constructed: bool = True) -> bytes:
    """Encode a context-specific tag `[number]`."""
    return tlv(0x80 | (0x20 if constructed else 0) | number, *parts)


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Encode an INTEGER (or ENUMERATED, by `tag`)."""
    size = (value.bit_length() if value >= 0 else (~value).bit_length()) // 8 + 1
    return tlv(tag, value.to_bytes(size, "big", signed=True))


def boolean(value: bool, /) -> bytes:
    """Encode a BOOLEAN."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


@lru_cache(maxsize=1024)
def oid(dotted: str) -> bytes:
    """Encode an OBJECT IDENTIFIER given in dotted form."""
    arcs = [int(arc) for arc in dotted.split(".")]
    octets = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        octets += bytes(reversed(groups))
    return tlv(OID, bytes(octets))


def octet_string(value: bytes) -> bytes:
    """Encode an OCTET STRING."""
    return tlv(OCTET_STRING, value)


def bit_string(value: bytes) -> bytes:
    """Encode a BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\0", value)


def utf8(value: str) -> bytes:
    """Encode a UTF8String."""
    return tlv(UTF8_STRING, value.encode())


def null() -> bytes:
    """Encode NULL."""
    return b"\x05\x00"


def time(moment: datetime) -> bytes:
    """Encode `moment` as UTCTime through 2049, else GeneralizedTime, whole seconds (RFC 5280 §4.1.2.5)."""
    utc = moment.astimezone(UTC)
    if 1950 <= utc.year < 2050:
        return tlv(UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode())
    return generalized_time(moment)


def generalized_time(moment: datetime, *, fraction: bool = False) -> bytes:
    """Encode a GeneralizedTime; with `fraction`, milliseconds without trailing zeros (X.690 §11.7)."""
    utc = moment.astimezone(UTC)
    text = f"{utc.year:04}{utc:%m%d%H%M%S}"
    if fraction and utc.microsecond >= 1000:
        text += f".{utc.microsecond // 1000:03}".rstrip("0")
    return tlv(GENERALIZED_TIME, f"{text}Z".encode())


ALGORITHM_SHA256: Final = sequence(oid("2.16.840.1.101.3.4.2.1"))
