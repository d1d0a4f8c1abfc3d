"""Reading CRLs and what they say of one certificate (RFC 5280 §5, §6.3), fast on lists of a million.

Full CRLs by the certificate's own issuer, whole or sharded by distribution point. Of a delta CRL only a
revocation counts; indirect CRLs, and CRLs signed with another key of the issuer, are silent.
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
from pki.signatures import signature_hash, verify_value
from signer.parsers.model import UNREADABLE
from signer.validation.answers import CLOCK_SKEW, REASONS, Good, Revoked, Silent, StatusAnswer

MAX_CRL_OCTETS: Final = 128 * 1024 * 1024

_SMALL: Final = 256 * 1024
_EXPIRED_CERTS_ON_CRL: Final = "2.5.29.60"  # X.509 §9.5.2.8
_UNDERSTOOD: Final = frozenset(
    (oids.CRL_NUMBER, oids.AUTHORITY_KEY_IDENTIFIER, oids.ISSUING_DISTRIBUTION_POINT, oids.DELTA_CRL_INDICATOR)
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crl:
    """One CertificateList; `entries` is the content of revokedCertificates as it lies.

    `verified` remembers, by issuer, whether the signature holds: a list is checked once, however often asked.
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
        if fields[0].tag == der.INTEGER:
            fields.pop(0)
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


def evaluate(crl: Crl, certificate: Certificate, issuer: Certificate, at: datetime, *, origin: str) -> StatusAnswer:
    """Say what a CRL knows of a certificate; silent unless signature, issuer, scope and date all fit."""
    problem = _unusable(crl, certificate, issuer, at)
    if problem is not None:
        return Silent(origin=origin, detail=problem)
    entry = find_entry(crl, certificate.serial)
    if oids.DELTA_CRL_INDICATOR in crl.extensions and (entry is None or entry.reason == "removeFromCRL"):
        return Silent(origin=origin, detail="a delta without the certificate, not a full list")
    hash_oid = signature_hash(crl.algorithm)
    if entry is None:
        return Good(
            origin=origin,
            this_update=crl.this_update,
            next_update=crl.next_update,
            signer=issuer,
            hash_oid=hash_oid,
            expired_since=_expired_since(crl),
        )
    return Revoked(
        origin=origin,
        this_update=crl.this_update,
        next_update=crl.next_update,
        signer=issuer,
        hash_oid=hash_oid,
        revoked_at=entry.revoked_at,
        reason=entry.reason,
        invalid_since=entry.invalid_since,
    )


def _unusable(crl: Crl, certificate: Certificate, issuer: Certificate, at: datetime) -> str | None:
    if not same_name(crl.issuer_der, certificate.issuer_der):
        return "another issuer's"
    unknown = next((name for name, e in crl.extensions.items() if e.critical and name not in _UNDERSTOOD), None)
    if unknown is not None:
        return f"critical extension {unknown} is not understood"
    if crl.this_update > at + CLOCK_SKEW:
        return "issued in the future"
    if issuer.key_usage is not None and "cRLSign" not in issuer.key_usage:
        return "its issuer may not sign CRLs"
    scope = crl.extensions.get(oids.ISSUING_DISTRIBUTION_POINT)
    if scope is not None and (problem := _out_of_scope(der.parse(scope.value), certificate, issuer)) is not None:
        return problem
    if not _is_signed_by(crl, issuer):
        return "signature does not hold"
    return None


def _out_of_scope(scope: Node, certificate: Certificate, issuer: Certificate) -> str | None:
    """Compare issuingDistributionPoint with the certificate (RFC 5280 §6.3.3 b 2)."""
    for part in scope.expect(der.SEQUENCE).children(6):
        flag = part.content == b"\xff"
        if part.tag == 0xA0 and not _names_of_point(part, issuer.subject_der) & _points_of(certificate):
            return "another distribution point's"
        if (part.tag == 0x81 and flag and certificate.is_ca) or (part.tag == 0x82 and flag and not certificate.is_ca):
            return "for another kind of certificate"
        if part.tag == 0x83:
            return "for some reasons only"
        if part.tag == 0x84 and flag:
            return "an indirect list"
        if part.tag == 0x85 and flag:
            return "for attribute certificates only"
    return None


def _points_of(certificate: Certificate) -> set[bytes]:
    extension = certificate.extensions.get(oids.CRL_DISTRIBUTION_POINTS)
    found: set[bytes] = set()
    for point in () if extension is None else der.parse(extension.value).children(64):
        for part in point.children(3):
            if part.tag == 0xA0:
                found |= _names_of_point(part, certificate.issuer_der)
    return found


def _names_of_point(node: Node, issuer_der: bytes) -> set[bytes]:
    """Spell the names of a DistributionPointName so that equal ones compare equal."""
    inner = node.inner()
    if inner.tag == 0xA0:
        return {name.raw for name in inner.children(64)}
    full = der.sequence(*(part.raw for part in der.parse(issuer_der).children()), der.tlv(der.SET, inner.content))
    return {der.context(4, full)}


def _is_signed_by(crl: Crl, issuer: Certificate) -> bool:
    held = crl.verified.get(issuer.sha256)
    if held is None:
        try:
            verify_value(issuer.public_key, crl.algorithm, crl.signature, crl.tbs)
            held = True
        except UNREADABLE:
            held = False
        crl.verified[issuer.sha256] = held
    return held


def _expired_since(crl: Crl) -> datetime | None:
    extension = crl.extensions.get(_EXPIRED_CERTS_ON_CRL)
    return None if extension is None else der.parse(extension.value).time()


def find_entry(crl: Crl, serial: int) -> Entry | None:
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
