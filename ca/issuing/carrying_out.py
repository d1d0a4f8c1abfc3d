"""Carrying out issuance: intents, then signatures, then certificates, each step durable before the next.

Two commits stand around each signature. Many candidates share both, and one round trip to the device. A crash
in between leaves intents, which `Recovery` abandons: their certificates were given to nobody.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from ca import file_repository as files
from ca import repository
from ca.config import AuthoritySettings
from ca.context import Authority, event
from ca.errors import KeyRefused
from ca.issuance import PreparedCertificate, sign_prepared_apart
from ca.issuing import idempotency
from ca.issuing.endings import abandon
from ca.issuing.file_states import check_state
from ca.issuing.idempotency import Earlier, Reservation
from ca.issuing.key_holders import KeyHolder, claim_keys
from ca.issuing.key_proofs import STATEMENT, Nonces, ProofShown, use
from ca.issuing.leave import Leave, LeaveWanted
from ca.issuing.orders import Channel, Issued
from ca.issuing.recovery import enrol
from ca.issuing.succession import Succession, Successions, succeed
from ca.linting.repository import keep_own_findings
from ca.officers.gate import OfficerGate
from ca.profiles import Activation, CertificateProfile, IssuerName
from ca.records import UNMARKED, HolderMarks
from ca.status.acts.closed import check_open, closed_authorities
from ca.status.revocation import CertificateState
from hsm.provider import KeyProvider
from pki.audit import AuditAction
from pki.certificates import serial_hex
from pki.clock import Clock
from pki.errors import ServiceError, Unavailable
from storage.engine import Database
from storage.presence import Presence, is_alive
from storage.unit_of_work import UnitOfWork

MAX_ROUND: Final = 256

Outcome = Issued | ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A certificate that passed the gate, with what its row says beyond it.

    `key_digest` and `body_digest` are the order's, where it came with an idempotency key. `leave` is what the gate is
    asked, where an officer ordered; `proof` what was stated of where the key was made.
    """

    prepared: PreparedCertificate
    authority: Authority
    spki_sha256: bytes
    holder: str = field(repr=False)
    name: str = field(repr=False)
    actor: str
    channel: Channel
    file_id: str | None = None
    succession: Succession | None = None
    marks: HolderMarks = UNMARKED
    key_digest: bytes | None = None
    body_digest: bytes = b""
    leave: LeaveWanted | None = field(default=None, repr=False)
    proof: ProofShown | None = None

    @property
    def serial(self) -> str:
        """The serial number, as rows name it."""
        return serial_hex(self.prepared.content.serial)

    @property
    def profile(self) -> CertificateProfile:
        """The profile of the certificate to be."""
        return self.prepared.content.profile

    @property
    def waits(self) -> bool:
        """Whether its holder activates it before it is good."""
        return self.profile.activation is Activation.HOLDER

    @property
    def first_state(self) -> CertificateState:
        """The state in which it is issued."""
        return CertificateState.ISSUED if self.waits else CertificateState.GOOD

    @property
    def claim(self) -> KeyHolder:
        """Whose the key becomes with this certificate."""
        return KeyHolder(spki_sha256=self.spki_sha256, holder=self.holder, profile=str(self.profile.name))


Candidates = Mapping[int, Candidate]
Outcomes = dict[int, Outcome]


def _check_holder(claim: KeyHolder, found: KeyHolder) -> None:
    """One key, one holder, one profile; a compromised key never again."""
    if found.compromised:
        raise KeyRefused("this key was revoked as compromised", "key.compromised")
    if found.holder != claim.holder:
        raise KeyRefused("this key is certified for another holder", "key.other-holder")
    if found != claim:
        raise KeyRefused("this key is certified for another purpose", "key.other-purpose")


def _refused_by(check: Callable[[Candidate], None], candidates: Candidates) -> Outcomes:
    refused: Outcomes = {}
    for index, candidate in candidates.items():
        try:
            check(candidate)
        except Unavailable:
            raise
        except ServiceError as error:
            refused[index] = error
    return refused


def _without(candidates: Candidates, outcomes: Mapping[int, object]) -> dict[int, Candidate]:
    return {index: candidate for index, candidate in candidates.items() if index not in outcomes}


def _for_all_or_each(step: Callable[[Candidates], Outcomes], candidates: Candidates) -> Outcomes:
    """Take one step for all candidates; where it fails for what may be one's own reason, for each alone."""
    if not candidates:
        return {}
    try:
        return step(candidates)
    except Unavailable as error:
        return dict.fromkeys(candidates, error)
    except ServiceError as error:
        if len(candidates) == 1:
            return dict.fromkeys(candidates, error)
    outcomes: Outcomes = {}
    for index, candidate in candidates.items():
        outcomes |= _for_all_or_each(step, {index: candidate})
    return outcomes


def _predecessor_of(item: tuple[int, Candidate]) -> str:
    """Order by what is locked at the record: nobody waits in a circle."""
    succession = item[1].succession
    return "" if succession is None else succession.predecessor


