"""Rows that answer about status: what OCSP says, places in the feed."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from ca.certificate_queries import status_of
from ca.records import ToldStatus, ToPresign
from ca.status.answer_place import Place
from ca.status.answer_store import ChangedStatus
from ca.status.revocation import CertificateState
from ca.tables import certificates, status_changes

_c = certificates.c
_s = status_changes.c

ISSUED: Final = tuple(
    state.value for state in CertificateState if state not in (CertificateState.INTENDED, CertificateState.ABANDONED)
)
_LIVING: Final = frozenset(
    state.value
    for state in (CertificateState.ISSUED, CertificateState.GOOD, CertificateState.ON_HOLD, CertificateState.REVOKED)
)
_TOLD: Final = (_c.serial, _c.issuer, _c.state, _c.revoked_at, _c.reason, _c.invalidity_date, _c.der)
_PRESIGNED: Final = (*_TOLD, _c.status_version, _c.not_after)
# Built once, for every live answer. By serial number and nothing else: SQLite would go by the states instead.
TOLD: Final = select(*_TOLD).where(_c.serial.in_(bindparam("serials", expanding=True)))


def told_statuses(connection: Connection, serials: Sequence[str]) -> dict[tuple[str, str], ToldStatus]:
    """Return what is told of issued certificates, by serial number and issuer."""
    return {
        (row.serial, row.issuer): ToldStatus(status=status_of(row), cert_sha256=_digest(row.der))
        for row in connection.execute(TOLD, {"serials": serials})
        if row.state in ISSUED
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


def to_presign(connection: Connection, serials: Sequence[str], now: datetime) -> list[ToPresign]:
    """List those of these certificates that are answered for ahead, in the order of their serial numbers."""
    rows = connection.execute(select(*_PRESIGNED).where(_c.serial.in_(serials)).order_by(_c.serial)).all()
    return _living(rows, now)


def next_to_presign(
    connection: Connection, after: str, now: datetime, limit: int
) -> tuple[list[ToPresign], str | None]:
    """List what is answered for ahead among the next certificates, and where to go on; None: these are the last.

    Nothing but the serial number is asked for, so that its index is what is gone by.
    """
    statement = select(*_PRESIGNED).where(_c.serial > after).order_by(_c.serial).limit(limit)
    rows = connection.execute(statement).all()
    return _living(rows, now), rows[-1].serial if len(rows) == limit else None


def _living(rows: Sequence[Any], now: datetime) -> list[ToPresign]:
    return [
        ToPresign(
            serial_hex=row.serial,
            issuer=row.issuer,
            status=status_of(row),
            status_version=row.status_version,
            cert_sha256=_digest(row.der),
        )
        for row in rows
        if row.state in _LIVING and row.not_after > now
    ]
