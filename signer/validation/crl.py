"""Reading CRLs and finding one certificate in them (RFC 5280 §5), fast on lists of a million.

What a list says of a certificate, and whether it may, is `crl_judgement.py`'s.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from pki import der, oids
from pki.certificates import Certificate, Extension, read_extensions
from pki.der import Node
from pki.errors import ErrorCode, InvalidInput
from pki.names import same_name
from pki.signatures import verify_value
from signer.parsers.model import UNREADABLE
from signer.validation.answers import REASONS

MAX_CRL_OCTETS: Final = 128 * 1024 * 1024

MAX_INDIRECT_ENTRIES: Final = 50_000

_VERSION_2: Final = 1  # RFC 5280 §5.1.2.1: what a list says that tells its version
_SMALL: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crl:
    """One CertificateList; `entries` is the content of revokedCertificates as it lies.

    `verified` remembers, by issuer, whether the signature holds, and `regular` whether entries do: a list is checked
    once, however often asked.
    """

    tbs: bytes
    issuer_der: bytes
    this_update: datetime
    next_update: datetime | None
    entries: bytes
    extensions: dict[str, Extension]
    algorithm: Node
    signature: bytes
    verified: dict[bytes, bool] = field(default_factory=dict)
    regular: list[bool] = field(default_factory=list)

    @property
    def number(self) -> int | None:
        """The CRL number; InvalidInput where it cannot be read."""
        return self._number_in(oids.CRL_NUMBER)

    @property
    def base_number(self) -> int | None:
        """The number of the full list that this one adds to; None for a full list."""
        return self._number_in(oids.DELTA_CRL_INDICATOR)

    def _number_in(self, name: str) -> int | None:
        extension = self.extensions.get(name)
        return None if extension is None else der.parse(extension.value).integer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One revoked certificate."""

    revoked_at: datetime
    reason: str
    invalid_since: datetime | None


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.DER_MALFORMED, f"CRL: {detail}")


def parse_crl(data: bytes) -> Crl:
    """Read one DER CRL; InvalidInput when it is not one. Small ones are remembered."""
    if len(data) > MAX_CRL_OCTETS:
        raise _refuse("too large")
    return _remembered(data) if len(data) <= _SMALL else _parse(data)


@lru_cache(maxsize=64)
def _remembered(data: bytes) -> Crl:
    return _parse(data)


def _parse(data: bytes) -> Crl:
    try:
        tbs, algorithm, signature = der.parse(data).expect(der.SEQUENCE).children(3)
        fields = list(tbs.expect(der.SEQUENCE).children(7))
        if fields[0].tag == der.INTEGER and fields.pop(0).integer() != _VERSION_2:
            raise _refuse("unknown version")
        inner, issuer, this_update = fields[:3]
        rest = fields[3:]
        if inner.raw != algorithm.raw:
            raise _refuse("two different signature algorithms")
        following = rest.pop(0) if rest and rest[0].tag in (der.UTC_TIME, der.GENERALIZED_TIME) else None
        entries = rest.pop(0) if rest and rest[0].tag == der.SEQUENCE else None
        extensions = rest.pop(0).expect(0xA0).inner() if rest else None
        return Crl(
            tbs=tbs.raw,
            issuer_der=issuer.raw,
            this_update=this_update.time(),
            next_update=None if following is None else following.time(),
            entries=b"" if entries is None else entries.content,
            extensions={} if extensions is None else read_extensions(extensions),
            algorithm=algorithm,
            signature=signature.bits(),
        )
    except (IndexError, ValueError) as error:
        raise _refuse("a part is missing") from error


def is_signed_by(crl: Crl, signer: Certificate) -> bool:
    """Say whether the signer's key made the list's signature."""
    held = crl.verified.get(signer.sha256)
    if held is None:
        try:
            verify_value(signer.public_key, crl.algorithm, crl.signature, crl.tbs)
            held = True
        except UNREADABLE:
            held = False
        crl.verified[signer.sha256] = held
    return held


def find_entry(crl: Crl, certificate: Certificate, *, indirect: bool) -> Entry | None:
    """Return the entry of a certificate; an `indirect` list says of whose certificates its entries are.

    InvalidInput where there seems to be none, but entries are written in other ways than that which was looked for.
    """
    if indirect:
        return _of_issuer(crl, certificate)
    found = entry_of(crl, certificate.serial)
    if found is None and not _is_regular(crl):
        raise _refuse("entries are not DER")
    return found


