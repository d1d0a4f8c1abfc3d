"""Registration files through four eyes: submit, approve twice, refuse with a reason."""

from hashlib import sha256

from ca import file_repository as files
from ca.context import AuthorityContext, event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.identity import Act, Officer
from ca.registration import MAX_REASON, FileState, RegistrationFile, parse_registration
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput
from pki.identity import PersonIdentity
from storage.unit_of_work import UnitOfWork

_ID_OCTETS = 10


def _check_eyes(file: RegistrationFile, officer: Officer) -> None:
    """Nobody approves what they submitted, nor a file about themselves, nor twice."""
    if officer.id == file.submitted_by:
        raise FourEyesRequired("whoever submitted a file does not approve it", "officer.submitted-it")
    identity = file.registration.identity
    own = officer.national_code if isinstance(identity, PersonIdentity) else None
    about_self = isinstance(identity, PersonIdentity) and identity.national_code in (own, officer.id)
    if about_self or (file.registration.licence is not None and officer.id == file.registration.licence):
        raise FourEyesRequired("nobody approves their own file", "officer.own-file")
    if any(officer.id == given.officer for given in file.approvals):
        raise FourEyesRequired("this officer approved the file before", "officer.twice")


class RegistrationDesk(AuthorityContext):
    """Use cases on registration files; each leaves one audit event."""

    def submit_file(
        self, data: bytes, officer: Officer, act: Act = Act.REGISTRATION_SUBMIT, subject: str = ""
    ) -> RegistrationFile:
        """Read a registration (JSON) and put it before the approvers; InvalidInput as `parse_registration`.

        `act` and `subject` are what the officer does, where the file is but a part of it. NotAllowed as the gate's.
        """
        registration = parse_registration(data)
        now = self._now()
        file = RegistrationFile(
            id=self._random_bytes(_ID_OCTETS).hex(),
            registration=registration,
            state=FileState.SUBMITTED,
            submitted_by=officer.id,
            submitted_at=now,
            realm=officer.realm,
        )
        digest = sha256(data).hexdigest() if act is Act.REGISTRATION_SUBMIT else ""
        with self._database.begin() as unit:
            self._gate.allow(officer, act, registration.scope, unit, realm=file.realm, subject=subject, digest=digest)
            files.insert_file(unit.connection, file)
            facts = {"kind": registration.kind.value, "key_storage": registration.key_storage.value}
            unit.audit.record(event(AuditAction.FILE_SUBMITTED, now, officer.id, file.id, **facts))
        return file

    def approve(self, file_id: str, officer: Officer) -> RegistrationFile:
        """Give one of the two approvals; NotAllowed as the gate's.

        FourEyesRequired for the submitter, the file's subject, and a second yes by one officer;
        IllegalTransition when the file is decided; NotFound.
        """
        now = self._now()
        with self._database.begin() as unit:
            file = files.get_file(unit.connection, file_id)
            if file.state is not FileState.SUBMITTED:
                raise IllegalTransition(f"the file is {file.state}")
            _check_eyes(file, officer)
            self._allow(officer, Act.REGISTRATION_APPROVE, file, unit)
            state = files.add_approval(unit.connection, file_id, officer, now)
            unit.audit.record(event(AuditAction.FILE_APPROVED, now, officer.id, file_id, state=state.value))
            return files.get_file(unit.connection, file_id)

    def refuse(self, file_id: str, officer: Officer, reason: str) -> RegistrationFile:
        """Refuse a file for good, saying why; IllegalTransition when it is decided, NotFound."""
        said = " ".join(reason.split())
        if not 1 <= len(said) <= MAX_REASON or not said.isprintable():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a refusal says why, in 1 to {MAX_REASON} characters")
        now = self._now()
        with self._database.begin() as unit:
            self._allow(officer, Act.REGISTRATION_REFUSE, files.get_file(unit.connection, file_id), unit)
            files.refuse_file(unit.connection, file_id, officer.id, said, now)
            unit.audit.record(event(AuditAction.FILE_REFUSED, now, officer.id, file_id))
            return files.get_file(unit.connection, file_id)

    def _allow(self, officer: Officer, act: Act, file: RegistrationFile, unit: UnitOfWork) -> None:
        scope = file.registration.scope
        self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=file.id, digest=file.digest)

    def file(self, file_id: str) -> RegistrationFile:
        """Return one file; NotFound."""
        with self._database.read() as connection:
            return files.get_file(connection, file_id)

    def files(self, state: FileState | None = None, *, limit: int = 100) -> tuple[RegistrationFile, ...]:
        """List files, newest first, at most 500."""
        with self._database.read() as connection:
            return files.page_of_files(connection, state=state, limit=limit)
