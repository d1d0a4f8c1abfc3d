"""Use cases on realms, officers, their certificates and roles; each leaves one audit event.

A role is asked for by one administrator and granted by another, and neither is whose role it is. What somebody may
grant lies within what they may do themselves, so no chain of grants reaches further than its beginning.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ca import certificate_queries
from ca import file_repository as files
from ca.context import event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers import repository
from ca.officers.gate import OfficerGate, check_purpose
from ca.officers.identity import MAX_OFFICER, Act, Officer, Role
from ca.officers.realms import Level, Realm, check_below, reach
from ca.officers.records import Grant, OfficerRecord, OfficerState, RequestState, RoleRequest
from ca.officers.scopes import NOTHING, check_names, names_text
from ca.profiles import HolderKind
from ca.status.revocation import CertificateState
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound
from pki.identity import parse_name, parse_national_code
from pki.identity_scheme import IdentityScheme
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

FOUNDERS: Final = 3
"""How many officers a deployment's own ceremony enrols: one who asks and two who approve."""
_ID_OCTETS: Final = 10
_MAX_REASON: Final = 256


def _facts(grant: Grant) -> dict[str, str | None]:
    scope = grant.scope
    return {
        "role": grant.role.value,
        "realm": grant.realm,
        "professions": names_text(scope.professions),
        "provinces": names_text(scope.provinces),
    }