def _of_issuer(crl: Crl, certificate: Certificate) -> Entry | None:
    """Read an indirect list in its order: an issuer that an entry names holds for those that follow (§5.3.3)."""
    issuer_der = crl.issuer_der
    for node in der.parse(der.sequence(crl.entries)).children(MAX_INDIRECT_ENTRIES):
        parts = node.expect(der.SEQUENCE).children(3)
        extensions = read_extensions(parts[2]) if len(parts) == 3 else {}
        if oids.CERTIFICATE_ISSUER in extensions:
            issuer_der = _directory_name(extensions[oids.CERTIFICATE_ISSUER].value)
        if parts[0].integer() == certificate.serial and same_name(issuer_der, certificate.issuer_der):
            return _read_entry(parts)
    return None


def _directory_name(general_names: bytes) -> bytes:
    (name,) = der.parse(general_names).expect(der.SEQUENCE).children(1)
    return name.expect(0xA4).inner().raw


def entry_of(crl: Crl, serial: int) -> Entry | None:
    """Look a serial number up without reading the list entry by entry.

    An entry is `SEQUENCE { INTEGER serial, Time, … }`: every place where the serial's octets stand is
    taken for an entry only if the SEQUENCE header lies right before it and a time follows.
    """
    wanted = der.integer(serial)
    at = crl.entries.find(wanted)
    while at >= 0:
        parts = _entry_around(crl.entries, at)
        if parts is not None:
            return _read_entry(parts)
        at = crl.entries.find(wanted, at + 1)
    return None


def _is_regular(crl: Crl) -> bool:
    """Say whether entries follow each other in DER, each a SEQUENCE of a number and a time; looked at once a list."""
    if not crl.regular:
        crl.regular.append(_are_regular(crl.entries))
    return crl.regular[0]


def _are_regular(entries: bytes) -> bool:
    at, end = 0, len(entries)
    try:
        while at < end:
            length, start = entries[at + 1], at + 2
            if length >= 0x80:  # few are that long: they are read with all care
                node = der.parse_at(entries, at, end)
                length, start = len(node.content), node.content_offset
            size = entries[start + 1]
            first, time = entries[start + 2], entries[start + 2 + size]
            if (entries[at], entries[start]) != (der.SEQUENCE, der.INTEGER) or not 0 < size < min(0x80, length - 2):
                return False
            if size > 1 and first in (0x00, 0xFF) and first >> 7 == entries[start + 3] >> 7:
                return False
            if time not in (der.UTC_TIME, der.GENERALIZED_TIME):
                return False
            at = start + length
    except (IndexError, *UNREADABLE):
        return False
    return at == end


def _entry_around(entries: bytes, at: int) -> tuple[Node, ...] | None:
    for header in (2, 3, 4):
        start = at - header
        length_octets = entries[start + 1 : at]
        if start < 0 or entries[start] != der.SEQUENCE or not length_octets:
            continue
        if header == 2 and length_octets[0] < 0x80:
            length = length_octets[0]
        elif header > 2 and length_octets[0] == 0x80 | (header - 2):
            length = int.from_bytes(length_octets[1:], "big")
        else:
            continue
        try:
            parts = der.parse(entries[start : at + length]).children(3)
        except UNREADABLE:
            continue
        if len(parts) >= 2 and parts[1].tag in (der.UTC_TIME, der.GENERALIZED_TIME):
            return parts
    return None


def _read_entry(parts: tuple[Node, ...]) -> Entry:
    reason, invalid_since = "unspecified", None
    extensions = read_extensions(parts[2]) if len(parts) == 3 else {}
    if oids.CRL_REASON in extensions:
        code = der.parse(extensions[oids.CRL_REASON].value).integer(der.ENUMERATED)
        reason = REASONS.get(code, "unspecified")
    if oids.INVALIDITY_DATE in extensions:
        invalid_since = der.parse(extensions[oids.INVALIDITY_DATE].value).time()
    return Entry(revoked_at=parts[1].time(), reason=reason, invalid_since=invalid_since)
