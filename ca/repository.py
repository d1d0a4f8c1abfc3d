"""Rows of certificates, written and read on a given connection; Core, in few statements for many rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, bindparam, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ca.errors import IllegalTransition
from ca.issuance import PreparedCertificate
from ca.profiles import IssuerName, ProfileName
from ca.records import CertificateRecord, KeyUse, NamedCertificate
from ca.revocation import CertificateState, RevocationReason, Status
from ca.tables import certificates, named_certificates
from pki.certificates import Certificate, serial_hex
from pki.errors import Conflict, ErrorCode

MAX_PAGE: Final = 1000

_c = certificates.c
_COLUMNS: Final = (
    _c.serial,
    _c.issuer,
    _c.profile,
    _c.file_id,
    _c.holder,
    _c.name,
    _c.state,
    _c.status_version,
    _c.shard,
    _c.unapproved,
    _c.not_before,
    _c.not_after,
    _c.requested_by,
    _c.intended_at,
    _c.issued_at,
    _c.revoked_at,
    _c.reason,
    _c.invalidity_date,
    _c.released_at,
    _c.der,
)

_INSERT: Final = insert(certificates)
_COMPLETE: Final = (
    update(certificates)
    .where(_c.serial == bindparam("of"), _c.state == CertificateState.INTENDED.value)
    .values(state=bindparam("to"), der=bindparam("signed"), issued_at=bindparam("when"))
)


def status_of(row: Any) -> Status:
    """Read the status columns of a row."""
    return Status(
        state=CertificateState(row.state),
        revoked_at=row.revoked_at,
        reason=None if row.reason is None else RevocationReason(row.reason),
        invalidity_date=row.invalidity_date,
    )


def _record(row: Any) -> CertificateRecord:
    return CertificateRecord(
        serial_hex=row.serial,
        issuer=IssuerName(row.issuer),
        profile=ProfileName(row.profile),
        file_id=row.file_id,
        holder=row.holder,
        name=row.name,
        status=status_of(row),
        status_version=row.status_version,
        shard=row.shard,
        unapproved=row.unapproved,
        not_before=row.not_before,
        not_after=row.not_after,
        requested_by=row.requested_by,
        intended_at=row.intended_at,
        issued_at=row.issued_at,
        released_at=row.released_at,
        der=row.der,
    )


def intent_row(
    prepared: PreparedCertificate,
    *,
    spki_sha256: bytes,
    file_id: str | None,
    holder: str,
    name: str,
    shard: int,
    actor: str,
    at: datetime,
) -> dict[str, Any]:
    """Make the row that must be durable before the certificate is signed."""
    content = prepared.content
    return {
        "serial": serial_hex(content.serial),
        "issuer": content.issuer.label.value,
        "profile": content.profile.name.value,
        "file_id": file_id,
        "holder": holder,
        "name": name,
        "state": CertificateState.INTENDED.value,
        "status_version": 1,
        "shard": shard,
        "unapproved": content.unapproved,
        "spki_sha256": spki_sha256,
        "tbs_sha256": prepared.tbs_sha256,
        "not_before": content.not_before,
        "not_after": content.not_after,
        "requested_by": actor,
        "intended_at": at,
    }


def insert_intents(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write intents; Conflict when a serial number exists already."""
    try:
        connection.execute(_INSERT, rows)
    except IntegrityError as error:
        raise Conflict(ErrorCode.CONFLICT, "a serial number was drawn twice") from error


def complete(connection: Connection, signed: Mapping[str, bytes], at: datetime) -> None:
    """Put signed certificates (by serial) into their intents; IllegalTransition when one is no intent any more."""
    values = [
        {"of": serial, "to": CertificateState.GOOD.value, "signed": der, "when": at} for serial, der in signed.items()
    ]
    if connection.execute(_COMPLETE, values).rowcount != len(values):
        raise IllegalTransition("an intent was abandoned before its signature came")


def insert_foreign(
    connection: Connection,
    certificate: Certificate,
    *,
    issuer: IssuerName,
    profile: ProfileName,
    holder: str,
    actor: str,
    at: datetime,
) -> None:
    """Write the row of a certificate that somebody else issued to us."""
    values = {
        "serial": certificate.serial_hex,
        "issuer": issuer.value,
        "profile": profile.value,
        "file_id": None,
        "holder": holder,
        "name": holder,
        "state": CertificateState.GOOD.value,
        "status_version": 1,
        "shard": 0,
        "unapproved": False,
        "spki_sha256": sha256(certificate.spki_der).digest(),
        "tbs_sha256": sha256(certificate.tbs).digest(),
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "requested_by": actor,
        "intended_at": at,
        "issued_at": at,
        "der": certificate.der,
    }
    connection.execute(_INSERT, [values])


def abandon(connection: Connection, serials: Iterable[str]) -> tuple[str, ...]:
    """Turn intents into abandoned ones; return those that still were intents."""
    statement = (
        update(certificates)
        .where(_c.serial.in_(list(serials)), _c.state == CertificateState.INTENDED.value)
        .values(state=CertificateState.ABANDONED.value)
        .returning(_c.serial)
    )
    return tuple(connection.execute(statement).scalars())


