"""BER from others (ITU-T X.690 §8), re-encoded as DER and no more: what it says is for `pki.der` to read."""

from typing import Final

from pki import der

MAX_VALUES: Final = 200_000


def normalise(data: bytes) -> tuple[bytes, bool]:
    """Re-encode BER `data` as DER; return the octets and whether anything changed.

    Resolves indefinite lengths, non-minimal lengths and constructed strings, and sorts nothing: the
    order inside SETs is the sender's. InvalidInput when `data` is not one BER value, nests deeper than
    `pki.der.MAX_DEPTH` or holds more than `MAX_VALUES` values.
    """
    encoded, end = normalise_prefix(data)
    if end != len(data):
        raise der.malformed("trailing octets")
    return encoded, encoded != data


def normalise_prefix(data: bytes) -> tuple[bytes, int]:
    """Re-encode the one BER value that `data` begins with; return its DER and where it ended in `data`."""
    return _normalise(data, 0, len(data), 0, [MAX_VALUES])


def _normalise(data: bytes, offset: int, limit: int, depth: int, budget: list[int]) -> tuple[bytes, int]:
    budget[0] -= 1
    if depth > der.MAX_DEPTH or budget[0] < 0:
        raise der.malformed("nested too deep" if depth > der.MAX_DEPTH else "too many values")
    if offset + 2 > limit:
        raise der.malformed("truncated header")
    tag, first = data[offset], data[offset + 1]
    if tag & 0x1F == 0x1F:
        raise der.malformed("multi-octet tag")
    start = offset + 2
    indefinite = first == 0x80
    if indefinite:
        if not tag & 0x20:
            raise der.malformed("indefinite length of a primitive value")
        end = limit
    else:
        length = first
        if first > 0x80:
            count = first & 0x7F
            if count > 8 or start + count > limit:
                raise der.malformed("length field too long")
            length = int.from_bytes(data[start : start + count], "big")
            start += count
        end = start + length
        if end > limit:
            raise der.malformed("value longer than its container")
    if not tag & 0x20:
        return der.tlv(tag, data[start:end]), end
    parts: list[bytes] = []
    while start < end:
        if indefinite and data[start : start + 2] == b"\0\0":
            break
        part, start = _normalise(data, start, end, depth + 1, budget)
        parts.append(part)
    if indefinite:
        if data[start : start + 2] != b"\0\0":
            raise der.malformed("end of contents missing")
        end = start + 2
    if tag in (der.OCTET_STRING | 0x20, der.UTF8_STRING | 0x20, der.IA5_STRING | 0x20):
        return der.tlv(tag & ~0x20, b"".join(der.parse(part).content for part in parts)), end
    return der.tlv(tag, *parts), end
