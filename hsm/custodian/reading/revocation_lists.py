"""Reading to-be-signed certificate lists (RFC 5280 §5.1.2): every entry is read, and none is copied.

A list of a million entries is 49 MB. Entries in the few forms that lists are made of are matched by one
expression where they lie, about 0.1 µs each; any other entry is read field by field.
"""

import re
from typing import Final

from hsm.custodian.limits import Bounds
from hsm.custodian.reading.messages import Fields, MessageKind, MessageRead, SigningRule
from hsm.custodian.reading.x509_parts import (
    check_algorithm,
    check_issuer_name,
    extension_value,
    read_extensions,
    read_instant,
)
from hsm.errors import PurposeRefused
from pki import der, oids

MAX_SERIAL_OCTETS: Final = 20
MAX_NUMBER_OCTETS: Final = 20  # §5.2.3
MAX_ODD_ENTRIES: Final = 20_000
MAX_ENTRY_EXTENSIONS: Final = 8

_OID_NUMBER: Final = der.oid(oids.CRL_NUMBER)
_OID_DELTA: Final = der.oid(oids.DELTA_CRL_INDICATOR)
_OID_POINT: Final = der.oid(oids.ISSUING_DISTRIBUTION_POINT)
_REMOVED: Final = der.integer(8, der.ENUMERATED)
_KNOWN: Final = frozenset(
    (
        _OID_NUMBER,
        _OID_DELTA,
        _OID_POINT,
        der.oid(oids.AUTHORITY_KEY_IDENTIFIER),
        der.oid(oids.AUTHORITY_INFO_ACCESS),
        der.oid("2.5.29.18"),  # issuerAltName
        der.oid("2.5.29.46"),  # freshestCRL
        der.oid("2.5.29.60"),  # expiredCertsOnCRL, X.509 §9.5.2.8
    )
)


def read_revocation_list(rule: SigningRule, fields: Fields, bounds: Bounds | None) -> MessageRead:
    """Judge a list: version 2 with nextUpdate and CRLNumber."""
    if len(fields) not in (6, 7) or fields[-1].tag != 0xA0:
        raise PurposeRefused("not a version 2 TBSCertList")
    check_algorithm(rule, fields[1])
    check_issuer_name(rule, fields[2])
    this_update, next_update = read_instant(fields[3]), read_instant(fields[4])
    if this_update >= next_update:
        raise PurposeRefused("nextUpdate is not after thisUpdate")
    extensions = read_extensions(fields[-1])
    if not extensions.keys() <= _KNOWN:
        raise PurposeRefused("an extension that no list carries")
    if bounds is not None:
        bounds.check_begins(this_update, "thisUpdate")
        bounds.check_ends(this_update, next_update, bounds.limits.crl_seconds, "nextUpdate")
    number, base = _number(extensions), _base(extensions)
    if base is not None and not 0 <= base < number:
        raise PurposeRefused("a delta that does not follow its base")
    if len(fields) == 7:
        _read_entries(fields[5].expect(der.SEQUENCE), is_delta=base is not None)
    return MessageRead(
        MessageKind.REVOCATION_LIST,
        crl_scope=_scope(extensions),
        crl_number=number,
        instant=this_update,
    )


def _number(extensions: dict[bytes, der.Node]) -> int:
    found = extensions.get(_OID_NUMBER)
    if found is None:
        raise PurposeRefused("no CRL number")
    value = extension_value(found)
    number = value.integer()
    if number < 0 or len(value.content) > MAX_NUMBER_OCTETS:
        raise PurposeRefused("CRL number out of range")
    return number


def _base(extensions: dict[bytes, der.Node]) -> int | None:
    """Return the number of the list that a delta adds to (§5.2.4)."""
    delta = extensions.get(_OID_DELTA)
    return None if delta is None else extension_value(delta).integer()


def _scope(extensions: dict[bytes, der.Node]) -> bytes:
    """Return what tells the lists of one issuer apart: the distribution point, and whether it is a delta."""
    delta = extensions.get(_OID_DELTA)
    point = extensions.get(_OID_POINT)
    value = b"" if point is None else extension_value(point).expect(der.SEQUENCE).raw
    return (b"complete" if delta is None else b"delta") + value


def _forms(reasons: bytes) -> re.Pattern[bytes]:
    """Match a run of entries: positive minimal serial, UTCTime, then reason, invalidity date, both or neither."""
    reason = rb"\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01[" + reasons + rb"]"
    time = rb"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z"
    date = rb"\x30\x18\x06\x03\x55\x1d\x18\x04\x11\x18\x0f[0-9]{2}" + time
    tails = ((12, reason), (0, b""), (38, reason + date), (26, date))
    usual = sorted(range(1, MAX_SERIAL_OCTETS + 1), key=lambda octets: (octets not in (20, 16), -octets))
    forms = []
    for octets in usual:
        serial = rb"[\x01-\x7f]"
        if octets > 1:
            serial = rb"(?:[\x01-\x7f].|\x00[\x80-\xff]).{%d}" % (octets - 2)
        for size, tail in tails:
            extensions = rb"\x30" + re.escape(bytes((size,))) + tail if size else b""
            body = rb"\x02" + re.escape(bytes((octets,))) + serial + rb"\x17\x0d" + time + extensions
            length = 2 + octets + 15 + (2 + size if size else 0)
            forms.append(rb"\x30" + re.escape(bytes((length,))) + body)
    # CPython before 3.11.5 goes on where the last try of a possessive repetition failed (gh-106052), as in Debian 12:
    # an alternative that cannot match takes it back to where that try began.
    return re.compile(b"(?:(?:" + b"|".join(forms) + b")|(?!))++", re.DOTALL)


_USUAL_ENTRIES: Final = _forms(b"\x00-\x06\x09\x0a")
_USUAL_ENTRIES_OF_DELTAS: Final = _forms(b"\x00-\x06\x08-\x0a")


def _read_entries(node: der.Node, *, is_delta: bool) -> None:
    usual = _USUAL_ENTRIES_OF_DELTAS if is_delta else _USUAL_ENTRIES
    data, offset, end = node.buffer, node.content_offset, node.end_offset
    if offset == end:
        raise PurposeRefused("an empty list of entries is left out")  # §5.1.2.6
    odd = 0
    while offset < end:
        match = usual.match(data, offset, end)
        if match is not None:
            offset = match.end()
            continue
        odd += 1
        if odd > MAX_ODD_ENTRIES:
            raise PurposeRefused("too many entries of an unusual form")
        entry = der.parse_at(data, offset, end)
        _read_odd_entry(entry, is_delta=is_delta)
        offset = entry.end_offset


def _read_odd_entry(entry: der.Node, *, is_delta: bool) -> None:
    """Read one entry field by field."""
    parts = entry.expect(der.SEQUENCE).children(3)
    if len(parts) < 2:
        raise PurposeRefused("not an entry of a list")
    if parts[0].integer() <= 0 or len(parts[0].content) > MAX_SERIAL_OCTETS:
        raise PurposeRefused("an entry's serial number is not positive")
    read_instant(parts[1])
    if len(parts) == 3:
        extensions = parts[2].expect(der.SEQUENCE).children(MAX_ENTRY_EXTENSIONS)
        if not extensions:
            raise PurposeRefused("an empty list of extensions is left out")
        for extension in extensions:
            value = extension_value(extension.expect(der.SEQUENCE))
            if extension.children()[0].oid() == oids.CRL_REASON and value.raw == _REMOVED and not is_delta:
                raise PurposeRefused("removeFromCRL is for deltas alone")  # §5.3.1
