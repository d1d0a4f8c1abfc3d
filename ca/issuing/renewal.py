"""Renewing and replacing certificates of holders: the same file and profile, and the registries are asked again.

The words of the registries are kept with the file before anything is issued. What may follow what, and that there is
one living successor, the issuing line decides (`ca.issuing.succession`).
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from ca import certificate_queries
from ca import file_repository as files
from ca.context import event
from ca.inventory.search import parse_serial
from ca.issuing.key_proofs import KeyProof
from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.issuing.succession import Succession
from ca.officers.identity import Officer
from ca.records import CertificateRecord
from ca.registration_rules import check_words, parse_reason
from ca.registration_terms import RegistrationTerms
from ca.registries import repository as words_repository
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.clock import Clock
from pki.csr import parse_csr
from pki.errors import ErrorCode, NotFound
from storage.engine import Database


class IssuingDoor(Protocol):
    """Where certificates are ordered."""

    def issue(self, order: IssueOrder) -> Issued:
        """Carry out one order, or refuse it with a ServiceError."""
        ...

    def check_leave(self, order: IssueOrder) -> None:
        """Refuse what its officer may not order, before anybody is asked about a holder."""
        ...

    def answer_before(self, order: IssueOrder) -> Issued | None:
        """Return what the same order made when it was given before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to come after a certificate: for which key (CSR, DER or PEM), and, of a replacement, why.

    `key_proof` is what a station states of a key made on a card. `silence_reason` says why it is taken that a
    registry does not answer, as approvers say it.
    """

    serial: str
    csr: bytes = field(repr=False)
    reason: RevocationReason | None = None
    key_proof: KeyProof | None = None
    silence_reason: str | None = None
    channel: Channel = Channel.CLI
    idempotency_key: str | None = field(default=None, repr=False)


class RenewalDesk:
    """Use cases of renewal and replacement. Threads may share it."""

    def __init__(self, database: Database, door: IssuingDoor, terms: RegistrationTerms, clock: Clock) -> None:
        self._database, self._door, self._terms, self._clock = database, door, terms, clock

    def order(self, wish: Wish, officer: Officer | None = None) -> IssueOrder:
        """Return the order that a wish comes to, whose `body_digest` and file an officer signs.

        NotFound; InvalidInput for a reason that is none of a replacement's.
        """
        record = self._record(wish.serial)
        return IssueOrder(
            profile=str(record.profile),
            file_id=record.file_id or "",
            csr=wish.csr,
            actor="" if officer is None else officer.id,
            officer=officer,
            channel=wish.channel,
            idempotency_key=wish.idempotency_key,
            succession=Succession(predecessor=record.serial_hex, reason=wish.reason),
            key_proof=wish.key_proof,
        )

    def carry_out(self, wish: Wish, officer: Officer) -> Issued:
        """Renew a certificate, or replace it where the wish has a reason.

        A wish that comes again under its idempotency key is answered; nobody is asked about the holder.
        As `IssuingLine.issue`; Conflict (`renewal-too-early`, `request-in-progress`), IllegalTransition, InvalidInput
        (`identity-differs`) as `check_succession`; NotAllowed (`registry-refused`), Unavailable (`registry-silent`).
        """
        order = self.order(wish, officer)
        self._door.check_leave(order)
        before = self._door.answer_before(order)
        if before is not None:
            return before
        self.ask_again(order.file_id, officer.id, wish.silence_reason)
        return self._door.issue(order)

    def succeed_by_holder(self, record: CertificateRecord, csr: bytes, actor: str) -> Issued:
        """Renew a machine's certificate by its own proof, at any time of its life.

        A successor that never reached the machine is its answer where the request is for the same key; by one for
        another key it is replaced, as superseded. A registry's silence is nobody's to accept here: Unavailable
        (`registry-silent`).
        """
        with self._database.read() as connection:
            lost = certificate_queries.living_end(connection, record.serial_hex)
        succession = Succession(predecessor=record.serial_hex, at_any_time=True)
        if lost is not None and lost.der is not None:
            if lost.state is CertificateState.GOOD and Certificate.parse(lost.der).spki_der == parse_csr(csr).spki_der:
                return Issued(der=lost.der, serial_hex=lost.serial_hex, issuer=lost.issuer.value, repeated=True)
            succession = Succession(predecessor=lost.serial_hex, reason=RevocationReason.SUPERSEDED)
        self.ask_again(record.file_id or "", actor, None)
        return self._door.issue(
            IssueOrder(
                profile=str(record.profile),
                file_id=record.file_id or "",
                csr=csr,
                actor=actor,
                channel=Channel.EST,
                succession=succession,
            )
        )

    def ask_again(self, file_id: str, actor: str, silence_reason: str | None) -> None:
        """Ask the registries about a file's holder and keep their words; refuse as approvals do."""
        accepted = None if silence_reason is None else parse_reason(silence_reason, "whoever accepts silence")
        with self._database.read() as connection:
            file = files.get_file(connection, file_id)
        now = self._clock.now()
        questions = self._terms.registries.questions(file.registration.identity, now)
        if not questions:
            return
        words = self._terms.interviewer.ask(questions, now)
        facts = {word.source.value: word.answer.value for word in words}
        if accepted is not None:
            facts["silence_reason_sha256"] = sha256(accepted.encode()).hexdigest()
        with self._database.begin() as unit:
            round_number = files.count_round(unit.connection, file_id, now)
            words_repository.insert_words(unit.connection, file_id, round_number, words)
            unit.audit.record(event(AuditAction.FILE_CHECKED, now, actor, file_id, round=round_number, **facts))
        check_words(words, questions, now, silence_accepted=accepted is not None)

    def _record(self, serial: str) -> CertificateRecord:
        wanted = parse_serial(serial)
        with self._database.read() as connection:
            record = certificate_queries.find(connection, wanted)
        if record is None or record.der is None or record.file_id is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no certificate of a holder has this number", reason="renewal.absent")
        return record
