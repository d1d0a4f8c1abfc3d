"""The issuing line: order → approved file → proof of possession → lint → intent → device → row.

Orders of many threads share commits and round trips to the device: what waits while a group is carried out goes
into the next one, whose twins are built and linted meanwhile. One order's refusal is nobody else's.
"""

import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from ca import certificate_queries
from ca import file_repository as files
from ca.config import AuthoritySettings, PersonSerial
from ca.context import WORKER, Authorities, Authority, AuthorityContext, nothing
from ca.errors import KeyRefused, ProfileMismatch
from ca.issuance import PreparedCertificate, TwinJudge, prepare
from ca.issuing import idempotency
from ca.issuing.carrying_out import MAX_ROUND, Candidate, CarryingOut, Outcome
from ca.issuing.file_states import check_state
from ca.issuing.idempotency import Earlier
from ca.issuing.key_proofs import ProofShown, shown_by
from ca.issuing.leave import LeaveWanted, ask_ahead
from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.issuing.service_orders import ServiceOrder
from ca.issuing.succession import Succession, check_key, check_succession
from ca.officers.gate import OfficerGate
from ca.profiles import CertificateProfile
from ca.pseudonyms import LASTING, period_of, pseudonyms_for, secret_of
from ca.records import CertificateRecord
from ca.registration import FileState, KeyStorage, RegistrationFile
from ca.subjects import Pseudonyms, Subject, subject_of
from ca.tbs import SERIAL_OCTETS, CertificateContent, serial_from, validity
from hsm.provider import KeyProvider, spki_of
from pki.clock import Clock
from pki.csr import Csr, parse_csr
from pki.errors import ErrorCode, InvalidInput, NotFound, ServiceError
from pki.identity import PersonIdentity
from pki.signatures import SubjectKey
from storage.engine import Database
from storage.gathering import Gathering

_Prepared = Candidate | Outcome


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database said of a round's orders before anything was prepared."""

    files: Mapping[str, RegistrationFile]
    earlier: Mapping[bytes, Earlier]
    authorities: Authorities
    predecessors: Mapping[str, CertificateRecord]


