"""Rows that answer about status: CRL entries, lists and their numbers, what OCSP says, places in the feed."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ca.certificate_queries import status_of
from ca.errors import CrlRegression
from ca.records import ToldStatus, ToPresign
from ca.status.answer_store import ChangedStatus, Place
from ca.status.crl import CrlPlan, PublishedCrl
from ca.status.revocation import CertificateState
from ca.tables import certificates, crls, status_changes

_c = certificates.c
_l = crls.c
_s = status_changes.c

ISSUED: Final = tuple(
    state.value for state in CertificateState if state not in (CertificateState.INTENDED, CertificateState.ABANDONED)
)
_LIVING: Final = tuple(
    state.value
    for state in (CertificateState.ISSUED, CertificateState.GOOD, CertificateState.ON_HOLD, CertificateState.REVOKED)
)


def crl_entries(connection: Connection, issuer: str, shard: int, *, ended_from: datetime) -> list[bytes]:
    """Return the entries of a shard, oldest certificate first, of certificates that ended at `ended_from` or later."""
    statement = (
        select(_c.crl_entry)
        .where(_c.issuer == issuer, _c.shard == shard, _c.crl_entry.is_not(None), _c.not_after >= ended_from)
        .order_by(_c.id)
    )
    return list(connection.execute(statement).scalars())


def _published(row: Any) -> PublishedCrl:
    return PublishedCrl(
        issuer=row.issuer,
        shard=row.shard,
        number=row.number,
        this_update=row.this_update,
        next_update=row.next_update,
        entries=row.entries,
        der=row.der,
    )


def latest_crl(connection: Connection, issuer: str, shard: int) -> PublishedCrl | None:
    """Return the published list of the highest number, or None."""
    statement = (
        select(crls)
        .where(_l.issuer == issuer, _l.shard == shard, _l.der.is_not(None))
        .order_by(_l.number.desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else _published(row)


def next_crl_number(connection: Connection, issuer: str, shard: int) -> int:
    """Return the number after the highest ever reserved."""
    statement = select(func.max(_l.number)).where(_l.issuer == issuer, _l.shard == shard)
    return int(connection.execute(statement).scalar_one_or_none() or 0) + 1


def reserve_crl(connection: Connection, plan: CrlPlan, shard: int, tbs: bytes) -> None:
    """Write the intent of a list; CrlRegression when another program took its number."""
    values = {
        "issuer": plan.issuer.label.value,
        "shard": shard,
        "number": plan.number,
        "this_update": plan.this_update,
        "next_update": plan.next_update,
        "entries": len(plan.entries),
        "tbs_sha256": sha256(tbs).digest(),
    }
    try:
        connection.execute(insert(crls).values(values))
    except IntegrityError as error:
        raise CrlRegression("another program is publishing this list") from error


def store_crl(connection: Connection, crl: PublishedCrl) -> None:
    """Put the signed list into its intent; CrlRegression when a higher number was published meanwhile."""
    latest = latest_crl(connection, crl.issuer, crl.shard)
    if latest is not None and latest.number >= crl.number:
        raise CrlRegression(f"number {latest.number} was published meanwhile")
    here = (_l.issuer == crl.issuer, _l.shard == crl.shard)
    intent = (_l.number == crl.number, _l.der.is_(None))
    if connection.execute(update(crls).where(*here, *intent).values(der=crl.der)).rowcount != 1:
        raise CrlRegression("the list has no intent")
    # The bytes of older lists are dropped; their numbers, times and digests stay.
    connection.execute(update(crls).where(*here, _l.number < crl.number - 1).values(der=None))


def told_statuses(connection: Connection, serials: Sequence[str]) -> dict[tuple[str, str], ToldStatus]:
    """Return what is told of issued certificates, by serial number and issuer."""
    statement = select(_c.serial, _c.issuer, _c.state, _c.revoked_at, _c.reason, _c.invalidity_date, _c.der).where(
        _c.serial.in_(serials), _c.state.in_(ISSUED)
    )
    return {
        (row.serial, row.issuer): ToldStatus(status=status_of(row), cert_sha256=_digest(row.der))
        for row in connection.execute(statement)
    }


def _digest(certificate: bytes | None) -> bytes | None:
    return None if certificate is None else sha256(certificate).digest()


def place_at(connection: Connection, position: int) -> Place | None:
    """Return the place of the change at a position of the feed, or None."""
    row = connection.execute(select(_s.serial, _s.at).where(_s.id == position)).one_or_none()
    return None if row is None else Place(position, row.serial, row.at.isoformat())


def is_place(connection: Connection, place: Place) -> bool:
    """Whether the feed has come through a place: one that a restored database does not know is of another history."""
    return not place.position or place_at(connection, place.position) == place


def has_changed(connection: Connection, after: int) -> bool:
    """Whether the feed has a change after a position; another may be about to come before it."""
    return connection.execute(select(_s.id).where(_s.id > after).limit(1)).first() is not None


def changed_statuses(connection: Connection, serials: Sequence[str]) -> list[ChangedStatus]:
    """Return the present versions of the status of these certificates."""
    statement = select(_c.issuer, _c.serial, _c.status_version, _c.revoked_at).where(_c.serial.in_(set(serials)))
    return [
        ChangedStatus(row.issuer, row.serial, row.status_version, row.revoked_at is None)
        for row in connection.execute(statement)
    ]


def to_presign(
    connection: Connection,
    issuer: str,
    now: datetime,
    *,
    serials: Sequence[str] | None = None,
    after: str = "",
    limit: int | None = None,
) -> list[ToPresign]:
    """List living certificates in the order of their serial numbers: these, or those after a serial number."""
    wanted = (_c.serial > after) if serials is None else _c.serial.in_(serials)
    statement = (
        select(
            _c.serial, _c.state, _c.revoked_at, _c.reason, _c.invalidity_date, _c.status_version, _c.not_after, _c.der
        )
        .where(wanted, _c.issuer == issuer, _c.state.in_(_LIVING), _c.not_after > now)
        .order_by(_c.serial)
        .limit(limit)
    )
    return [
        ToPresign(
            serial_hex=row.serial,
            status=status_of(row),
            status_version=row.status_version,
            cert_sha256=_digest(row.der),
        )
        for row in connection.execute(statement)
    ]
