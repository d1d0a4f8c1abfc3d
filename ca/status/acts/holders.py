"""Revoking everything of a holder, or of one registration file, in one act: all of it or nothing.

Orders under way are abandoned, activation codes and enrolment secrets are void, every living certificate is revoked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from sqlalchemy import delete

from ca import certificate_queries
from ca import file_repository as files
from ca.config import AuthoritySettings
from ca.context import event
from ca.errors import FourEyesRequired
from ca.est.tables import est_secrets
from ca.issuing.endings import abandon, end_key, revoke_on_record
from ca.notices import NoticeKind
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer, SignedStatement, TlsPeer
from ca.records import CertificateRecord
from ca.registration import RegistrationFile
from ca.status.acts.notices import tell_holder
from ca.status.acts.records import StatusDoor
from ca.status.acts.suspension_repository import lock_activations
from ca.status.acts.watch import count_changes
from ca.status.revocation import RevocationReason
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput
from pki.jose import canonical_json
from storage.engine import Database
from storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderRevoked:
    """What was revoked, and how many orders were abandoned; nothing the second time."""

    file_id: str
    revoked: tuple[CertificateRecord, ...]
    abandoned: tuple[str, ...]


def holder_revocation_digest(reason: RevocationReason, *, whole_holder: bool) -> str:
    """Return the SHA-256, in hexadecimal, by which a signed statement says how everything is revoked."""
    return sha256(canonical_json({"reason": reason.value, "whole_holder": whole_holder})).hexdigest()


class HolderDesk:
    """Use cases on everything of a holder; safe to share between threads."""

    def __init__(
        self, database: Database, status: StatusDoor, gate: OfficerGate, settings: AuthoritySettings, clock: Clock
    ) -> None:
        self._database, self._status, self._gate = database, status, gate
        self._settings, self._clock = settings, clock

    def revoke_all(
        self, file_id: str, reason: RevocationReason, officer: Officer, *, whole_holder: bool
    ) -> HolderRevoked:
        """Revoke everything for a registration file; with `whole_holder`, for every file of its holder.

        Named by a file, because a holder's own name is a national code. NotAllowed as the gate's, which is asked
        about every file; FourEyesRequired for the officer's own; NotFound; InvalidInput for certificateHold.
        """
        if reason is RevocationReason.CERTIFICATE_HOLD:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a hold is not a revocation")
        now = self._clock.now().replace(microsecond=0)
        with self._database.begin() as unit:
            file = files.get_file(unit.connection, file_id)
            digest = holder_revocation_digest(reason, whole_holder=whole_holder)
            self._allow(unit, officer, file, digest)
            holder = file.registration.holder
            if holder in (officer.id, officer.national_code):
                raise FourEyesRequired("nobody revokes everything of their own", "revocation.own")
            one_file = None if whole_holder else file.id
            lock_activations(unit.connection, holder=holder, file_id=one_file)
            files.lock_file(unit.connection, file.id)  # behind activations, as where their codes are made
            intents = certificate_queries.intents_of(unit.connection, holder=holder, file_id=one_file)
            living = certificate_queries.living_of(unit.connection, holder=holder, file_id=one_file)
            self._allow_others(unit, officer, file, living)
            abandoned = abandon(unit, intents, now)
            concerned = sorted({file.id, *(record.file_id for record in living if record.file_id is not None)})
            unit.connection.execute(delete(est_secrets).where(est_secrets.c.file_id.in_(concerned)))
            revoked = _revoke(unit, living, reason, officer.id, now)
            if revoked or abandoned:
                self._record(unit, file, officer, reason, revoked, abandoned, now)
        for record in revoked:
            self._status.presign_now(record)
        return HolderRevoked(file_id=file.id, revoked=revoked, abandoned=abandoned)

    def _record(
        self,
        unit: UnitOfWork,
        file: RegistrationFile,
        officer: Officer,
        reason: RevocationReason,
        revoked: Sequence[CertificateRecord],
        abandoned: Sequence[str],
        now: datetime,
    ) -> None:
        count_changes(unit, self._settings, officer.id, [record.serial_hex for record in revoked], now)
        facts = {"certificates": len(revoked), "abandoned": len(abandoned)}
        done = event(AuditAction.HOLDER_REVOKED, now, officer.id, file.id, reason=reason.value, **facts)
        unit.audit.record(done)
        if revoked:
            tell_holder(unit.connection, NoticeKind.REVOKED, file.id, now, {"certificates": len(revoked)})

    def _allow(self, unit: UnitOfWork, officer: Officer, file: RegistrationFile, digest: str = "") -> None:
        scope = file.registration.scope
        act = Act.CERTIFICATE_REVOKE
        self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=file.id, digest=digest)

    def _allow_others(
        self, unit: UnitOfWork, officer: Officer, file: RegistrationFile, living: Sequence[CertificateRecord]
    ) -> None:
        """Ask about the holder's other files by the certificate that the officer proved to hold a moment ago.

        A signed statement speaks once, of the file that it names; it was taken in this very transaction.
        """
        if isinstance(officer.proof, SignedStatement):
            officer = replace(officer, proof=TlsPeer(certificate_sha256=officer.proof.certificate_sha256))
        others = {record.file_id for record in living if record.file_id not in (None, file.id)}
        for other in sorted(filter(None, others)):
            self._allow(unit, officer, files.get_file(unit.connection, other))


def _revoke(
    unit: UnitOfWork, living: Sequence[CertificateRecord], reason: RevocationReason, actor: str, now: datetime
) -> tuple[CertificateRecord, ...]:
    """Revoke what lives; a compromised key ends with whatever else is certified for it."""
    done: dict[str, CertificateRecord] = {}
    for record in living:
        if record.serial_hex in done:
            continue
        done[record.serial_hex] = revoke_on_record(unit, record, reason, actor, now)
        if reason is RevocationReason.KEY_COMPROMISE:
            done |= {also.serial_hex: also for also in end_key(unit, record.serial_hex, actor, now)}
    return tuple(done.values())