class IssuingLine(AuthorityContext):
    """The one way from an order to a certificate. Threads may share it; a process that forks makes its own."""

    def __init__(
        self,
        database: Database,
        keys: KeyProvider,
        settings: AuthoritySettings,
        clock: Clock,
        *,
        gate: OfficerGate | None = None,
        before_intent: Callable[[], object] = nothing,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(database, keys, settings, clock, gate=gate, random_bytes=random_bytes)
        self._carry_out = CarryingOut(database, keys, settings, clock, before_intent, self._gate)
        self._secrets: dict[str, bytes] = {}
        self._preparing = Gathering(self._prepare_all, limit=MAX_ROUND)
        self._carrying = Gathering(self._carry_out, limit=MAX_ROUND)

    def issue(self, order: IssueOrder) -> Issued:
        """Carry out one order, perhaps with those of other threads; return once its certificate is recorded.

        ProfileUnknown, ProfileMismatch, NotFound, NotApproved, NotAllowed (the officer), KeyRefused, LintFailed,
        InvalidInput (CSR) before any key is used; Conflict for an idempotency key (`idempotency-conflict`,
        `request-in-progress`); Unavailable when database or device do not answer.
        """
        # A linter that is heard first takes its time: nobody else waits for it.
        alone = order.lint_first is not None
        outcome = self._prepare_all([order])[0] if alone else self._preparing.run(order)
        if isinstance(outcome, Candidate):
            outcome = self._carrying.run(outcome)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def check_leave(self, order: IssueOrder) -> None:
        """Refuse ahead of time what its officer may not order; NotAllowed as `issue`, NotFound (file)."""
        with self._database.read() as connection:
            wanted = _leave(order, files.get_file(connection, order.file_id))
        if wanted is not None:
            ask_ahead(self._database, self._gate, wanted)

    def answer_before(self, order: IssueOrder) -> Issued | None:
        """Return what the same order made when it was given before; Conflict (`idempotency-conflict`)."""
        if order.key_digest is None:
            return None
        with self._database.read() as connection:
            earlier = idempotency.find_earlier(connection, [order.key_digest]).get(order.key_digest)
        return _answer_of(earlier, order)

    def issue_many(self, orders: Iterable[IssueOrder]) -> Iterator[Outcome]:
        """Carry out many orders in rounds, each prepared while the one before is carried out.

        What became of each comes in the orders' own sequence; a refused one takes none of the others down.
        """
        rest = iter(orders)
        with ThreadPoolExecutor(1, thread_name_prefix="issuing") as pool:
            under_way: Future[list[Outcome]] | None = None
            while taken := list(itertools.islice(rest, MAX_ROUND)):
                prepared = self._prepare_all(taken)
                if under_way is not None:
                    yield from under_way.result()
                under_way = pool.submit(self._finish, prepared)
            if under_way is not None:
                yield from under_way.result()

    def certify_service(self, order: ServiceOrder) -> Issued:
        """Issue for a key of the deployment's own services; Conflict where a successor is there already."""
        spki_der = spki_of(order.public_key)
        candidate = Candidate(
            prepared=self._prepare(
                self._settings.profiles.to_issue(order.profile),
                order.subject,
                order.authority,
                order.public_key,
                spki_der,
                hardware=order.hardware,
                unapproved=order.unapproved,
            ),
            authority=order.authority,
            spki_sha256=sha256(spki_der).digest(),
            holder=order.holder,
            name=order.name,
            actor=WORKER,
            channel=Channel.SERVICE,
            file_id=order.file_id,
            succession=Succession(predecessor=order.predecessor, of_service=True),
        )
        outcome = self._carrying.run(candidate)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def _finish(self, prepared: Sequence[_Prepared]) -> list[Outcome]:
        carried = iter(self._carry_out([one for one in prepared if isinstance(one, Candidate)]))
        return [next(carried) if isinstance(one, Candidate) else one for one in prepared]

    def _prepare_all(self, orders: Sequence[IssueOrder]) -> list[_Prepared]:
        """Build and lint what the orders ask for; the answer of an order that was given before is its answer."""
        self._carry_out.settle()
        keys = [order.key_digest for order in orders if order.key_digest is not None]
        try:
            authorities = self._authorities()
            with self._database.read() as connection:
                found = files.find_files(connection, {order.file_id for order in orders})
                earlier = idempotency.find_earlier(connection, keys)
                known = _Known(found, earlier, authorities, _predecessors(connection, orders))
        except ServiceError as error:
            return [error] * len(orders)
        return [self._prepared(order, known) for order in orders]

    def _prepared(self, order: IssueOrder, known: _Known) -> _Prepared:
        try:
            return _answer_of(known.earlier.get(order.key_digest or b""), order) or self._candidate(order, known)
        except ServiceError as error:
            return error

    def _candidate(self, order: IssueOrder, known: _Known) -> Candidate:
        profile = self._settings.profiles.to_issue(order.profile)
        file = known.files.get(order.file_id)
        if file is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no such registration file", reason="file.absent")
        check_state(file.state, unapproved=order.unapproved)
        _check_profile(profile, file)
        csr = parse_csr(order.csr)
        proof = self._proof(order, file, csr)
        if any(authority.certificate.spki_der == csr.spki_der for authority in known.authorities.values()):
            raise KeyRefused("this key is an authority's own", "key.of-an-authority")
        if order.succession is not None:
            old = known.predecessors.get(order.succession.predecessor)
            old = check_succession(order.succession, old, profile=profile, file_id=file.id, now=self._now())
            check_key(order.succession, old, csr.spki_der)
        registration = file.registration
        subject = subject_of(
            profile, registration, self._settings, file_id=file.id, pseudonyms=self._pseudonyms(profile, file)
        )
        authority = authority_of(profile, known.authorities)
        prepared = self._prepare(
            profile,
            subject,
            authority,
            csr.public_key,
            csr.spki_der,
            hardware=registration.key_storage is KeyStorage.HARDWARE,
            unapproved=order.unapproved and file.state is not FileState.APPROVED,
            lint_first=order.lint_first,
        )
        return Candidate(
            prepared=prepared,
            authority=authority,
            spki_sha256=sha256(csr.spki_der).digest(),
            holder=registration.holder,
            name=registration.display_name,
            actor=order.actor,
            channel=order.channel,
            file_id=file.id,
            succession=order.succession,
            marks=registration.marks,
            key_digest=order.key_digest,
            body_digest=b"" if order.key_digest is None else order.body_digest,
            leave=_leave(order, file),
            proof=proof,
        )

    def _proof(self, order: IssueOrder, file: RegistrationFile, csr: Csr) -> ProofShown | None:
        if order.key_proof is not None:
            return shown_by(order.key_proof, csr.der, file.id)
        registration = file.registration
        if self._settings.demand_key_proof and registration.is_for_a_card:
            detail = "a key of this file's holder is certified with a proof that it was made on the card"
            raise InvalidInput(ErrorCode.KEY_PROOF_INVALID, detail, reason="key.proof-missing")
        return None

    def _prepare(
        self,
        profile: CertificateProfile,
        subject: Subject,
        authority: Authority,
        public_key: SubjectKey,
        spki_der: bytes,
        *,
        hardware: bool,
        unapproved: bool = False,
        lint_first: TwinJudge | None = None,
    ) -> PreparedCertificate:
        not_before, not_after = validity(profile, authority.issuer, self._now(), self._settings, hardware=hardware)
        content = CertificateContent(
            profile=profile,
            subject=subject,
            issuer=authority.issuer,
            public_key=public_key,
            spki_der=spki_der,
            serial=serial_from(self._random_bytes(SERIAL_OCTETS)),
            not_before=not_before,
            not_after=not_after,
            hardware=hardware,
            unapproved=unapproved,
        )
        return prepare(content, self._settings, lint_first)

    def _pseudonyms(self, profile: CertificateProfile, file: RegistrationFile) -> Pseudonyms | None:
        identity = file.registration.identity
        wanted = profile.pseudonym or self._settings.person_serial is PersonSerial.OPAQUE
        if not wanted or not isinstance(identity, PersonIdentity):
            return None
        yearly, lasting = self._secret(period_of(self._now())), self._secret(LASTING)
        return pseudonyms_for(identity.national_code, self._settings, yearly=yearly, lasting=lasting)

    def _secret(self, period: str) -> bytes:
        """Return the secret of a period, which never changes: it is read once."""
        found = self._secrets.get(period)
        if found is None:
            found = self._secrets[period] = secret_of(self._database, period, self._random_bytes(32))
        return found


def _answer_of(earlier: Earlier | None, order: IssueOrder) -> Issued | None:
    """Answer an order by what its key made before; None where that has no certificate, and the order may go on."""
    if earlier is None or (earlier.der is None and earlier.body_sha256 == order.body_digest):
        return None
    return earlier.answer(order.body_digest)


def _leave(order: IssueOrder, file: RegistrationFile) -> LeaveWanted | None:
    if order.officer is None:
        return None
    return LeaveWanted(
        officer=order.officer,
        file_id=file.id,
        holder=file.registration.holder,
        scope=file.registration.scope,
        realm=file.realm,
        digest=order.body_digest,
    )


def _predecessors(connection: Connection, orders: Sequence[IssueOrder]) -> dict[str, CertificateRecord]:
    """Return what orders come after, by serial number; most orders come after nothing."""
    serials = {order.succession.predecessor for order in orders if order.succession is not None}
    found = (certificate_queries.find(connection, serial) for serial in serials)
    return {record.serial_hex: record for record in found if record is not None}


def _check_profile(profile: CertificateProfile, file: RegistrationFile) -> None:
    if not profile.needs_file:
        raise ProfileMismatch(f"{profile.name} is the deployment's own", "profile.service-only")
    if file.registration.kind is not profile.holder:
        raise ProfileMismatch(f"{profile.name} is not for a {file.registration.kind}", "profile.wrong-holder")


def authority_of(profile: CertificateProfile, authorities: Authorities) -> Authority:
    """Return the authority that issues a profile; NotFound where the deployment has none."""
    found = None if profile.issuer is None else authorities.get(profile.issuer)
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, f"no authority issues {profile.name} here", reason="profile.no-authority")
    return found