def open_intents(connection: Connection, before: datetime) -> tuple[str, ...]:
    """List intents made before an instant that have no result."""
    statement = select(_c.serial).where(_c.state == CertificateState.INTENDED.value, _c.intended_at < before)
    return tuple(connection.execute(statement.limit(MAX_PAGE)).scalars())


def find(connection: Connection, serial: str) -> CertificateRecord | None:
    """Return the certificate of a serial number, or None."""
    row = connection.execute(select(*_COLUMNS).where(_c.serial == serial)).one_or_none()
    return None if row is None else _record(row)


def page(
    connection: Connection,
    *,
    state: CertificateState | None,
    profile: ProfileName | None,
    holder: str | None,
    file_id: str | None,
    before: str | None,
    limit: int,
) -> tuple[CertificateRecord, ...]:
    """List certificates, newest first; `before` continues after that serial number."""
    statement = select(*_COLUMNS).order_by(_c.id.desc()).limit(min(max(limit, 1), MAX_PAGE))
    wanted = ((_c.state, state), (_c.profile, profile), (_c.holder, holder), (_c.file_id, file_id))
    for column, value in wanted:
        if value is not None:
            statement = statement.where(column == str(value))
    if before is not None:
        anchor = select(_c.id).where(_c.serial == before).scalar_subquery()
        statement = statement.where(_c.id < anchor)
    return tuple(_record(row) for row in connection.execute(statement))


def uses_of_keys(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, tuple[KeyUse, ...]]:
    """Tell for which holders and profiles these public keys were certified before; abandoned intents do not count."""
    compromised = case((_c.reason == RevocationReason.KEY_COMPROMISE.value, 1), else_=0)
    statement = (
        select(_c.spki_sha256, _c.holder, _c.profile, func.max(compromised).label("compromised"))
        .where(_c.spki_sha256.in_(digests), _c.state != CertificateState.ABANDONED.value)
        .group_by(_c.spki_sha256, _c.holder, _c.profile)
    )
    found: dict[bytes, tuple[KeyUse, ...]] = {}
    for row in connection.execute(statement):
        use = KeyUse(holder=row.holder, profile=row.profile, compromised=bool(row.compromised))
        found[row.spki_sha256] = (*found.get(row.spki_sha256, ()), use)
    return found


def change_status(
    connection: Connection,
    record: CertificateRecord,
    status: Status,
    *,
    crl_entry: bytes | None,
    released_at: datetime | None,
) -> CertificateRecord:
    """Write a new status over the one that was read; IllegalTransition when it changed in between."""
    statement = (
        update(certificates)
        .where(_c.serial == record.serial_hex, _c.status_version == record.status_version)
        .values(
            state=status.state.value,
            status_version=record.status_version + 1,
            revoked_at=status.revoked_at,
            reason=None if status.reason is None else status.reason.value,
            invalidity_date=status.invalidity_date,
            crl_entry=crl_entry,
            released_at=released_at,
        )
    )
    if connection.execute(statement).rowcount != 1:
        raise IllegalTransition("the certificate's status was changed by someone else")
    return replace(record, status=status, status_version=record.status_version + 1, released_at=released_at)


def expire(connection: Connection, now: datetime) -> tuple[str, ...]:
    """Note which certificates' validity has ended; return their serial numbers."""
    ended = select(_c.serial).where(
        _c.state.in_((CertificateState.GOOD.value, CertificateState.ON_HOLD.value)), _c.not_after < now
    )
    statement = (
        update(certificates)
        .where(_c.serial.in_(ended.limit(MAX_PAGE)))
        .values(state=CertificateState.EXPIRED.value)
        .returning(_c.serial)
    )
    return tuple(connection.execute(statement).scalars())


def counts(connection: Connection) -> dict[CertificateState, int]:
    """Count certificates by state."""
    rows = connection.execute(select(_c.state, func.count()).group_by(_c.state))
    return {CertificateState(state): count for state, count in rows}


def name_certificate(connection: Connection, name: str, serial: str, key_label: str, at: datetime) -> None:
    """Say that an authority or service uses a certificate from now on."""
    n = named_certificates.c
    values = {"serial": serial, "key_label": key_label, "since": at}
    if not connection.execute(update(named_certificates).where(n.name == name).values(values)).rowcount:
        connection.execute(insert(named_certificates).values(name=name, **values))


def named(connection: Connection) -> dict[str, NamedCertificate]:
    """Return the certificates of the authorities and services, by name."""
    n = named_certificates.c
    statement = select(n.name, n.key_label, _c.der).join(certificates, n.serial == _c.serial)
    return {
        row.name: NamedCertificate(name=row.name, key_label=row.key_label, der=row.der)
        for row in connection.execute(statement)
        if row.der is not None
    }