def _by_authority(candidates: Candidates) -> dict[IssuerName, dict[int, Candidate]]:
    found: dict[IssuerName, dict[int, Candidate]] = {}
    for index, candidate in candidates.items():
        found.setdefault(candidate.authority.issuer.label, {})[index] = candidate
    return found


class CarryingOut:
    """From prepared certificates to recorded ones; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keys: KeyProvider,
        settings: AuthoritySettings,
        clock: Clock,
        before_intent: Callable[[], object],
        gate: OfficerGate,
    ) -> None:
        self._gate = gate
        self._database = database
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._before_intent = before_intent
        self._presence = Presence(database)
        self._enrolled = ""
        self._given_up: set[str] = set()

    def __call__(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Carry out at most `MAX_ROUND` candidates; what becomes of each stands where it stood."""
        self.settle()
        left: Candidates = dict(enumerate(candidates))
        outcomes = _for_all_or_each(self._intend, left)
        left = _without(left, outcomes)
        signed = self._sign(left)
        outcomes |= {index: found for index, found in signed.items() if isinstance(found, ServiceError)}
        certificates = {index: found for index, found in signed.items() if isinstance(found, bytes)}
        outcomes |= _for_all_or_each(lambda some: self._record(some, certificates), _without(left, outcomes))
        for index, candidate in enumerate(candidates):
            outcome = outcomes[index]
            # After its intent, or where nobody knows whether the intent was written.
            if isinstance(outcome, ServiceError) and (index in left or isinstance(outcome, Unavailable)):
                self._given_up.add(candidate.serial)
        self.settle()
        return [outcomes[index] for index in range(len(candidates))]

    def settle(self) -> None:
        """Abandon intents of ours that came to nothing; those that the database does not take now wait."""
        serials = tuple(self._given_up)
        if not serials:
            return
        with suppress(Unavailable):
            with self._database.begin() as unit:
                abandon(unit, serials, self._clock.now())
            self._given_up.difference_update(serials)

    def _intend(self, candidates: Candidates) -> Outcomes:
        """Check what only one transaction can promise and write the intents; return those who get none."""
        self._before_intent()
        now, server = self._clock.now(), self._presence.confirm()
        outcomes: Outcomes = {}
        with self._database.begin() as unit:
            outcomes |= self._reserve(unit, candidates, now)
            reserved = {c.key_digest: c.serial for c in _without(candidates, outcomes).values() if c.key_digest}
            outcomes |= self._check_authorities(unit, _without(candidates, outcomes))
            outcomes |= self._check_leave(unit, _without(candidates, outcomes))
            outcomes |= self._check_files(unit, _without(candidates, outcomes))
            outcomes |= self._check_successions(unit, _without(candidates, outcomes), now)
            outcomes |= self._check_proofs(unit, _without(candidates, outcomes), now)
            outcomes |= self._check_keys(unit, _without(candidates, outcomes))
            left = _without(candidates, outcomes)
            kept = {candidate.key_digest for candidate in left.values()}
            idempotency.release(unit.connection, {key: of for key, of in reserved.items() if key not in kept})
            if left:
                if server != self._enrolled:
                    enrol(unit.connection, server, now)
                self._write_intents(unit, list(left.values()), server, now)
        if left:
            self._enrolled = server
        return outcomes

    def _reserve(self, unit: UnitOfWork, candidates: Candidates, now: datetime) -> Outcomes:
        """Answer orders that were given before; the others' keys are theirs from now on."""
        wanted = {
            index: Reservation(id=candidate.key_digest, body_sha256=candidate.body_digest, serial=candidate.serial)
            for index, candidate in candidates.items()
            if candidate.key_digest is not None
        }
        found = idempotency.reserve(unit.connection, wanted.values(), now)
        outcomes: Outcomes = {}
        taken: set[bytes] = set()
        for index, own in wanted.items():
            earlier = found[own.id]
            if earlier.serial == own.serial:
                continue
            same = earlier.body_sha256 == own.body_sha256
            if same and own.id not in taken and self._came_to_nothing(unit, earlier, now):
                idempotency.take_over(unit.connection, own, now)
                taken.add(own.id)
                continue
            try:
                outcomes[index] = earlier.answer(own.body_sha256)
            except ServiceError as error:
                outcomes[index] = error
        return outcomes

    def _came_to_nothing(self, unit: UnitOfWork, earlier: Earlier, now: datetime) -> bool:
        """Whether nothing became of an order; the intent of a server that is dead is abandoned.

        A server that seemed dead may have recorded its certificate meanwhile: then there is nothing to abandon.
        """
        if earlier.given_up:
            return True
        dead = earlier.open and earlier.server is not None and not is_alive(self._database, earlier.server)
        return dead and bool(abandon(unit, [earlier.serial], now))

    def _check_authorities(self, unit: UnitOfWork, candidates: Candidates) -> Outcomes:
        closed = closed_authorities(unit.connection)
        return _refused_by(lambda one: check_open(one.authority.issuer.label, closed), candidates) if closed else {}

    def _check_leave(self, unit: UnitOfWork, candidates: Candidates) -> Outcomes:
        leave = Leave(self._gate, unit)

        def check(candidate: Candidate) -> None:
            if candidate.leave is not None:
                leave.ask(candidate.leave)

        return _refused_by(check, candidates)

    def _check_files(self, unit: UnitOfWork, candidates: Candidates) -> Outcomes:
        states = files.file_states(unit.connection, {c.file_id for c in candidates.values() if c.file_id})

        def check(candidate: Candidate) -> None:
            if candidate.file_id is not None and candidate.channel is not Channel.SERVICE:
                check_state(states.get(candidate.file_id), unapproved=candidate.prepared.content.unapproved)

        return _refused_by(check, candidates)

    def _check_successions(self, unit: UnitOfWork, candidates: Candidates, now: datetime) -> Outcomes:
        wanted = [one.succession for one in candidates.values() if one.succession is not None]
        if not wanted:
            return {}
        successions = Successions(unit.connection, [one.predecessor for one in wanted])

        def check(candidate: Candidate) -> None:
            if candidate.succession is not None:
                successions.take(candidate.succession, profile=candidate.profile, file_id=candidate.file_id, now=now)

        return _refused_by(check, candidates)

    def _check_proofs(self, unit: UnitOfWork, candidates: Candidates, now: datetime) -> Outcomes:
        nonces = Nonces(unit.connection, [c.proof for c in candidates.values() if c.proof is not None], now)

        def check(candidate: Candidate) -> None:
            if candidate.proof is not None:
                nonces.check(candidate.proof)

        return _refused_by(check, candidates)

    def _check_keys(self, unit: UnitOfWork, candidates: Candidates) -> Outcomes:
        holders = claim_keys(unit.connection, [candidate.claim for candidate in candidates.values()])
        return _refused_by(lambda one: _check_holder(one.claim, holders[one.spki_sha256]), candidates)

    def _write_intents(self, unit: UnitOfWork, candidates: Sequence[Candidate], server: str, now: datetime) -> None:
        rows = []
        for group in _by_authority(dict(enumerate(candidates))).values():
            name = uuid.uuid4().hex
            for position, candidate in enumerate(group.values()):
                row = self._intent_row(candidate, now)
                row |= {"channel": candidate.channel.value, "server": server}
                row |= {"sign_group": name, "sign_position": position}
                row |= {"predecessor": candidate.succession and candidate.succession.predecessor}
                rows.append(row)
                facts = {
                    "issuer": row["issuer"],
                    "profile": row["profile"],
                    "profile_version": candidate.profile.version,
                    "file": candidate.file_id,
                    "tbs_sha256": candidate.prepared.tbs_sha256.hex(),
                    "unapproved": row["unapproved"],
                    "channel": candidate.channel.value,
                }
                if candidate.proof is not None:
                    facts |= {"key_proof": STATEMENT, "card": candidate.proof.proof.card}
                told = event(AuditAction.CERTIFICATE_INTENDED, now, candidate.actor, candidate.serial, **facts)
                unit.audit.record(told)
        repository.insert_intents(unit.connection, rows)
        use(unit.connection, [(c.proof.proof, c.serial) for c in candidates if c.proof is not None])
        keep_own_findings(unit.connection, {c.serial: c.prepared.findings for c in candidates}, now)

    def _intent_row(self, candidate: Candidate, now: datetime) -> dict[str, Any]:
        content = candidate.prepared.content
        return repository.intent_row(
            candidate.prepared,
            spki_sha256=candidate.spki_sha256,
            file_id=candidate.file_id,
            holder=candidate.holder,
            name=candidate.name,
            shard=self._settings.shard_of(content.issuer.label, content.serial),
            actor=candidate.actor,
            at=now,
            marks=candidate.marks,
        )

    def _sign(self, candidates: Candidates) -> dict[int, bytes | ServiceError]:
        signed: dict[int, bytes | ServiceError] = {}
        for own in _by_authority(candidates).values():
            authority = next(iter(own.values())).authority
            prepared = [candidate.prepared for candidate in own.values()]
            found = sign_prepared_apart(prepared, self._keys, authority.key_label, authority.issuer)
            signed |= dict(zip(own, found, strict=True))
        return signed

    def _record(self, candidates: Candidates, signed: Mapping[int, bytes]) -> Outcomes:
        now = self._clock.now()
        with self._database.begin() as unit:
            ders = {candidate.serial: signed[index] for index, candidate in candidates.items()}
            waiting = {c.serial: c.prepared.content.not_before for c in candidates.values() if c.waits}
            repository.complete(unit.connection, ders, now, waiting=waiting)
            for index, candidate in sorted(candidates.items(), key=_predecessor_of):
                digest = sha256(signed[index]).hexdigest()
                state = candidate.first_state.value
                facts = {"issuer": str(candidate.authority.issuer.label), "sha256": digest, "state": state}
                unit.audit.record(
                    event(AuditAction.CERTIFICATE_ISSUED, now, candidate.actor, candidate.serial, **facts)
                )
                if candidate.succession is not None:
                    succeed(unit, candidate.succession, candidate.serial, candidate.actor, now)
        return {
            index: Issued(
                der=signed[index],
                serial_hex=c.serial,
                issuer=c.authority.issuer.label.value,
                state=c.first_state,
            )
            for index, c in candidates.items()
        }
