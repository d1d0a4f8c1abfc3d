"""Rows that answer about status: what OCSP says, places in the feed."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, select

from ca.certificate_queries import status_of
from ca.records import ToldStatus, ToPresign
from ca.status.answer_store import ChangedStatus, Place
from ca.status.revocation import CertificateState
from ca.tables import certificates, status_changes

_c = certificates.c
_s = status_changes.c

ISSUED: Final = tuple(
    state.value for state in CertificateState if state not in (CertificateState.INTENDED, CertificateState.ABANDONED)
)
_LIVING: Final = tuple(
    state.value
    for state in (CertificateState.ISSUED, CertificateState.GOOD, CertificateState.ON_HOLD, CertificateState.REVOKED)
)


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
