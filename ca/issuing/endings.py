"""What comes to nothing before it is a certificate, and what ends with a key that is in strangers' hands."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from ca import certificate_queries, repository
from ca.context import WORKER, event
from ca.issuing.key_holders import mark_compromised
from ca.records import CertificateRecord
from ca.status.revocation import RevocationReason, encode_crl_entry, revoke
from pki.audit import AuditAction
from storage.unit_of_work import UnitOfWork


def abandon(unit: UnitOfWork, serials: Iterable[str], now: datetime) -> tuple[str, ...]:
    """Abandon what still are intents, each with its event; return those."""
    abandoned = repository.abandon(unit.connection, serials)
    for serial in abandoned:
        unit.audit.record(event(AuditAction.CERTIFICATE_ABANDONED, now, WORKER, serial))
    return abandoned


def revoke_on_record(
    unit: UnitOfWork,
    record: CertificateRecord,
    reason: RevocationReason,
    actor: str,
    now: datetime,
    *,
    invalidity_date: datetime | None = None,
) -> CertificateRecord:
    """Revoke one certificate, whose row is locked, with its event; `now` is a whole second."""
    status = revoke(record.status, now, reason, not_before=record.not_before, invalidity_date=invalidity_date)
    entry = encode_crl_entry(record.serial, status)
    changed = repository.change_status(
        unit.connection, record, status, now, crl_entry=entry, released_at=record.released_at
    )
    facts: dict[str, str | int] = {
        "issuer": str(record.issuer),
        "reason": reason.value,
        "version": changed.status_version,
    }
    if invalidity_date is not None:
        facts["invalidity_date"] = invalidity_date.isoformat()
    unit.audit.record(event(AuditAction.CERTIFICATE_REVOKED, now, actor, record.serial_hex, **facts))
    return changed


def revoke_all_on_record(
    unit: UnitOfWork, records: Sequence[CertificateRecord], reason: RevocationReason, actor: str, now: datetime
) -> None:
    """Revoke many certificates, whose rows are locked, each with its event; `now` is a whole second."""
    changed = [(record, revoke(record.status, now, reason, not_before=record.not_before)) for record in records]
    entries = [(record, status, encode_crl_entry(record.serial, status)) for record, status in changed]
    repository.list_all(unit.connection, entries, now)
    for record in records:
        facts = {"issuer": str(record.issuer), "reason": reason.value}
        unit.audit.record(event(AuditAction.CERTIFICATE_REVOKED, now, actor, record.serial_hex, **facts))


def end_key(
    unit: UnitOfWork, serial: str, actor: str, now: datetime, *, invalidity_date: datetime | None = None
) -> tuple[CertificateRecord, ...]:
    """Let nothing live, or be born, for the key of a certificate that is compromised; return what was revoked.

    The key's row comes first: orders that are writing intents for it are waited for, later ones are refused.
    """
    mark_compromised(unit.connection, serial)
    abandon(unit, certificate_queries.intents_with_key_of(unit.connection, serial), now)
    revoked = []
    for record in certificate_queries.living_with_key_of(unit.connection, serial):
        since = None if invalidity_date is None else max(invalidity_date, record.not_before)
        reason = RevocationReason.KEY_COMPROMISE
        revoked.append(revoke_on_record(unit, record, reason, actor, now, invalidity_date=since))
    return tuple(revoked)
