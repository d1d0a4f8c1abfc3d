"""The last published lists, told to a database that went backwards: whatever they list is listed again.

A list's signature is checked first. Of an entry that nothing else explains nothing is known but what it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from ca.certificate_queries import status_of
from ca.config import MAX_SHARDS, AuthoritySettings
from ca.profiles import IssuerName
from ca.recovery.histories import Life
from ca.recovery.rows import VERSIONS_SKIPPED, Finding, skeleton, tell, write_status
from ca.status.revocation import CertificateState, RevocationReason, Status, encode_crl_entry
from ca.tables import certificates, crls
from ca.tbs import Issuer
from pki import der, oids
from pki.certificates import read_extensions, serial_hex
from pki.errors import ErrorCode, InvalidInput, ServiceError, VerificationFailed
from pki.keys import verify_signature

NUMBERS_SKIPPED: Final = 1000  # lists that may have been signed after all that is known
_REMOVE_FROM_CRL: Final = 8
_DELTA_INDICATOR: Final = "2.5.29.27"
_ROUND: Final = 500
_REASONS: Final = {reason.code: reason for reason in RevocationReason}
_c = certificates.c
_l = crls.c


class ListEntry(NamedTuple):
    """What a list says of one certificate."""

    serial: str
    since: datetime
    reason: RevocationReason
    invalidity_date: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlivedList:
    """A list that outlived the database, its signature checked; `whole` when it is no delta."""

    issuer: IssuerName
    shard: int
    number: int
    this_update: datetime
    next_update: datetime
    entries: tuple[ListEntry, ...]
    tbs: bytes
    der: bytes
    whole: bool


def read_list(data: bytes, issuers: Sequence[Issuer], settings: AuthoritySettings) -> OutlivedList:
    """Read one of our lists; InvalidInput for anything else, VerificationFailed where the signature does not hold."""
    try:
        tbs, _algorithm, signature = der.parse(data).sequence()
        fields = tbs.sequence()
        issuer = next((one for one in issuers if one.name_der == fields[2].raw), None)
        if issuer is None:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the list is of none of our authorities")
        _check_signature(issuer, signature.bits(), tbs.raw)
        extensions = read_extensions(fields[-1].expect(0xA0).inner())
        point = extensions.get(oids.ISSUING_DISTRIBUTION_POINT)
        return OutlivedList(
            issuer=issuer.label,
            shard=0 if point is None else _shard(issuer.label, point.value, settings),
            number=der.parse(extensions[oids.CRL_NUMBER].value).integer(),
            this_update=fields[3].time(),
            next_update=fields[4].time(),
            entries=tuple(_entries(fields[5])) if fields[5].tag == der.SEQUENCE else (),
            tbs=tbs.raw,
            der=data,
            whole=_DELTA_INDICATOR not in extensions,
        )
    except (IndexError, KeyError, ValueError) as error:
        raise InvalidInput(ErrorCode.DER_MALFORMED, "not one of our CRLs") from error


def _check_signature(issuer: Issuer, signature: bytes, tbs: bytes) -> None:
    try:
        verify_signature(issuer.public_key, signature, tbs)
    except ServiceError as error:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the list's signature does not hold") from error


def _shard(issuer: IssuerName, point: bytes, settings: AuthoritySettings) -> int:
    """Find the shard that an issuing distribution point names."""
    for shard in range(MAX_SHARDS):  # it may have had more of them once
        if settings.crl_url(issuer, shard).encode("ascii") in point and point.endswith(b".crl"):
            return shard
    raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the list is for a place that is none of ours")


def _entries(revoked: der.Node) -> list[ListEntry]:
    found = []
    for node in revoked.sequence():
        parts = node.sequence()
        extensions: Mapping[str, Any] = read_extensions(parts[2]) if len(parts) > 2 else {}
        told = extensions.get(oids.CRL_REASON)
        code = 0 if told is None else der.parse(told.value).integer(der.ENUMERATED)
        if code == _REMOVE_FROM_CRL:
            continue
        invalid = extensions.get(oids.INVALIDITY_DATE)
        found.append(
            ListEntry(
                serial=serial_hex(parts[0].integer()),
                since=parts[1].time(),
                reason=_REASONS.get(code, RevocationReason.UNSPECIFIED),
                invalidity_date=None if invalid is None else der.parse(invalid.value).time(),
            )
        )
    return found


def apply_list(
    connection: Connection,
    outlived: OutlivedList,
    settings: AuthoritySettings,
    ends: Mapping[str, datetime],
    now: datetime,
) -> tuple[int, list[Finding]]:
    """List again whatever a list names; return how many rows that changed, and what is known by the list alone."""
    changed: list[str] = []
    findings: list[Finding] = []
    entries = outlived.entries
    for start in range(0, len(entries), _ROUND):
        part = entries[start : start + _ROUND]
        known = rows_of(connection, [entry.serial for entry in part])
        for entry in part:
            row = known.get(entry.serial)
            if row is None:
                _insert(connection, outlived, entry, settings, ends)
                findings.append(Finding("known-by-list", entry.serial, f"{outlived.issuer}/{outlived.shard}"))
            elif is_explained(row, entry, outlived.this_update):
                continue
            else:
                write_status(connection, entry.serial, row.status_version, _listed(row, entry))
            changed.append(entry.serial)
    tell(connection, changed, now)
    if outlived.whole:
        _keep(connection, outlived)
    return len(changed), findings


def rows_of(connection: Connection, serials: Sequence[str]) -> dict[str, Any]:
    """Return what rows say of the status of these certificates."""
    columns = (_c.serial, _c.state, _c.revoked_at, _c.reason, _c.invalidity_date, _c.released_at, _c.status_version)
    found: dict[str, Any] = {}
    for start in range(0, len(serials), _ROUND):
        query = select(*columns).where(_c.serial.in_(serials[start : start + _ROUND]))
        found |= {row.serial: row for row in connection.execute(query)}
    return found


def is_explained(row: Any, entry: ListEntry, made_at: datetime) -> bool:
    """Whether a row says what an entry said, or more, or records that its suspension was lifted after it."""
    status = status_of(row)
    on_hold = entry.reason is RevocationReason.CERTIFICATE_HOLD
    if status.listed:  # what is on hold, and what waits for its holder, has this reason until it is revoked
        return on_hold or status.reason is not RevocationReason.CERTIFICATE_HOLD
    return on_hold and row.released_at is not None and row.released_at >= max(entry.since, made_at)


def _listed(row: Any, entry: ListEntry) -> Life:
    on_hold = entry.reason is RevocationReason.CERTIFICATE_HOLD
    state = CertificateState.ON_HOLD if on_hold else CertificateState.REVOKED
    status = Status(state=state, revoked_at=entry.since, reason=entry.reason, invalidity_date=entry.invalidity_date)
    return Life(status=status, released_at=row.released_at)


def _insert(
    connection: Connection,
    outlived: OutlivedList,
    entry: ListEntry,
    settings: AuthoritySettings,
    ends: Mapping[str, datetime],
) -> None:
    on_hold = entry.reason is RevocationReason.CERTIFICATE_HOLD
    status = Status(
        state=CertificateState.ON_HOLD if on_hold else CertificateState.REVOKED,
        revoked_at=entry.since,
        reason=entry.reason,
        invalidity_date=entry.invalidity_date,
    )
    values = skeleton(entry.serial, outlived.issuer.value, settings, ends, at=entry.since) | {
        "shard": outlived.shard,
        "state": status.state.value,
        "revoked_at": status.revoked_at,
        "reason": entry.reason.value,
        "invalidity_date": status.invalidity_date,
        "crl_entry": encode_crl_entry(int(entry.serial, 16), status),
        "status_version": VERSIONS_SKIPPED,
        "lint_state": "pending",
    }
    connection.execute(insert(certificates).values(values))


def _keep(connection: Connection, outlived: OutlivedList) -> None:
    """Keep a list that the database does not know, so that the next one is held against it."""
    here = (_l.issuer == outlived.issuer.value, _l.shard == outlived.shard)
    last = connection.execute(select(func.max(_l.number)).where(*here, _l.der.is_not(None))).scalar() or 0
    if outlived.number <= last:
        return
    connection.execute(delete(crls).where(*here, _l.number == outlived.number))  # its intent, if that was kept
    connection.execute(
        insert(crls).values(
            issuer=outlived.issuer.value,
            shard=outlived.shard,
            number=outlived.number,
            this_update=outlived.this_update,
            next_update=outlived.next_update,
            entries=len(outlived.entries),
            tbs_sha256=sha256(outlived.tbs).digest(),
            der=outlived.der,
        )
    )


def leave_numbers_behind(connection: Connection, published: Mapping[tuple[str, int], int], now: datetime) -> None:
    """Take numbers far above every list that anybody can have seen, as by a list that was never signed."""
    query = select(_l.issuer, _l.shard, func.max(_l.number)).group_by(_l.issuer, _l.shard)
    known = {(issuer, shard): number for issuer, shard, number in connection.execute(query)}
    for place in sorted(known.keys() | published.keys()):
        if place[0] == IssuerName.ROOT:
            continue
        values = {
            "issuer": place[0],
            "shard": place[1],
            "number": max(known.get(place, 0), published.get(place, 0)) + NUMBERS_SKIPPED,
            "this_update": now,
            "next_update": now,
            "entries": 0,
            "tbs_sha256": bytes(32),
        }
        connection.execute(insert(crls).values(values))
