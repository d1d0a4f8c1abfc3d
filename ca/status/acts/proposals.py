"""A revocation that reaches back voids old signatures: one officer proposes it, with evidence, another approves it.

The certificate is on hold from the proposal on, so that nothing is lost by waiting, and nobody lifts that before the
decision. Approved, it is revoked with the date in the past; refused, it stays on hold until an officer lifts it.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ca import certificate_queries
from ca.config import AuthoritySettings
from ca.context import event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.inventory.search import parse_serial
from ca.issuing.endings import end_key, revoke_on_record
from ca.notices import NoticeKind
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import NOTHING
from ca.profiles import ISSUING_AUTHORITIES
from ca.records import CertificateRecord
from ca.registration import MAX_REASON
from ca.status.acts import proposal_repository as repository
from ca.status.acts.notices import tell_holder
from ca.status.acts.proposal_repository import ProposalState, RevocationProposal
from ca.status.acts.records import StatusDoor
from ca.status.acts.watch import count_changes
from ca.status.revocation import CertificateState, RevocationReason, hold, revoke
from ca.status.revocation_desk import ask_leave, revocation_digest, whole_second, write_status
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound
from pki.instants import format_instant
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

_ID_OCTETS: Final = 10
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A proposal as it is now, its certificate, and every certificate that it changed (others for the same key too)."""

    proposal: RevocationProposal
    record: CertificateRecord
    changed: tuple[CertificateRecord, ...] = ()


def check_evidence(evidence: str | None) -> str:
    """Return the digest of evidence in small hexadecimal digits; InvalidInput for none."""
    plain = "" if evidence is None else evidence.lower()
    if _SHA256.fullmatch(plain) is None:
        raise InvalidInput(
            ErrorCode.INPUT_MALFORMED, "a date in the past needs the evidence's SHA-256", reason="revocation.evidence"
        )
    return plain


