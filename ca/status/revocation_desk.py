"""Changing and reading the status of certificates; each change is one row update with its audit event.

A revoker changes it, whose role must cover the holder's registration file; what has no such file, a service's own
certificate, takes a role over everything in the topmost realm.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from ca import certificate_queries, repository
from ca import file_repository as files
from ca.context import AuthorityContext, event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.inventory.search import MAX_WORD, Search, parse_serial
from ca.issuing.endings import end_key
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import EVERYTHING, NOTHING
from ca.profiles import ISSUING_AUTHORITIES, ProfileName
from ca.records import CertificateRecord, ToPresign
from ca.status.acts.proposal_repository import open_proposal
from ca.status.acts.watch import count_changes
from ca.status.answer_keeper import AnswerKeeper
from ca.status.answer_store import ChangedStatus
from ca.status.revocation import (
    CertificateState,
    RevocationReason,
    Status,
    activate,
    encode_crl_entry,
    hold,
    release,
    revoke,
)
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError, Unavailable
from pki.instants import format_instant
from pki.jose import canonical_json
from storage.unit_of_work import UnitOfWork

TYPING_TIME: Final = timedelta(minutes=10)
"""An invalidity date this much before now means now: it was now when the officer wrote it down."""

Leave = Callable[[UnitOfWork, CertificateRecord | None], None]
"""Returns where a change of status may be made in this transaction; NotAllowed. None is a certificate that is not."""


def parse_reason(text: str) -> RevocationReason:
    """Read a revocation reason by its RFC 5280 name; InvalidInput."""
    try:
        return RevocationReason(text)
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"reason is one of {', '.join(RevocationReason)}") from error


def revocation_digest(reason: RevocationReason, invalidity_date: datetime | None, evidence: str | None = None) -> str:
    """Return the SHA-256, in hexadecimal, by which a signed statement says how a certificate is revoked.

    `evidence` is the digest of what a revocation that reaches back rests on.
    """
    since = whole_second(invalidity_date)
    members = {"reason": reason.value, "invalidity_date": None if since is None else format_instant(since)}
    return sha256(canonical_json(members | ({} if evidence is None else {"evidence": evidence}))).hexdigest()


def reaches_back(invalidity_date: datetime | None, now: datetime) -> bool:
    """Whether a revocation would void signatures made before now, which two officers decide."""
    since = whole_second(invalidity_date)
    return since is not None and since < now - TYPING_TIME


def whole_second(instant: datetime | None) -> datetime | None:
    """Return an invalidity date as a list holds it; InvalidInput without a time zone."""
    if instant is None:
        return None
    if instant.tzinfo is None:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the invalidity date has no time zone")
    return instant.astimezone(UTC).replace(microsecond=0)


def _revocation(reason: RevocationReason, since: datetime | None) -> Callable[[CertificateRecord, datetime], Status]:
    def change(record: CertificateRecord, at: datetime) -> Status:
        return revoke(record.status, at, reason, not_before=record.not_before, invalidity_date=since)

    return change


def _freely(_unit: UnitOfWork, _record: CertificateRecord | None) -> None:
    """Ask nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """Which certificate is changed, and what the ledger says of it; `counted`: an officer took something away."""

    serial: str
    action: AuditAction
    actor: str
    counted: bool = False


