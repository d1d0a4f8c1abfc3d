"""Rows of certificates, read on a given connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from ca.inventory.queries import page_rows
from ca.inventory.search import Search
from ca.profiles import ISSUING_AUTHORITIES, IssuerName, ProfileName
from ca.records import CertificateRecord, NamedCertificate
from ca.status.revocation import CertificateState, RevocationReason, Status
from ca.tables import ENDED, authority_parents, certificates, named_certificates

MAX_PAGE: Final = 1000

_c = certificates.c
_COLUMNS: Final = (
    _c.serial,
    _c.issuer,
    _c.profile,
    _c.profile_version,
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
    _c.predecessor,
    _c.der,
)


_LIVING_STATES: Final = tuple(
    state.value for state in (CertificateState.ISSUED, CertificateState.GOOD, CertificateState.ON_HOLD)
)
_ENDED_STATES: Final = (CertificateState.EXPIRED.value, CertificateState.REVOKED.value)


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
        profile_version=row.profile_version,
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
        predecessor=row.predecessor,
        der=row.der,
    )


def open_intents(connection: Connection, before: datetime, *, servers: Sequence[str] = ()) -> tuple[str, ...]:
    """List intents without a result that were made before an instant, or by one of these servers."""
    statement = select(_c.serial).where(
        _c.state == CertificateState.INTENDED.value, (_c.intended_at < before) | _c.server.in_(servers)
    )
    return tuple(connection.execute(statement.limit(MAX_PAGE)).scalars())


def servers_of_intents(connection: Connection) -> set[str]:
    """Name the servers that have intents without a result."""
    statement = select(_c.server).where(_c.state == CertificateState.INTENDED.value, _c.server.is_not(None))
    return set(connection.execute(statement.distinct()).scalars())


def find(connection: Connection, serial: str, *, locked: bool = False) -> CertificateRecord | None:
    """Return the certificate of a serial number, or None; `locked` until the end of the transaction."""
    query = select(*_COLUMNS).where(_c.serial == serial)
    row = connection.execute(query.with_for_update() if locked else query).one_or_none()
    return None if row is None else _record(row)


def lock(connection: Connection, serial: str) -> CertificateRecord | None:
    """Return the certificate of a serial number, which nobody else changes until the end of the transaction."""
    connection.execute(select(_c.serial).where(_c.serial == serial).with_for_update())
    return find(connection, serial)


def living_successor(connection: Connection, serial: str) -> CertificateRecord | None:
    """Return what renews or replaces a certificate and has not ended; it may be an intent still."""
    row = connection.execute(select(*_COLUMNS).where(_c.predecessor == serial, _c.state.not_in(ENDED))).one_or_none()
    return None if row is None else _record(row)


def living_end(connection: Connection, serial: str) -> CertificateRecord | None:
    """Return the living one of those that came after a certificate, past successors that ended; perhaps an intent."""
    before = [serial]
    while before:
        query = select(*_COLUMNS).where(_c.predecessor.in_(before), _c.state != CertificateState.ABANDONED.value)
        rows = connection.execute(query.order_by(_c.id.desc())).all()
        living = next((row for row in rows if row.state not in _ENDED_STATES), None)
        if living is not None:
            return _record(living)
        before = [row.serial for row in rows]
    return None


def living_with_key_of(connection: Connection, serial: str) -> tuple[CertificateRecord, ...]:
    """Return every certificate for the key of this one, itself too, that is issued and has not ended, locked."""
    key = select(_c.spki_sha256).where(_c.serial == serial).scalar_subquery()
    living = _c.state.not_in(ENDED), _c.state != CertificateState.INTENDED.value
    serials = select(_c.serial).where(_c.spki_sha256 == key, *living).order_by(_c.id).with_for_update()
    found = (find(connection, each) for each in connection.execute(serials).scalars().all())
    return tuple(record for record in found if record is not None)


def newest_for_key(connection: Connection, spki_sha256: bytes) -> CertificateRecord | None:
    """Return the last certificate that was issued for a key, whatever its state, or None."""
    query = select(*_COLUMNS).where(_c.spki_sha256 == spki_sha256, _c.der.is_not(None))
    row = connection.execute(query.order_by(_c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _record(row)


def living_of(
    connection: Connection, *, holder: str | None = None, file_id: str | None = None
) -> tuple[CertificateRecord, ...]:
    """Return what is issued to a holder, or for a registration file, and has not ended, locked, oldest first.

    What others issued, whose lists are not ours, is left out.
    """
    statement = _of_holder(select(*_COLUMNS), holder, file_id).where(
        _c.state.in_(_LIVING_STATES), _c.issuer.in_([issuer.value for issuer in ISSUING_AUTHORITIES])
    )
    return tuple(_record(row) for row in connection.execute(statement.order_by(_c.id).with_for_update()))


def by_serials(connection: Connection, serials: Sequence[str]) -> tuple[CertificateRecord, ...]:
    """Return the certificates of these serial numbers, oldest first."""
    rows = connection.execute(select(*_COLUMNS).where(_c.serial.in_(serials)).order_by(_c.id))
    return tuple(_record(row) for row in rows)


def intents_of(connection: Connection, *, holder: str | None = None, file_id: str | None = None) -> tuple[str, ...]:
    """List the intents without a result for a holder, or for a registration file."""
    statement = _of_holder(select(_c.serial), holder, file_id).where(_c.state == CertificateState.INTENDED.value)
    return tuple(connection.execute(statement).scalars())


def _of_holder(statement: Select[Any], holder: str | None, file_id: str | None) -> Select[Any]:
    return statement.where(_c.holder == holder) if file_id is None else statement.where(_c.file_id == file_id)


def intents_with_key_of(connection: Connection, serial: str) -> tuple[str, ...]:
    """List the intents without a result for the key of a certificate."""
    key = select(_c.spki_sha256).where(_c.serial == serial).scalar_subquery()
    found = select(_c.serial).where(_c.spki_sha256 == key, _c.state == CertificateState.INTENDED.value)
    return tuple(connection.execute(found).scalars())


def page(
    connection: Connection, wanted: Search, *, before: str | None = None, limit: int = MAX_PAGE
) -> tuple[CertificateRecord, ...]:
    """List certificates in the order of a search; `before` continues after that serial number, or is InvalidInput."""
    rows = page_rows(connection, wanted, _COLUMNS, after=before, limit=min(max(limit, 1), MAX_PAGE))
    return tuple(_record(row) for row in rows)


def named(connection: Connection) -> dict[str, NamedCertificate]:
    """Return the certificates of the authorities and services, by name."""
    n = named_certificates.c
    told = (_c.state, _c.revoked_at, _c.reason, _c.invalidity_date)
    statement = select(n.name, n.key_label, _c.der, *told).join(certificates, n.serial == _c.serial)
    return {
        row.name: NamedCertificate(name=row.name, key_label=row.key_label, der=row.der, status=status_of(row))
        for row in connection.execute(statement)
        if row.der is not None
    }


def parents_of(connection: Connection, authority: str) -> tuple[bytes, ...]:
    """Return the certificates (DER) kept above an authority's own, its issuer first; none under a root of ours."""
    p = authority_parents.c
    statement = select(p.der).where(p.authority == authority).order_by(p.position)
    return tuple(connection.execute(statement).scalars())


def certificates_above(connection: Connection, authority: str) -> tuple[bytes, ...]:
    """Return the certificates (DER) above an authority's own, its issuer first and its anchor last."""
    kept = parents_of(connection, authority)
    if kept or authority == IssuerName.ROOT:
        return kept
    root = named(connection).get(IssuerName.ROOT)
    return () if root is None else (root.der,)