class ProposalDesk:
    """Use cases of revocations that reach back; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        status: StatusDoor,
        gate: OfficerGate,
        settings: AuthoritySettings,
        clock: Clock,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database, self._status, self._gate = database, status, gate
        self._settings, self._clock, self._random_bytes = settings, clock, random_bytes

    def propose(
        self, serial: str, reason: RevocationReason, invalidity_date: datetime, evidence: str, officer: Officer
    ) -> Decided:
        """Propose, and put the certificate on hold; the same proposal, made again, is answered again.

        NotAllowed as the gate's; NotFound; InvalidInput for no evidence or a date outside the certificate's life;
        IllegalTransition for what cannot be revoked, or where something else is proposed.
        """
        wanted, digest = parse_serial(serial), check_evidence(evidence)
        since = whole_second(invalidity_date)
        assert since is not None  # noqa: S101 - None is None's alone
        now = self._clock.now().replace(microsecond=0)
        with self._database.begin() as unit:
            record = certificate_queries.find(unit.connection, wanted, locked=True)
            said = revocation_digest(reason, since, digest)
            act = Act.CERTIFICATE_REVOKE
            ask_leave(self._gate, unit, officer, act, record, subject=wanted, digest=said)
            record = _ours(record)
            there = repository.open_proposal(unit.connection, wanted)
            if there is not None:
                if (there.reason, there.invalidity_date, there.evidence.hex()) != (reason, since, digest):
                    raise IllegalTransition("another revocation is proposed", reason="revocation.proposed")
                return Decided(proposal=there, record=record)
            revoke(record.status, now, reason, not_before=record.not_before, invalidity_date=since)
            proposal = RevocationProposal(
                id=self._random_bytes(_ID_OCTETS).hex(),
                serial=wanted,
                reason=reason,
                invalidity_date=since,
                evidence=bytes.fromhex(digest),
                proposed_by=officer.id,
                proposed_at=now,
                state=ProposalState.PROPOSED,
            )
            repository.add(unit.connection, proposal)
            unit.audit.record(event(AuditAction.REVOCATION_PROPOSED, now, officer.id, wanted, **_facts(proposal)))
            changed = self._hold(unit, record, officer, now)
        for each in changed:
            self._status.presign_now(each)
        return Decided(proposal=proposal, record=changed[0] if changed else record, changed=changed)

    def _hold(
        self, unit: UnitOfWork, record: CertificateRecord, officer: Officer, now: datetime
    ) -> tuple[CertificateRecord, ...]:
        """Suspend what is good; what waits for its holder or is on hold is told as suspended already."""
        if record.state is not CertificateState.GOOD:
            return ()
        held = write_status(unit, record, hold(record.status, now), AuditAction.CERTIFICATE_HELD, now, officer.id)
        count_changes(unit, self._settings, officer.id, [record.serial_hex], now)
        return (held,)

    def approve(self, proposal_id: str, officer: Officer) -> Decided:
        """Revoke as proposed. NotFound; NotAllowed as the gate's.

        FourEyesRequired for whoever proposed it and for the holder; IllegalTransition where it is decided, or the
        certificate was revoked otherwise or ended meanwhile.
        """
        now = self._clock.now().replace(microsecond=0)
        with self._database.begin() as unit:
            proposal, record = self._decide(unit, proposal_id, officer, Act.REVOCATION_APPROVE)
            if proposal.proposed_by == officer.id:
                raise FourEyesRequired("another officer approves", "revocation.two-officers")
            since = proposal.invalidity_date
            record = revoke_on_record(unit, record, proposal.reason, officer.id, now, invalidity_date=since)
            changed: tuple[CertificateRecord, ...] = (record,)
            if proposal.reason is RevocationReason.KEY_COMPROMISE:
                changed += end_key(unit, record.serial_hex, officer.id, now, invalidity_date=since)
            repository.decide(unit.connection, proposal.id, ProposalState.APPROVED, officer.id, now, "")
            approved = event(AuditAction.REVOCATION_APPROVED, now, officer.id, record.serial_hex, **_facts(proposal))
            unit.audit.record(approved)
            if record.file_id is not None:
                facts: dict[str, str | int] = {"certificates": len(changed), "since": format_instant(since)}
                tell_holder(unit.connection, NoticeKind.REVOKED, record.file_id, now, facts)
            proposal = repository.get(unit.connection, proposal.id)
        for each in changed:
            self._status.presign_now(each)
        return Decided(proposal=proposal, record=record, changed=changed)

    def refuse(self, proposal_id: str, officer: Officer, why: str) -> Decided:
        """Refuse, saying why; whoever proposed it may take it back so. The certificate stays on hold. As `approve`."""
        said = " ".join(why.split())
        if not 1 <= len(said) <= MAX_REASON or not said.isprintable():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a refusal says why, in 1 to {MAX_REASON} characters")
        now = self._clock.now()
        with self._database.begin() as unit:
            proposal, record = self._decide(unit, proposal_id, officer, Act.REVOCATION_REFUSE)
            repository.decide(unit.connection, proposal.id, ProposalState.REFUSED, officer.id, now, said)
            refused = event(AuditAction.REVOCATION_REFUSED, now, officer.id, record.serial_hex, proposal=proposal.id)
            unit.audit.record(refused)
            return Decided(proposal=repository.get(unit.connection, proposal.id), record=record)

    def _decide(
        self, unit: UnitOfWork, proposal_id: str, officer: Officer, act: Act
    ) -> tuple[RevocationProposal, CertificateRecord]:
        proposal = repository.get(unit.connection, proposal_id, locked=True)
        record = certificate_queries.find(unit.connection, proposal.serial, locked=True)
        ask_leave(self._gate, unit, officer, act, record, subject=proposal.id, digest=proposal.digest)
        if proposal.state is not ProposalState.PROPOSED:
            raise IllegalTransition("the proposal is decided", reason="revocation.decided")
        record = _ours(record)
        if record.holder in (officer.id, officer.national_code):
            raise FourEyesRequired("nobody decides on a certificate of their own", "revocation.own")
        return proposal, record

    def proposal(self, proposal_id: str) -> RevocationProposal:
        """Return a proposal; NotFound."""
        with self._database.read() as connection:
            return repository.get(connection, proposal_id)

    def open_proposals(self) -> tuple[RevocationProposal, ...]:
        """List what waits for a second officer, oldest first, at most 500."""
        with self._database.read() as connection:
            return repository.open_proposals(connection)

    def proposals_for(self, officer: Officer) -> tuple[RevocationProposal, ...]:
        """List what waits to an officer; NotAllowed."""
        with self._database.begin() as unit:
            self._gate.allow(officer, Act.INVENTORY_READ, NOTHING, unit, realm=officer.realm)
            return repository.open_proposals(unit.connection)


def _ours(record: CertificateRecord | None) -> CertificateRecord:
    if record is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number")
    if record.issuer not in ISSUING_AUTHORITIES:
        raise NotAllowed(ErrorCode.NOT_ALLOWED, f"what the {record.issuer} issued is revoked where its key is")
    return record


def _facts(proposal: RevocationProposal) -> dict[str, str]:
    return {
        "proposal": proposal.id,
        "reason": proposal.reason.value,
        "invalidity_date": format_instant(proposal.invalidity_date),
        "evidence": proposal.evidence.hex(),
    }
