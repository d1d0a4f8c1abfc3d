"""The life of connection tokens: asked for, approved by two, activated with a key made at the centre, held, ended.

A connection token is a registration file of the authority with three lights: they share one id, and the four
eyes are the file's. Each use case leaves its audit event in the transaction of its change.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Protocol

from sqlalchemy.exc import IntegrityError

from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.profiles import HolderKind, ProfileName
from ca.records import CertificateRecord
from ca.registration import FileState, KeyStorage, Registration, RegistrationFile, registration_json
from ca.status.revocation import CertificateState, RevocationReason
from ca.tokens import repository
from ca.tokens.access import OpensKeys
from ca.tokens.config import TokenSettings
from ca.tokens.life_cycle import BoundCertificate, ConnectionToken, Hold, TokenAct, TokenKind, TokenState, next_state
from ca.tokens.lights import Answer
from ca.tokens.oauth import OAuthServer
from ca.tokens.registry import CentreRegistry, is_system_id
from ca.tokens.status import TokenStatus
from ca.tokens.watch import ALIVE, SweepReport, Watch, hear
from pki.access_tokens import Assurance
from pki.audit import AuditAction, AuditEvent
from pki.certificates import Certificate
from pki.clock import Clock
from pki.csr import parse_csr
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, Unavailable
from pki.identity import parse_siam_id
from pki.jwks import thumbprint
from pki.signatures import load_public_key
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

MAX_REASON: Final = 256
_REVOCABLE: Final = frozenset({CertificateState.GOOD, CertificateState.ON_HOLD})


class HasDer(Protocol):
    """A certificate that was issued."""

    @property
    def der(self) -> bytes:
        """Its DER bytes."""
        ...


class IssuesCertificates(Protocol):
    """What the life of a connection token needs of the authority."""

    def submit_file(self, data: bytes, officer: Officer, act: Act, subject: str) -> RegistrationFile:
        """Put a registration before the approvers."""
        ...

    def approve(self, file_id: str, officer: Officer) -> RegistrationFile:
        """Give one of the two approvals."""
        ...

    def file(self, file_id: str) -> RegistrationFile:
        """Return a registration file."""
        ...

    def issue(self, profile: str, file_id: str, csr: bytes, actor: str) -> HasDer:
        """Issue a certificate to the holder of an approved file."""
        ...

    def get(self, serial: str) -> CertificateRecord:
        """Return a certificate of the register."""
        ...

    def revoke(
        self, serial: str, reason: RevocationReason, officer: Officer, *, act: Act, subject: str
    ) -> CertificateRecord:
        """Revoke a certificate for good, as a part of what the officer does."""
        ...

    def take_back(self, serial: str, actor: str) -> CertificateRecord:
        """Revoke a certificate that was issued in vain."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """A token in force and the certificate it works with."""

    token: ConnectionToken
    certificate_der: bytes


class TokenService:
    """Use cases on connection tokens. Threads may share it."""

    def __init__(
        self,
        database: Database,
        authority: IssuesCertificates,
        keys: OpensKeys,
        registry: CentreRegistry,
        settings: TokenSettings,
        clock: Clock,
        gate: OfficerGate,
        believed: Clock | None = None,
    ) -> None:
        """Issue access tokens by `believed`, a clock that raises Unavailable while it is not to be trusted."""
        self._database, self._authority, self._keys, self._gate = database, authority, keys, gate
        self._believed = believed or clock
        self._registry, self._settings, self._clock = registry, settings, clock
        self._watch = Watch(database, registry, settings, clock)

    @cached_property
    def oauth(self) -> OAuthServer:
        """The OAuth endpoints over the same tokens."""
        return OAuthServer(self._database, self._keys, self._settings, self._clock, believed=self._believed)

    # -- asking and approving ---------------------------------------------------------------------

    def request(self, siam_id: str, system_id: str, medium: KeyStorage, officer: Officer) -> ConnectionToken:
        """Ask for a HIX token for one system of a centre; its lights are shown from then on.

        InvalidInput for malformed ids, NotAllowed (`gate-closed`) when the registry knows no such centre,
        Unavailable (`registry-silent`) when it cannot say.
        """
        siam, now = parse_siam_id(siam_id), self._clock.now()
        if not is_system_id(system_id):
            raise InvalidInput(ErrorCode.IDENTITY_INVALID, "a system id has 1 to 64 printable characters")
        report = self._registry.ask(siam, system_id, now)
        if report.centre is None:
            if any(answer.answer is Answer.FAILED for answer in report.answers):
                raise NotAllowed(ErrorCode.GATE_CLOSED, "the registry knows no such centre")
            raise Unavailable(ErrorCode.REGISTRY_SILENT)
        registration = Registration(kind=HolderKind.CENTRE, identity=report.centre, key_storage=medium)
        document = registration_json(registration)
        file = self._authority.submit_file(document, officer, Act.TOKEN_REQUEST, request_subject(siam_id, system_id))
        token = ConnectionToken(
            id=file.id,
            kind=TokenKind.HIX,
            siam_id=siam,
            system_id=system_id,
            medium=medium,
            state=TokenState.REQUESTED,
            requested_by=officer.id,
            requested_at=now,
            changed_at=now,
        )
        with self._database.begin() as unit:
            repository.add_token(unit.connection, token)
            self._tell(unit, AuditAction.TOKEN_REQUESTED, token, officer.id, siam_id=str(siam), system_id=system_id)
            return hear(unit, token, report.answers, self._settings, now).token

    def approve(self, token_id: str, officer: Officer) -> ConnectionToken:
        """Give one of the two approvals; nobody approves what they asked for, nor twice (`four-eyes`)."""
        token = self.get(token_id)
        next_state(token.state, TokenAct.APPROVE)
        return self._follow_file(token, self._authority.approve(token_id, officer))

    def _follow_file(self, token: ConnectionToken, file: RegistrationFile) -> ConnectionToken:
        """The second approval of the file is the token's."""
        if file.state is not FileState.APPROVED:
            return token
        with self._database.begin() as unit:
            current = repository.lock_token(unit.connection, token.id)
            if current.state is not TokenState.REQUESTED:
                return current
            officers = ",".join(approval.officer for approval in file.approvals)
            return self._step(unit, current, TokenAct.APPROVE, AuditAction.TOKEN_APPROVED, officers)

    # -- activation -------------------------------------------------------------------------------

    def activate(self, token_id: str, csr: bytes, officer: Officer) -> Activation:
        """Issue the `hix-tls` certificate for the centre's own key and put the token in force.

        NotAllowed (`not-approved`, `gate-closed`); Unavailable (`registry-silent`) while a light has no fresh
        yes: a new right needs three answers, only a right that is there survives silence.
        """
        token, by = self.get(token_id), officer.id
        if token.state is TokenState.REQUESTED:  # a crash may have come between the file's approval and ours
            token = self._follow_file(token, self._authority.file(token_id))
        if token.state is TokenState.REQUESTED:
            raise NotAllowed(ErrorCode.NOT_APPROVED, "a connection token needs two approvals")
        next_state(token.state, TokenAct.ACTIVATE)
        self._allow(officer, Act.TOKEN_ACTIVATE, token_id)
        _require_fresh_yes(self._watch.refresh(token_id))
        key_id = thumbprint(load_public_key(parse_csr(csr).spki_der))
        with self._database.read() as connection:
            if repository.find_by_key(connection, key_id) is not None:
                raise _key_taken()
        certificate = Certificate.parse(self._authority.issue(ProfileName.HIX_TLS, token_id, csr, by).der)
        bound = BoundCertificate(
            serial=certificate.serial_hex,
            sha256=certificate.sha256,
            not_after=certificate.not_after,
            key_id=key_id,
            spki=certificate.spki_der,
        )
        try:
            token = self._bind(token_id, bound, by)
        except Conflict:
            self._authority.take_back(bound.serial, by)
            raise
        return Activation(token=token, certificate_der=certificate.der)

    def _bind(self, token_id: str, certificate: BoundCertificate, actor: str) -> ConnectionToken:
        try:
            with self._database.begin() as unit:
                token = replace(repository.lock_token(unit.connection, token_id), certificate=certificate)
                return self._step(unit, token, TokenAct.ACTIVATE, AuditAction.TOKEN_ACTIVATED, actor)
        except IntegrityError as error:
            raise _key_taken() from error

    # -- holds and the end ------------------------------------------------------------------------

    def suspend(self, token_id: str, officer: Officer, reason: str) -> ConnectionToken:
        """Put a hold on a token in force, beside whatever its lights say; Conflict when there is one."""
        said = " ".join(reason.split())
        if not 1 <= len(said) <= MAX_REASON or not said.isprintable():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a hold says why, in 1 to {MAX_REASON} characters")
        now, by, file = self._clock.now(), officer.id, self._authority.file(token_id)
        with self._database.begin() as unit:
            token = repository.lock_token(unit.connection, token_id)
            self._allow_on(officer, Act.TOKEN_SUSPEND, file, unit)
            if token.hold is not None:
                raise Conflict(ErrorCode.STATE_ILLEGAL, "the connection token is on hold")
            if token.state is not TokenState.SUSPENDED:
                next_state(token.state, TokenAct.SUSPEND)
            held = replace(token, state=TokenState.SUSPENDED, hold=Hold(by=by, at=now, reason=said), changed_at=now)
            repository.save_token(unit.connection, held)
            self._tell(unit, AuditAction.TOKEN_SUSPENDED, held, by, cause="hold")
            return held

    def restore(self, token_id: str, officer: Officer) -> ConnectionToken:
        """Lift the hold; the token is in force again unless a light failed. Conflict when there is none."""
        now, by, file = self._clock.now(), officer.id, self._authority.file(token_id)
        with self._database.begin() as unit:
            token = repository.lock_token(unit.connection, token_id)
            self._allow_on(officer, Act.TOKEN_RESTORE, file, unit)
            if token.hold is None:
                raise Conflict(ErrorCode.STATE_ILLEGAL, "there is no hold to lift")
            gate = repository.standing_of(unit.connection, token_id).gate(self._settings.policy, now)
            state = token.state if gate.failed else next_state(token.state, TokenAct.RESTORE)
            lifted = replace(token, state=state, hold=None, changed_at=now)
            repository.save_token(unit.connection, lifted)
            self._tell(unit, AuditAction.TOKEN_RESTORED, lifted, by, cause="hold")
            return lifted

    def terminate(self, token_id: str, officer: Officer) -> ConnectionToken:
        """End a token for good and revoke its certificate."""
        token, by = self.get(token_id), officer.id
        next_state(token.state, TokenAct.TERMINATE)
        bound = token.certificate
        if bound is not None and self._authority.get(bound.serial).state in _REVOCABLE:
            reason, act = RevocationReason.CESSATION_OF_OPERATION, Act.TOKEN_TERMINATE
            self._authority.revoke(bound.serial, reason, officer, act=act, subject=token_id)
        else:
            self._allow(officer, Act.TOKEN_TERMINATE, token_id)
        with self._database.begin() as unit:
            ended = replace(repository.lock_token(unit.connection, token_id), hold=None)
            return self._step(unit, ended, TokenAct.TERMINATE, AuditAction.TOKEN_TERMINATED, by)

    def _allow(self, officer: Officer, act: Act, token_id: str) -> None:
        """Ask for leave in a transaction of its own: what follows takes several."""
        file = self._authority.file(token_id)
        with self._database.begin() as unit:
            self._allow_on(officer, act, file, unit)

    def _allow_on(self, officer: Officer, act: Act, file: RegistrationFile, unit: UnitOfWork) -> None:
        scope = file.registration.scope
        self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=file.id)

    # -- looking ----------------------------------------------------------------------------------

    def get(self, token_id: str) -> ConnectionToken:
        """Return a token; NotFound."""
        with self._database.read() as connection:
            return repository.get_token(connection, token_id)

    def status(self, token_id: str) -> TokenStatus:
        """Return a token with its lights and what the gate allows now; NotFound."""
        with self._database.read() as connection:
            standing = repository.standing_of(connection, token_id)
        gate = standing.gate(self._settings.policy, self._clock.now())
        return TokenStatus(token=standing.token, lights=standing.lights, gate=gate)

    def list(self, states: Collection[TokenState] = ALIVE, *, limit: int = 500) -> tuple[ConnectionToken, ...]:
        """List tokens in these states, by id."""
        with self._database.read() as connection:
            return repository.list_tokens(connection, states, limit=limit)

    def refresh(self, token_id: str) -> TokenStatus:
        """Ask the registry about one token now and follow its answers; NotFound."""
        return self._watch.refresh(token_id)

    def sweep(self) -> SweepReport:
        """Ask the registry about every living token and follow its answers; for the worker, idempotent."""
        return self._watch.sweep()

    # -- writing ----------------------------------------------------------------------------------

    def _step(
        self, unit: UnitOfWork, token: ConnectionToken, act: TokenAct, action: AuditAction, actor: str
    ) -> ConnectionToken:
        """Take a locked token one step on and leave the event of it."""
        stepped = replace(token, state=next_state(token.state, act), changed_at=self._clock.now())
        repository.save_token(unit.connection, stepped)
        serial = stepped.certificate.serial if stepped.certificate else None
        self._tell(unit, action, stepped, actor, certificate=serial)
        return stepped

    def _tell(
        self, unit: UnitOfWork, action: AuditAction, token: ConnectionToken, actor: str, **facts: str | None
    ) -> None:
        event = AuditEvent(
            action=action,
            at=self._clock.now(),
            actor=actor,
            subject=token.id,
            facts={"state": str(token.state), **facts},
        )
        unit.audit.record(event)


def _require_fresh_yes(status: TokenStatus) -> None:
    gate = status.gate
    if gate.failed:
        raise NotAllowed(ErrorCode.GATE_CLOSED, ", ".join(f"{light.kind} ({light.source})" for light in gate.failed))
    if not gate.open or gate.assurance is not Assurance.FRESH:
        raise Unavailable(ErrorCode.REGISTRY_SILENT)


def request_subject(siam_id: str, system_id: str) -> str:
    """Say what a signed statement about a request for a token is about."""
    return f"{siam_id} {system_id}"


def _key_taken() -> Conflict:
    return Conflict(ErrorCode.KEY_REFUSED, "this key belongs to another connection token")