def ask_leave(
    gate: OfficerGate,
    unit: UnitOfWork,
    officer: Officer,
    act: Act,
    record: CertificateRecord | None,
    *,
    subject: str,
    digest: str = "",
) -> None:
    """Ask the gate about a certificate by its registration file; about one that is not, as about nothing."""
    scope, realm = (NOTHING if record is None else EVERYTHING), None
    if record is not None and record.file_id is not None:
        file = files.get_file(unit.connection, record.file_id)
        scope, realm = file.registration.scope, file.realm
    gate.allow(officer, act, scope, unit, realm=realm, subject=subject, digest=digest)


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

    def hold(self, serial: str, officer: Officer) -> CertificateRecord:
        """Suspend a certificate from now on; NotAllowed as the gate's, IllegalTransition, NotFound."""
        action = AuditAction.CERTIFICATE_HELD
        wanted = _Change(serial=parse_serial(serial), action=action, actor=officer.id, counted=True)
        leave = self._leave(officer, Act.CERTIFICATE_HOLD, wanted.serial)
        return self._change(wanted, leave, lambda record, at: hold(record.status, at))

    def unhold(self, serial: str, officer: Officer) -> CertificateRecord:
        """Lift a suspension; NotAllowed as the gate's, and (`four-eyes`) of the officer's own certificate.

        IllegalTransition for anything else than a suspended certificate, NotFound.
        """
        wanted = _Change(serial=parse_serial(serial), action=AuditAction.CERTIFICATE_RELEASED, actor=officer.id)
        allowed = self._leave(officer, Act.CERTIFICATE_RELEASE, wanted.serial)

        def leave(unit: UnitOfWork, record: CertificateRecord | None) -> None:
            allowed(unit, record)
            if record is not None and record.holder in (officer.id, officer.national_code):
                raise FourEyesRequired("nobody lifts a hold of their own", "officer.own-certificate")
            if record is not None and open_proposal(unit.connection, record.serial_hex) is not None:
                raise IllegalTransition("its revocation is proposed and not decided", reason="revocation.proposed")

        return self._change(wanted, leave, lambda record, _at: release(record.status))

    def revoke(
        self,
        serial: str,
        reason: RevocationReason,
        officer: Officer,
        *,
        invalidity_date: datetime | None = None,
        act: Act = Act.CERTIFICATE_REVOKE,
        subject: str | None = None,
    ) -> CertificateRecord:
        """Revoke for good; `act` and `subject` are what the officer does, where the revocation is but a part of it.

        For `keyCompromise`, whatever else is certified for the key is revoked too, and intents for it are abandoned.
        NotAllowed as the gate's, and (`four-eyes`) for an invalidity date in the past, which is proposed instead
        (`ca.status.acts.proposals`); IllegalTransition, NotFound, InvalidInput for one outside its life.
        """
        action = AuditAction.CERTIFICATE_REVOKED
        wanted = _Change(serial=parse_serial(serial), action=action, actor=officer.id, counted=True)
        since = whole_second(invalidity_date)
        self._check_date(since)
        digest = revocation_digest(reason, since) if act is Act.CERTIFICATE_REVOKE else ""
        leave = self._leave(officer, act, wanted.serial if subject is None else subject, digest)
        return self._change(wanted, leave, _revocation(reason, since))

    def take_back(self, serial: str, actor: str) -> CertificateRecord:
        """Revoke what was issued in vain (cessationOfOperation): whoever had it issued was allowed to, nobody got it.

        IllegalTransition, NotFound.
        """
        wanted = _Change(serial=parse_serial(serial), action=AuditAction.CERTIFICATE_REVOKED, actor=actor)
        return self._change(wanted, _freely, _revocation(RevocationReason.CESSATION_OF_OPERATION, None))

    def _leave(self, officer: Officer, act: Act, subject: str, digest: str = "") -> Leave:
        def allow(unit: UnitOfWork, record: CertificateRecord | None) -> None:
            ask_leave(self._gate, unit, officer, act, record, subject=subject, digest=digest)

        return allow

    def _check_date(self, since: datetime | None) -> None:
        """Refuse what one officer alone does not decide: FourEyesRequired."""
        if reaches_back(since, self._now()):
            raise FourEyesRequired("a date in the past is for two officers", "revocation.two-officers")

    def _check_reach(self, record: CertificateRecord) -> None:
        """Refuse what no list of ours could say: NotAllowed."""
        if record.issuer not in ISSUING_AUTHORITIES:
            raise NotAllowed(
                ErrorCode.NOT_ALLOWED, f"what the {record.issuer} issued is revoked where the {record.issuer}'s key is"
            )

    def _change(
        self, wanted: _Change, leave: Leave, change: Callable[[CertificateRecord, datetime], Status]
    ) -> CertificateRecord:
        now = self._now().replace(microsecond=0)
        with self._database.begin() as unit:
            record = certificate_queries.find(unit.connection, wanted.serial, locked=True)
            leave(unit, record)
            if record is None:
                raise NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number")
            self._check_reach(record)
            changed = write_status(unit, record, change(record, now), wanted.action, now, wanted.actor)
            if wanted.counted:
                count_changes(unit, self._settings, wanted.actor, [record.serial_hex], now)
            also = _end_key_of(unit, changed, wanted.actor, now)
        for each in (changed, *also):
            self.presign_now(each)
        return changed

    def activate_within(
        self, unit: UnitOfWork, serials: Sequence[str], actor: str, way: str
    ) -> tuple[CertificateRecord, ...]:
        """Make good what waits for its holder, in a transaction of the caller's; IllegalTransition for anything else.

        The rows must be locked. Once it is committed, `presign_now` makes it known. Unavailable (`recovery-pending`).
        """
        self._before_activation()
        now = self._now().replace(microsecond=0)
        found = [certificate_queries.find(unit.connection, serial) for serial in serials]
        return tuple(
            write_status(unit, record, activate(record.status), AuditAction.CERTIFICATE_ACTIVATED, now, actor, way=way)
            for record in found
            if record is not None
        )

    def presign_now(self, record: CertificateRecord) -> None:
        """Take away the stored answer that a change made untrue, and store the one that tells the new status.

        The change is durable whatever becomes of this: without a response, the status is signed when asked for. A
        store that cannot be written answers nothing more until the feed of changes is followed again.
        """
        store = self._answers
        if store is None or not store.exists():
            return
        change = ChangedStatus(record.issuer, record.serial_hex, record.status_version, not record.status.listed)
        try:
            store.withdraw([change])
        except Unavailable:
            store.distrust()
            return
        with suppress(ServiceError):
            authority = self._authorities().get(record.issuer)
            if authority is not None and authority.responder is not None:
                now = self._believed.now()
                keeper = AnswerKeeper(store, self._database, self._keys, self._settings, self._believed)
                keeper.sign(authority, [_to_presign(record)], now)