class OfficerDesk:
    """Who may do what, and how that changes. Threads may share it."""

    def __init__(
        self,
        database: Database,
        gate: OfficerGate,
        clock: Clock,
        identities: IdentityScheme,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Take the professions and provinces that scopes may name from `identities`."""
        self._database, self._gate, self._clock, self._random_bytes = database, gate, clock, random_bytes
        self._identities = identities

    # -- realms -----------------------------------------------------------------------------------

    def add_realm(self, realm: Realm, by: Officer) -> Realm:
        """Add a realm below another, whose limits it has where it names none; return it with them.

        InvalidInput when it is not lower or reaches further, NotFound, Conflict.
        """
        if realm.parent is None:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "there is one topmost realm, made with the deployment")
        check_names(realm.scope, self._identities)
        with self._database.begin() as unit:
            chain = repository.chain_of(unit.connection, realm.parent)
            limit = reach(chain)
            self._gate.allow(by, Act.REALM_ADD, realm.scope.meet(limit), unit, realm=realm.parent, subject=realm.id)
            realm = replace(realm, scope=realm.scope.within(limit))
            for above in chain:
                check_below(realm, above)
            self._insert_realm(unit, realm, by)
        return realm

    def _insert_realm(self, unit: UnitOfWork, realm: Realm, by: Officer) -> None:
        repository.insert_realm(unit.connection, realm)
        scope = realm.scope
        facts = {"professions": names_text(scope.professions), "provinces": names_text(scope.provinces)}
        now = self._clock.now()
        unit.audit.record(event(AuditAction.REALM_CHANGED, now, by.id, realm.id, parent=realm.parent, **facts))

    def realms(self) -> tuple[Realm, ...]:
        """List the realms, by id."""
        with self._database.read() as connection:
            return repository.all_realms(connection)

    # -- officers ---------------------------------------------------------------------------------

    def found(
        self, officer_id: str, name: str, certificate_der: bytes, roles: tuple[Role, ...], by: Officer
    ) -> OfficerRecord:
        """Enrol one of the first officers with roles in the topmost realm, which is made if there is none.

        For a deployment's own ceremony; Conflict (`conflict`) once there are three officers: from then on, four eyes.
        """
        with self._database.begin() as unit:
            connection = unit.connection
            self._gate.allow(by, Act.OFFICER_ENROL, NOTHING, unit)
            if repository.count_officers(connection) >= FOUNDERS:
                raise Conflict(ErrorCode.CONFLICT, "the first officers are enrolled; four eyes enrol every other")
            if not repository.all_realms(connection):
                self._insert_realm(unit, Realm(id="ministry", parent=None, level=Level.MINISTRY, name="Ministry"), by)
            realm = repository.chain_of(connection, None)[0].id
            record = self._enrol(unit, officer_id, name, None, realm, by)
            self._bind(unit, record, certificate_der, by, founding=True)
            for role in roles:
                grant = Grant(role=role, realm=realm)
                repository.give(connection, officer_id, grant, self._clock.now())
                facts = {**_facts(grant), "founding": True}
                now = self._clock.now()
                unit.audit.record(event(AuditAction.ROLE_GRANTED, now, by.id, officer_id, **facts))
            return repository.get_officer(connection, officer_id)

    def check_founding(self) -> None:
        """Return while the first officers are not all enrolled; Conflict from then on."""
        with self._database.read() as connection:
            founded = len(repository.page_of_officers(connection, limit=FOUNDERS))
        if founded >= FOUNDERS:
            raise Conflict(ErrorCode.CONFLICT, "the first officers are enrolled; four eyes enrol every other")

    def enrol(self, officer_id: str, name: str, national_code: str | None, realm: str, by: Officer) -> OfficerRecord:
        """Enrol an officer, who may do nothing before a certificate is bound and a role granted."""
        code = None if national_code is None else str(parse_national_code(national_code))
        with self._database.begin() as unit:
            repository.chain_of(unit.connection, realm)
            self._gate.allow(by, Act.OFFICER_ENROL, NOTHING, unit, realm=realm, subject=officer_id)
            return self._enrol(unit, officer_id, name, code, realm, by)

    def _enrol(
        self, unit: UnitOfWork, officer_id: str, name: str, national_code: str | None, realm: str, by: Officer
    ) -> OfficerRecord:
        if not 0 < len(officer_id) <= MAX_OFFICER or not officer_id.isprintable():
            raise InvalidInput(ErrorCode.IDENTITY_INVALID, "an officer's id has 1 to 128 printable characters")
        record = OfficerRecord(
            id=officer_id,
            name=parse_name(name),
            national_code=national_code,
            realm=realm,
            state=OfficerState.ACTIVE,
        )
        now = self._clock.now()
        repository.insert_officer(unit.connection, record, by.id, now)
        unit.audit.record(event(AuditAction.OFFICER_ENROLLED, now, by.id, officer_id, realm=realm))
        return record

    def bind(self, officer_id: str, certificate_der: bytes, by: Officer) -> OfficerRecord:
        """Bind a certificate of the register to the officer whom it was issued to.

        NotFound; InvalidInput (`identity-differs`) when it was issued to somebody else; NotAllowed when it is not
        good, not for logging in, or was issued without approvals; nobody binds their own (`four-eyes`).
        """
        with self._database.begin() as unit:
            record = repository.get_officer(unit.connection, officer_id)
            self._gate.allow(by, Act.OFFICER_BIND, NOTHING, unit, realm=record.realm, subject=officer_id)
            _not_own(by, officer_id, "officer.own-certificate", "nobody binds a certificate to themself")
            self._bind(unit, record, certificate_der, by, founding=False)
        return record

    def _bind(
        self, unit: UnitOfWork, officer: OfficerRecord, certificate_der: bytes, by: Officer, *, founding: bool
    ) -> None:
        certificate = Certificate.parse(certificate_der)
        row = certificate_queries.find(unit.connection, certificate.serial_hex)
        if row is None or row.der != certificate_der:
            raise NotFound(ErrorCode.NOT_FOUND, "no such certificate in the register")
        if row.state is not CertificateState.GOOD or (row.unapproved and not founding):
            reason = "officer.certificate-not-good" if not row.unapproved else "officer.certificate-unapproved"
            raise NotAllowed(ErrorCode.NOT_ALLOWED, f"the certificate is {row.state}", reason=reason)
        check_purpose(certificate)
        if row.file_id is None or row.holder != _holder(officer, unit, row.file_id):
            raise InvalidInput(ErrorCode.IDENTITY_DIFFERS, "the certificate was issued to somebody else")
        now = self._clock.now()
        repository.bind(unit.connection, officer.id, certificate.sha256, row.serial_hex, by.id, now)
        bound = event(AuditAction.OFFICER_BOUND, now, by.id, officer.id, certificate=row.serial_hex, founding=founding)
        unit.audit.record(bound)

    def suspend(self, officer_id: str, by: Officer, reason: str) -> OfficerRecord:
        """Let an officer do nothing more until restored; IllegalTransition when it is so already."""
        said = " ".join(reason.split())
        if not 1 <= len(said) <= _MAX_REASON or not said.isprintable():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a suspension says why, in 1 to {_MAX_REASON} characters")
        return self._change(officer_id, OfficerState.SUSPENDED, by, said)

    def restore(self, officer_id: str, by: Officer) -> OfficerRecord:
        """Let a suspended officer act again."""
        return self._change(officer_id, OfficerState.ACTIVE, by, "")

    def _change(self, officer_id: str, state: OfficerState, by: Officer, reason: str) -> OfficerRecord:
        suspends = state is OfficerState.SUSPENDED
        act = Act.OFFICER_SUSPEND if suspends else Act.OFFICER_RESTORE
        action = AuditAction.OFFICER_SUSPENDED if suspends else AuditAction.OFFICER_RESTORED
        with self._database.begin() as unit:
            record = repository.get_officer(unit.connection, officer_id)
            self._gate.allow(by, act, NOTHING, unit, realm=record.realm, subject=officer_id)
            if not repository.set_state(unit.connection, officer_id, state):
                raise IllegalTransition(f"the officer is {state}")
            facts = {"reason": reason} if reason else {}
            unit.audit.record(event(action, self._clock.now(), by.id, officer_id, **facts))
            return repository.get_officer(unit.connection, officer_id)

    def officers(self, after: str = "") -> tuple[OfficerRecord, ...]:
        """List officers, by id, from the one behind `after`, at most 500."""
        with self._database.read() as connection:
            return repository.page_of_officers(connection, after)

    def officer(self, officer_id: str) -> OfficerRecord:
        """Return one officer; NotFound."""
        with self._database.read() as connection:
            return repository.get_officer(connection, officer_id)

    # -- roles ------------------------------------------------------------------------------------

    def request_role(self, officer_id: str, grant: Grant, by: Officer) -> RoleRequest:
        """Ask for a role for another officer; `by` must be able to do themself what the role covers.

        What the grant does not name is as the realm has it.
        """
        check_names(grant.scope, self._identities)
        now = self._clock.now()
        with self._database.read() as connection:
            limit = reach(repository.chain_of(connection, grant.realm))
        grant = replace(grant, scope=grant.scope.within(limit))
        request = RoleRequest(
            id=self._random_bytes(_ID_OCTETS).hex(),
            officer=officer_id,
            grant=grant,
            state=RequestState.REQUESTED,
            requested_by=by.id,
            requested_at=now,
        )
        with self._database.begin() as unit:
            repository.get_officer(unit.connection, officer_id)
            self._gate.allow(by, Act.ROLE_REQUEST, grant.scope, unit, realm=grant.realm, subject=officer_id)
            _not_own(by, officer_id, "officer.own-role", "nobody asks for a role of their own")
            repository.insert_request(unit.connection, request)
            facts = {"request": request.id, **_facts(grant)}
            unit.audit.record(event(AuditAction.ROLE_REQUESTED, now, by.id, officer_id, **facts))
        return request

    def approve_role(self, request_id: str, by: Officer) -> RoleRequest:
        """Grant what another administrator asked for; nobody grants their own role or request (`four-eyes`)."""
        return self._decide(request_id, by, Act.ROLE_APPROVE)

    def refuse_role(self, request_id: str, by: Officer) -> RoleRequest:
        """Refuse what was asked for."""
        return self._decide(request_id, by, Act.ROLE_REFUSE)

    def _decide(self, request_id: str, by: Officer, act: Act) -> RoleRequest:
        now, granted = self._clock.now(), act is Act.ROLE_APPROVE
        state = RequestState.GRANTED if granted else RequestState.REFUSED
        with self._database.begin() as unit:
            connection = unit.connection
            request = repository.get_request(connection, request_id)
            grant = request.grant
            self._gate.allow(by, act, grant.scope, unit, realm=grant.realm, subject=request_id)
            if granted:
                _not_own(by, request.officer, "officer.own-role", "nobody grants their own role")
                _not_own(by, request.requested_by, "officer.submitted-it", "whoever asked does not grant")
            if not repository.decide(connection, request_id, state, by.id, now):
                raise IllegalTransition("the request is decided already")
            if granted:
                repository.give(connection, request.officer, grant, now)
            facts = {"request": request_id, "requested_by": request.requested_by, **_facts(grant)}
            action = AuditAction.ROLE_GRANTED if granted else AuditAction.ROLE_REFUSED
            unit.audit.record(event(action, now, by.id, request.officer, **facts))
            return repository.get_request(connection, request_id)

    def remove_role(self, officer_id: str, role: Role, realm: str, by: Officer) -> OfficerRecord:
        """Take a role away at once; one administrator suffices. NotFound when it is not held."""
        with self._database.begin() as unit:
            repository.chain_of(unit.connection, realm)
            self._gate.allow(by, Act.ROLE_REMOVE, NOTHING, unit, realm=realm, subject=officer_id)
            if not repository.take(unit.connection, officer_id, role, realm):
                raise NotFound(ErrorCode.NOT_FOUND, "the officer does not hold this role")
            facts = {"role": role.value, "realm": realm}
            unit.audit.record(event(AuditAction.ROLE_REMOVED, self._clock.now(), by.id, officer_id, **facts))
            return repository.get_officer(unit.connection, officer_id)

    def requests(self) -> tuple[RoleRequest, ...]:
        """List the requests for roles that wait for a decision, oldest first."""
        with self._database.read() as connection:
            return repository.open_requests(connection)


def _holder(officer: OfficerRecord, unit: UnitOfWork, file_id: str) -> str | None:
    """Return the holder whom an officer's certificate names by its kind of file; a system may bear any name."""
    match files.get_file(unit.connection, file_id).registration.kind:
        case HolderKind.OFFICER:
            return officer.id
        case HolderKind.CLINICIAN | HolderKind.CITIZEN:
            return officer.national_code
    return None


def _not_own(by: Officer, whose: str, reason: str, detail: str) -> None:
    if by.id == whose:
        raise FourEyesRequired(detail, reason)
