"""Rows that answer about status: CRL entries, lists and their numbers, pre-signed OCSP responses."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ca.certificate_queries import status_of
from ca.errors import CrlRegression
from ca.records import ToPresign
from ca.status.crl import CrlPlan, PublishedCrl
from ca.status.revocation import CertificateState, Status
from ca.tables import certificates, crls, ocsp_responses
from storage.base import UtcDateTime

_c = certificates.c
_l = crls.c
_o = ocsp_responses.c

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


def status_by_serial(connection: Connection, serials: Sequence[str], issuer: str) -> dict[str, Status]:
    """Return the status of those serial numbers that `issuer` has issued."""
    statement = select(_c.serial, _c.state, _c.revoked_at, _c.reason, _c.invalidity_date).where(
        _c.serial.in_(serials), _c.issuer == issuer, _c.state.in_(ISSUED)
    )
    return {row.serial: status_of(row) for row in connection.execute(statement)}


# Built once: the responder asks it for every request, and building costs more than asking.
_PRESIGNED: Final = (
    select(_o.der)
    .join(certificates, _o.serial == _c.serial)
    .where(
        _o.serial == bindparam("serial"),
        _c.issuer == bindparam("issuer"),
        _o.status_version == _c.status_version,
        _o.this_update <= bindparam("now", type_=UtcDateTime()),
        _o.next_update > bindparam("now", type_=UtcDateTime()),
    )
)


def presigned(connection: Connection, serial: str, issuer: str, now: datetime) -> bytes | None:
    """Return the stored response for a certificate, if it still tells its present status."""
    parameters = {"serial": serial, "issuer": issuer, "now": now}
    return connection.execute(_PRESIGNED, parameters).scalar_one_or_none()


def _to_presign(issuer: str, not_after: datetime) -> Select[Any]:
    return select(_c.serial, _c.state, _c.revoked_at, _c.reason, _c.invalidity_date, _c.status_version).where(
        _c.issuer == issuer, _c.state.in_(_LIVING), _c.not_after > not_after
    )


def without_response(
    connection: Connection, issuer: str, *, now: datetime, ending_before: datetime, limit: int
) -> tuple[ToPresign, ...]:
    """List living certificates whose stored response is missing, outdated, or ends before an instant."""
    statement = (
        _to_presign(issuer, now)
        .outerjoin(ocsp_responses, _o.serial == _c.serial)
        .where(
            _o.serial.is_(None)
            | (_o.status_version != _c.status_version)
            | (_o.next_update < ending_before)
            | (_o.this_update > now)
        )
        .order_by(_c.id)
        .limit(limit)
    )
    return tuple(
        ToPresign(serial_hex=row.serial, status=status_of(row), status_version=row.status_version)
        for row in connection.execute(statement)
    )


def store_responses(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the stored responses of these certificates."""
    if not rows:
        return
    connection.execute(delete(ocsp_responses).where(_o.serial.in_([row["serial"] for row in rows])))
    connection.execute(insert(ocsp_responses), list(rows))
