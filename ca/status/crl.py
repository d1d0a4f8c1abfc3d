"""Certificate revocation lists (RFC 5280 §5): built by joining ready entries, and read back before they are signed.

A list is one shard of one issuer; its URL is in the critical issuing distribution point and in the CDP of the
certificates it answers for. The root has one complete list, without a distribution point, so that it also
answers for the root itself. Entries were encoded when they were revoked (`revocation.encode_crl_entry`) and come as
runs of many: a list of a million entries is one buffer, and no entry of it an object.

A delta list (§5.2.4) is a list of the same place and the same sequence of numbers that names its base.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
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
    """What a list will say; times are aware UTC, fractions of a second are cut off.

    `url` None makes it complete. `entries` are runs of encoded entries. `freshest_url` is where the deltas to it are,
    `base` the number of the list that it is a delta to.
    """

    issuer: Issuer
    url: str | None
    number: int
    this_update: datetime
    next_update: datetime
    entries: Sequence[bytes] = ()
    freshest_url: str | None = None
    base: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCrl:
    """A signed list, ready for anyone to fetch, with the delta that goes with it.

    `position` is where it stands in the feed of changes, None for one of before there was a feed.
    """

    issuer: str
    shard: int
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    der: bytes
    position: int | None = None
    base: int | None = None
    delta: "PublishedCrl | None" = None


def _extension(name: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = _TRUE if critical else b""  # FALSE is the default, which DER leaves out
    return der.sequence(der.oid(name), flag, der.octet_string(value))


def _point(url: str) -> bytes:
    """Encode a DistributionPointName with one URL."""
    uri = der.context(_CONTEXT_URI, url.encode("ascii"), constructed=False)
    return der.context(0, der.context(0, uri))


def _extensions(plan: CrlPlan) -> bytes:
    key_identifier = der.context(0, plan.issuer.key_identifier, constructed=False)
    found = [
        _extension(oids.AUTHORITY_KEY_IDENTIFIER, der.sequence(key_identifier)),
        _extension(oids.CRL_NUMBER, der.integer(plan.number)),
    ]
    if plan.base is not None:
        found.append(_extension(oids.DELTA_CRL_INDICATOR, der.integer(plan.base), critical=True))
    if plan.url is not None:  # §5.2.5: all reasons, all certificates of the shard
        found.append(_extension(oids.ISSUING_DISTRIBUTION_POINT, der.sequence(_point(plan.url)), critical=True))
    if plan.freshest_url is not None:
        found.append(_extension(oids.FRESHEST_CRL, der.sequence(der.sequence(_point(plan.freshest_url)))))
    return der.context(0, der.sequence(*found))


def build_tbs_crl(plan: CrlPlan) -> bytes:
    """Build the to-be-signed list; its entries are copied once."""
    size = sum(map(len, plan.entries))
    before = b"".join(
        (
            _VERSION_2,
            algorithm_identifier(plan.issuer.algorithm),
            plan.issuer.name_der,
            der.time(plan.this_update),
            der.time(plan.next_update),
            der.header(der.SEQUENCE, size) if size else b"",  # none at all where there is no entry (§5.1.2.6)
        )
    )
    after = _extensions(plan)
    return b"".join((der.header(der.SEQUENCE, len(before) + size + len(after)), before, *plan.entries, after))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlSummary:
    """What a list of ours says, as far as succession goes; its entries lie in `tbs` from `start` to `end`."""

    tbs: bytes
    issuer_der: bytes
    number: int
    this_update: datetime
    next_update: datetime
    url: str | None
    freshest_url: str | None
    base: int | None
    start: int
    end: int

    @property
    def entries(self) -> bytes:
        """The entries as encoded, one after the other."""
        return self.tbs[self.start : self.end]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlEntry:
    """One entry, decoded."""

    serial: int
    since: datetime
    on_hold: bool
    is_removal: bool


def read_entry(entry: bytes) -> CrlEntry:
    """Decode one entry."""
    parts = der.parse(entry).sequence()
    reason = read_extensions(parts[2]).get(oids.CRL_REASON) if len(parts) > 2 else None
    code = None if reason is None else der.parse(reason.value).integer(der.ENUMERATED)
    return CrlEntry(
        serial=parts[0].integer(),
        since=parts[1].time(),
        on_hold=code == RevocationReason.CERTIFICATE_HOLD.code,
        is_removal=code == REMOVE_FROM_CRL,
    )


REMOVE_FROM_CRL: Final = 8


def encode_removal(serial: int, at: datetime) -> bytes:
    """Encode the entry of a delta that takes a certificate off its base (removeFromCRL, §5.3.1)."""
    reason = der.octet_string(der.integer(REMOVE_FROM_CRL, der.ENUMERATED))
    return der.sequence(der.integer(serial), der.time(at), der.sequence(der.sequence(der.oid(oids.CRL_REASON), reason)))


def split_entries(run: bytes) -> dict[bytes, bytes]:
    """Return the entries of a run by the octets of their serial numbers.

    CrlRegression where an entry has not the form of ours, or a serial number appears twice.
    """
    found: dict[bytes, bytes] = {}
    offset, end, count = 0, len(run), 0
    while offset < end:
        header = run[offset : offset + 4]
        following = offset + 2 + header[1] if len(header) == 4 else end + 1
        if following > end or header[0] != der.SEQUENCE or header[1] >= 0x80 or header[2] != der.INTEGER:
            raise CrlRegression("an entry is malformed")
        found[run[offset + 4 : offset + 4 + header[3]]] = run[offset:following]
        offset = following
        count += 1
    if len(found) != count:
        raise CrlRegression("an entry appears twice")
    return found


def _read_tbs(tbs: bytes) -> CrlSummary:
    fields = der.parse(tbs).sequence()
    extensions = read_extensions(fields[-1].expect(0xA0).inner())
    point, base = (extensions.get(name) for name in (oids.ISSUING_DISTRIBUTION_POINT, oids.DELTA_CRL_INDICATOR))
    freshest = extensions.get(oids.FRESHEST_CRL)
    revoked = fields[5] if fields[5].tag == der.SEQUENCE else None
    return CrlSummary(
        tbs=tbs,
        issuer_der=fields[2].raw,
        number=der.parse(extensions[oids.CRL_NUMBER].value).integer(),
        this_update=fields[3].time(),
        next_update=fields[4].time(),
        url=None if point is None else _read_point(der.parse(point.value)),
        freshest_url=None if freshest is None else _read_point(der.parse(freshest.value).sequence()[0]),
        base=None if base is None else der.parse(base.value).integer(),
        start=fields[4].end_offset if revoked is None else revoked.content_offset,
        end=fields[4].end_offset if revoked is None else revoked.end_offset,
    )


def _read_point(point: der.Node) -> str:
    uri = point.sequence()[0].expect(0xA0).inner().expect(0xA0).inner().expect(0x80 | _CONTEXT_URI)
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


def without_entries(crl_der: bytes) -> bytes:
    """Return a list as it would be with no entries, and otherwise the same: what `with_entries` puts right again."""
    return _with(crl_der, ())


def with_entries(frame: bytes, runs: Sequence[bytes]) -> bytes:
    """Put runs of entries into a list that has none."""
    return _with(frame, runs)


def _with(crl_der: bytes, runs: Sequence[bytes]) -> bytes:
    """Write a list anew with other entries, which are copied once."""
    tbs, *signed = der.parse(crl_der).sequence()
    fields = [field for index, field in enumerate(tbs.sequence()) if index != 5 or field.tag != der.SEQUENCE]
    size = sum(map(len, runs))
    before = b"".join((*(field.raw for field in fields[:5]), der.header(der.SEQUENCE, size) if size else b""))
    after, tail = fields[5].raw, b"".join(part.raw for part in signed)
    octets = len(before) + size + len(after)
    head = der.header(der.SEQUENCE, octets)
    outer = der.header(der.SEQUENCE, len(head) + octets + len(tail))
    return b"".join((outer, head, before, *runs, after, tail))


def check_plan(tbs: bytes, plan: CrlPlan) -> CrlSummary:
    """Read what was built and compare it with what was meant; CrlRegression when they differ.

    Entries are compared as memory: what is in them is for whoever compares a list with the one before.
    """
    try:
        built = read_tbs_crl(tbs)
    except ServiceError as error:
        raise CrlRegression("the list cannot be read back") from error
    meant = (plan.issuer.name_der, plan.number, plan.url, plan.freshest_url, plan.base)
    if (built.issuer_der, built.number, built.url, built.freshest_url, built.base) != meant:
        raise CrlRegression("the list is not what was planned")
    offset = built.start
    for run in plan.entries:
        if not tbs.startswith(run, offset):
            raise CrlRegression("the entries are not what was planned")
        offset += len(run)
    if offset != built.end:
        raise CrlRegression("the entries are not what was planned")
    if built.next_update <= built.this_update:
        raise CrlRegression("nextUpdate is not after thisUpdate")
    if built.number < 1 or len(der.parse(der.integer(built.number)).content) > MAX_NUMBER_OCTETS:
        raise CrlRegression("the number is out of range (RFC 5280 §5.2.3)")
    if built.base is not None and not 1 <= built.base < built.number:
        raise CrlRegression("a delta follows its base (RFC 5280 §5.2.4)")
    return built
