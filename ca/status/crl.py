"""Certificate revocation lists (RFC 5280 §5): built by joining ready entries, read back, compared before publishing.

A list is one shard of one issuer; its URL is in the critical issuing distribution point and in the CDP of the
certificates it answers for. The root has one complete list, without a distribution point, so that it also
answers for the root itself. Entries were encoded when they were revoked (`revocation.encode_crl_entry`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from ca.errors import CrlRegression
from ca.status.revocation import RevocationReason
from ca.tbs import Issuer
from pki import der, oids
from pki.certificates import read_extensions
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.keys import algorithm_identifier

MAX_NUMBER_OCTETS: Final = 20
_VERSION_2: Final = der.integer(1)
_TRUE: Final = b"\x01\x01\xff"
_CONTEXT_URI: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlPlan:
    """What a list will say; `url` None makes it complete. Times are aware UTC, fractions of a second are cut off."""

    issuer: Issuer
    url: str | None
    number: int
    this_update: datetime
    next_update: datetime
    entries: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCrl:
    """A signed list, ready for anyone to fetch."""

    issuer: str
    shard: int
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    der: bytes

    @staticmethod
    def of(plan: CrlPlan, shard: int, crl_der: bytes) -> "PublishedCrl":
        """Take a list from its plan and its signed bytes."""
        return PublishedCrl(
            issuer=plan.issuer.label.value,
            shard=shard,
            number=plan.number,
            this_update=plan.this_update,
            next_update=plan.next_update,
            entries=len(plan.entries),
            der=crl_der,
        )


def _extension(name: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = _TRUE if critical else b""  # FALSE is the default, which DER leaves out
    return der.sequence(der.oid(name), flag, der.octet_string(value))


def _distribution_point(url: str) -> bytes:
    """IssuingDistributionPoint with the shard's URL alone (RFC 5280 §5.2.5): all reasons, all certificates of it."""
    uri = der.context(_CONTEXT_URI, url.encode("ascii"), constructed=False)
    value = der.sequence(der.context(0, der.context(0, uri)))
    return _extension(oids.ISSUING_DISTRIBUTION_POINT, value, critical=True)


def build_tbs_crl(plan: CrlPlan) -> bytes:
    """Build the to-be-signed list."""
    extensions = der.sequence(
        _extension(
            oids.AUTHORITY_KEY_IDENTIFIER, der.sequence(der.context(0, plan.issuer.key_identifier, constructed=False))
        ),
        _extension(oids.CRL_NUMBER, der.integer(plan.number)),
        b"" if plan.url is None else _distribution_point(plan.url),
    )
    # An empty revokedCertificates must be left out (§5.1.2.6).
    revoked = (der.sequence(*plan.entries),) if plan.entries else ()
    return der.sequence(
        _VERSION_2,
        algorithm_identifier(plan.issuer.algorithm),
        plan.issuer.name_der,
        der.time(plan.this_update),
        der.time(plan.next_update),
        *revoked,
        der.context(0, extensions),
    )


@dataclass(frozen=True, kw_only=True)
class CrlSummary:
    """What a list of ours says, as far as succession goes."""

    issuer_der: bytes
    number: int
    this_update: datetime
    next_update: datetime
    url: str | None
    revoked: der.Node | None

    @cached_property
    def entries(self) -> frozenset[bytes]:
        """The entries as encoded."""
        return frozenset() if self.revoked is None else frozenset(node.raw for node in self.revoked.sequence())


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlEntry:
    """One entry, decoded."""

    serial: int
    since: datetime
    on_hold: bool


def read_entry(entry: bytes) -> CrlEntry:
    """Decode one entry."""
    parts = der.parse(entry).sequence()
    reason = read_extensions(parts[2]).get(oids.CRL_REASON) if len(parts) > 2 else None
    code = None if reason is None else der.parse(reason.value).integer(der.ENUMERATED)
    on_hold = code == RevocationReason.CERTIFICATE_HOLD.code
    return CrlEntry(serial=parts[0].integer(), since=parts[1].time(), on_hold=on_hold)


def _read_tbs(tbs: bytes) -> CrlSummary:
    fields = der.parse(tbs).sequence()
    extensions = read_extensions(fields[-1].expect(0xA0).inner())
    point = extensions.get(oids.ISSUING_DISTRIBUTION_POINT)
    return CrlSummary(
        issuer_der=fields[2].raw,
        number=der.parse(extensions[oids.CRL_NUMBER].value).integer(),
        this_update=fields[3].time(),
        next_update=fields[4].time(),
        url=None if point is None else _read_point(point.value),
        revoked=fields[5] if fields[5].tag == der.SEQUENCE else None,
    )


def _read_point(value: bytes) -> str:
    point = der.parse(value).sequence()
    uri = point[0].expect(0xA0).inner().expect(0xA0).inner().expect(0x80 | _CONTEXT_URI)
    return uri.content.decode("ascii")


def read_tbs_crl(tbs: bytes) -> CrlSummary:
    """Read the to-be-signed part of a list of ours; InvalidInput (`der-malformed`) when it is not one."""
    try:
        return _read_tbs(tbs)
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise InvalidInput(ErrorCode.DER_MALFORMED, "not one of our CRLs") from error


def read_crl(crl_der: bytes) -> CrlSummary:
    """Read a list of ours; its signature is not checked."""
    parts = der.parse(crl_der).sequence()
    if len(parts) != 3:
        raise InvalidInput(ErrorCode.DER_MALFORMED, "not a CertificateList")
    return read_tbs_crl(parts[0].raw)


def check_plan(tbs: bytes, plan: CrlPlan) -> CrlSummary:
    """Read what was built and compare it with what was meant; CrlRegression when they differ."""
    try:
        built = read_tbs_crl(tbs)
    except ServiceError as error:
        raise CrlRegression("the list cannot be read back") from error
    meant = (plan.issuer.name_der, plan.number, plan.url, frozenset(plan.entries))
    if (built.issuer_der, built.number, built.url, built.entries) != meant:
        raise CrlRegression("the list is not what was planned")
    if built.next_update <= built.this_update:
        raise CrlRegression("nextUpdate is not after thisUpdate")
    if built.number < 1 or len(der.parse(der.integer(built.number)).content) > MAX_NUMBER_OCTETS:
        raise CrlRegression("the number is out of range (RFC 5280 §5.2.3)")
    if len(plan.entries) != len(built.entries):
        raise CrlRegression("an entry appears twice")
    return built


def lost_entries(previous: CrlSummary, candidate: CrlSummary, forgiven: datetime | None = None) -> tuple[CrlEntry, ...]:
    """Return the entries of `previous` whose certificate `candidate` no longer lists.

    CrlRegression when `candidate` is of another issuer or place, has no higher number or an older time.
    An older time may follow one up to `forgiven`: an officer knows that the clock was wrong then.
    """
    if (candidate.issuer_der, candidate.url) != (previous.issuer_der, previous.url):
        raise CrlRegression("another issuer or distribution point than before")
    if candidate.number <= previous.number:
        raise CrlRegression(f"number {candidate.number} does not follow {previous.number}")
    known_wrong = forgiven is not None and previous.this_update <= forgiven
    if candidate.this_update < previous.this_update and not known_wrong:
        raise CrlRegression("thisUpdate is older than before")
    gone = [read_entry(entry) for entry in previous.entries - candidate.entries]
    changed = {read_entry(entry).serial for entry in candidate.entries - previous.entries}
    return tuple(entry for entry in gone if entry.serial not in changed)