def _to_presign(record: CertificateRecord) -> ToPresign:
    return ToPresign(
        serial_hex=record.serial_hex,
        issuer=record.issuer,
        status=record.status,
        status_version=record.status_version,
        cert_sha256=None if record.der is None else sha256(record.der).digest(),
    )


def _end_key_of(
    unit: UnitOfWork, changed: CertificateRecord, actor: str, now: datetime
) -> tuple[CertificateRecord, ...]:
    """Return what was revoked with a certificate, where its key was compromised: whatever else is for that key."""
    status = changed.status
    if status.reason is not RevocationReason.KEY_COMPROMISE:
        return ()
    return end_key(unit, changed.serial_hex, actor, now, invalidity_date=status.invalidity_date)


_LIFTING: Final = (AuditAction.CERTIFICATE_RELEASED, AuditAction.CERTIFICATE_ACTIVATED)


def write_status(
    unit: UnitOfWork,
    record: CertificateRecord,
    status: Status,
    action: AuditAction,
    now: datetime,
    actor: str,
    **more: str,
) -> CertificateRecord:
    """Write a new status with its audit event; lists may drop the entry of one that was lifted.

    `now` is a whole second; the certificate's row is locked.
    """
    entry = encode_crl_entry(record.serial, status) if status.listed else None
    released = now if action in _LIFTING else record.released_at
    changed = repository.change_status(unit.connection, record, status, now, crl_entry=entry, released_at=released)
    facts: dict[str, str | int | None] = {
        "issuer": str(record.issuer),
        "reason": None if status.reason is None else status.reason.value,
        "version": changed.status_version,  # by which acts of one second are told again in their order
        **more,
    }
    if status.invalidity_date is not None:
        facts["invalidity_date"] = status.invalidity_date.isoformat()
    unit.audit.record(event(action, now, actor, record.serial_hex, **facts))
    return changed
