"""Changing and reading the status of certificates; each change is one row update with its audit event."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from ca import certificate_queries, repository
from ca.context import AuthorityContext, event
from ca.inventory.search import MAX_WORD, Search, parse_serial
from ca.issuing.key_holders import mark_compromised
from ca.presigning import presigned_rows
from ca.profiles import ISSUING_AUTHORITIES, ProfileName
from ca.records import CertificateRecord, ToPresign
from ca.revocation import CertificateState, RevocationReason, Status, encode_crl_entry, hold, release, revoke
from ca.status_repository import store_responses
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError


def parse_reason(text: str) -> RevocationReason:
    """Read a revocation reason by its RFC 5280 name; InvalidInput."""
    try:
        return RevocationReason(text)
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"reason is one of {', '.join(RevocationReason)}") from error


class RevocationDesk(AuthorityContext):
    """Use cases on the status of one certificate."""

    def get(self, serial: str) -> CertificateRecord:
        """Return a certificate by its serial number in hexadecimal; NotFound."""
        wanted = parse_serial(serial)
        with self._database.read() as connection:
            found = certificate_queries.find(connection, wanted)
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number")
        return found

    def certificates(
        self,
        *,
        state: CertificateState | None = None,
        profile: ProfileName | None = None,
        holder: str | None = None,
        file_id: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[CertificateRecord, ...]:
        """List certificates, newest first, at most 1000; `before` continues after that serial number."""
        if not all(text is None or (0 < len(text) <= MAX_WORD and text.isprintable()) for text in (holder, file_id)):
            return ()  # nothing is recorded under such a name, and not every database can be asked for it
        wanted = Search(state=state, profile=profile, holder=holder, file_id=file_id)
        place = None if before is None else parse_serial(before)
        with self._database.read() as connection:
            return certificate_queries.page(connection, wanted, before=place, limit=limit)

    def hold(self, serial: str, actor: str) -> CertificateRecord:
        """Suspend a certificate from now on; IllegalTransition, NotFound."""
        return self._change(serial, actor, AuditAction.CERTIFICATE_HELD, lambda record, at: hold(record.status, at))

    def unhold(self, serial: str, actor: str) -> CertificateRecord:
        """Lift a suspension; IllegalTransition for anything else than a suspended certificate, NotFound."""
        return self._change(serial, actor, AuditAction.CERTIFICATE_RELEASED, lambda record, _at: release(record.status))

    def revoke(
        self, serial: str, reason: RevocationReason, actor: str, *, invalidity_date: datetime | None = None
    ) -> CertificateRecord:
        """Revoke for good; IllegalTransition, NotFound, InvalidInput for an invalidity date outside its life."""
        if invalidity_date is not None and invalidity_date.tzinfo is None:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the invalidity date has no time zone")
        since = None if invalidity_date is None else invalidity_date.astimezone(UTC).replace(microsecond=0)

        def change(record: CertificateRecord, at: datetime) -> Status:
            return revoke(record.status, at, reason, not_before=record.not_before, invalidity_date=since)

        return self._change(serial, actor, AuditAction.CERTIFICATE_REVOKED, change)

    def _check_reach(self, record: CertificateRecord) -> None:
        """Refuse what no list of ours could say: NotAllowed."""
        if record.issuer not in ISSUING_AUTHORITIES:
            raise NotAllowed(
                ErrorCode.NOT_ALLOWED, f"what the {record.issuer} issued is revoked where the {record.issuer}'s key is"
            )

    def _change(
        self,
        serial: str,
        actor: str,
        action: AuditAction,
        change: Callable[[CertificateRecord, datetime], Status],
    ) -> CertificateRecord:
        wanted = parse_serial(serial)
        now = self._now().replace(microsecond=0)
        with self._database.begin() as unit:
            record = certificate_queries.find(unit.connection, wanted)
            if record is None:
                raise NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number")
            self._check_reach(record)
            status = change(record, now)
            entry = encode_crl_entry(record.serial, status) if status.listed else None
            released = now if action is AuditAction.CERTIFICATE_RELEASED else record.released_at
            changed = repository.change_status(unit.connection, record, status, crl_entry=entry, released_at=released)
            if status.reason is RevocationReason.KEY_COMPROMISE:
                mark_compromised(unit.connection, wanted)
            facts = {"issuer": str(record.issuer), "reason": None if status.reason is None else status.reason.value}
            if status.invalidity_date is not None:
                facts["invalidity_date"] = status.invalidity_date.isoformat()
            unit.audit.record(event(action, now, actor, wanted, **facts))
        self._presign_now(changed, now)
        return changed

    def _presign_now(self, record: CertificateRecord, now: datetime) -> None:
        """Store the response that tells the new status; the old one stopped counting with the commit.

        The change is durable whatever becomes of this: without a response, the status is signed when asked for.
        """
        authority = self._authorities().get(record.issuer)
        if authority is None or authority.responder is None:
            return
        item = ToPresign(serial_hex=record.serial_hex, status=record.status, status_version=record.status_version)
        with suppress(ServiceError):
            rows = presigned_rows(self._keys, authority, [item], now, self._settings)
            with self._database.begin() as unit:
                store_responses(unit.connection, rows)
