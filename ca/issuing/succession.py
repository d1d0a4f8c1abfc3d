"""What comes after what: one certificate renews or replaces another, of the same holder, file and profile.

Renewal leaves the old certificate good until it ends. Replacement revokes it in the very transaction in which the
new one is recorded, so that a crash leaves the one state or the other, and never two for a key in strangers' hands.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from ca import certificate_queries
from ca.context import event
from ca.errors import IllegalTransition, KeyRefused
from ca.issuing.endings import end_key, revoke_on_record
from ca.profiles import ISSUING_AUTHORITIES, CertificateProfile
from ca.records import CertificateRecord
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound
from pki.instants import format_instant
from storage.unit_of_work import UnitOfWork

REPLACEMENT_REASONS: Final = frozenset(
    {RevocationReason.UNSPECIFIED, RevocationReason.SUPERSEDED, RevocationReason.KEY_COMPROMISE}
)
_LIVING: Final = frozenset({CertificateState.ISSUED, CertificateState.GOOD, CertificateState.ON_HOLD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """Which certificate an order comes after. With a `reason` the old one is replaced: revoked for it; else renewed.

    `at_any_time`: a machine's own renewal, which the profile's window does not hold back. `of_service`: the
    deployment's own, which must go on whatever became of the certificate before.
    """

    predecessor: str
    reason: RevocationReason | None = None
    at_any_time: bool = False
    of_service: bool = False

    def __post_init__(self) -> None:
        if self.reason is not None and self.reason not in REPLACEMENT_REASONS:
            said = ", ".join(sorted(REPLACEMENT_REASONS))
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a replacement is for {said}", reason="replacement.reason")

    @property
    def members(self) -> dict[str, str | None]:
        """What of it decides what the order does."""
        return {"predecessor": self.predecessor, "reason": None if self.reason is None else self.reason.value}


def check_succession(
    succession: Succession,
    old: CertificateRecord | None,
    *,
    profile: CertificateProfile,
    file_id: str | None,
    now: datetime,
) -> CertificateRecord:
    """Return the certificate that an order may come after.

    NotFound; InvalidInput (`identity-differs`) where holder or profile would change; IllegalTransition by its state;
    Conflict (`renewal-too-early`).
    """
    if old is None or old.state in (CertificateState.INTENDED, CertificateState.ABANDONED):
        raise _absent()
    if succession.of_service:
        return old
    if (old.file_id, str(old.profile)) != (file_id, str(profile.name)):
        raise InvalidInput(
            ErrorCode.IDENTITY_DIFFERS, "file and profile stay the same", reason="renewal.identity-differs"
        )
    if succession.reason is not None:
        _check_replaceable(old)
    elif old.state is not CertificateState.GOOD or not old.not_before <= now < old.not_after:
        raise IllegalTransition(f"a certificate that is {_said(old, now)} is not renewed", reason="renewal.not-good")
    elif not succession.at_any_time and (begins := old.not_after - profile.renewal_window) > now:
        raise Conflict(ErrorCode.RENEWAL_TOO_EARLY, f"from {format_instant(begins)} on", reason="renewal.too-early")
    return old


def _said(old: CertificateRecord, now: datetime) -> str:
    return CertificateState.EXPIRED.value if now >= old.not_after else old.state.value


def _check_replaceable(old: CertificateRecord) -> None:
    if old.issuer not in ISSUING_AUTHORITIES:
        raise NotAllowed(ErrorCode.NOT_ALLOWED, "what others issued is replaced by them", reason="replacement.foreign")
    if old.state in _LIVING:
        return
    if old.state is not CertificateState.REVOKED or old.status.reason not in REPLACEMENT_REASONS:
        why = "" if old.status.reason is None else f" ({old.status.reason})"
        raise IllegalTransition(
            f"a certificate that is {old.state}{why} is not replaced", reason="replacement.not-replaceable"
        )


def check_key(succession: Succession, old: CertificateRecord, spki_der: bytes) -> None:
    """Refuse to replace a certificate by another one for the same key: KeyRefused."""
    same = old.der is not None and Certificate.parse(old.der).spki_der == spki_der
    if succession.reason is not None and same:
        raise KeyRefused("what takes a lost key's place is for a new key", "replacement.same-key")


class Successions:
    """The successions of one transaction that writes intents: each certificate gets one living successor."""

    def __init__(self, connection: Connection, predecessors: Iterable[str]) -> None:
        """Lock what is succeeded, in one order for all: nobody waits in a circle."""
        self._connection = connection
        self._old = {serial: certificate_queries.lock(connection, serial) for serial in sorted(set(predecessors))}
        self._taken: set[str] = set()

    def take(self, succession: Succession, *, profile: CertificateProfile, file_id: str | None, now: datetime) -> None:
        """Let one order come after its predecessor; errors as `check_succession`.

        Conflict (`request-in-progress`) where another is being carried out, IllegalTransition where there is a
        living successor.
        """
        serial = succession.predecessor
        check_succession(succession, self._old[serial], profile=profile, file_id=file_id, now=now)
        living = certificate_queries.living_successor(self._connection, serial)
        if serial in self._taken or (living is not None and living.state is CertificateState.INTENDED):
            raise Conflict(ErrorCode.REQUEST_IN_PROGRESS, "another successor is being made", reason="renewal.at-once")
        if living is not None:
            raise IllegalTransition(f"it has a successor, {living.serial_hex}", reason="renewal.has-successor")
        self._taken.add(serial)


def succeed(unit: UnitOfWork, succession: Succession, serial: str, actor: str, now: datetime) -> None:
    """Record that `serial` came after its predecessor, and revoke what it replaces.

    IllegalTransition where a certificate that is renewed was suspended or revoked meanwhile, or one that is replaced
    was revoked for what nothing comes after.
    """
    old = certificate_queries.lock(unit.connection, succession.predecessor)
    if old is None:
        raise _absent()
    action = AuditAction.CERTIFICATE_RENEWED
    if succession.reason is None:
        if not succession.of_service and old.state not in (CertificateState.GOOD, CertificateState.EXPIRED):
            raise IllegalTransition(f"the certificate is {old.state} now", reason="renewal.not-good")
    else:
        action = AuditAction.CERTIFICATE_REPLACED
        if old.state is not CertificateState.EXPIRED:
            _check_replaceable(old)
        _revoke_replaced(unit, old, succession.reason, actor, now.replace(microsecond=0))
    facts = {} if succession.reason is None else {"reason": succession.reason.value}
    unit.audit.record(event(action, now, actor, serial, predecessor=old.serial_hex, **facts))
    unit.audit.record(event(action, now, actor, old.serial_hex, successor=serial, **facts))


def _absent() -> NotFound:
    return NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number", reason="renewal.absent")


def _revoke_replaced(
    unit: UnitOfWork, old: CertificateRecord, reason: RevocationReason, actor: str, now: datetime
) -> None:
    """Revoke one certificate, or every living one for its key where that is compromised."""
    if reason is RevocationReason.KEY_COMPROMISE:
        end_key(unit, old.serial_hex, actor, now)
    elif old.state in _LIVING:
        revoke_on_record(unit, old, reason, actor, now)
