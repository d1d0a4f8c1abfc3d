"""Registration files through four eyes: drafted, submitted, held against the registries, approved by two or refused."""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from ca import file_repository as files
from ca.context import WORKER, AuthorityContext, event
from ca.errors import IllegalTransition
from ca.evidence import repository as evidence
from ca.officers.identity import Act, Officer
from ca.officers.scopes import NOTHING
from ca.officers.sight import Sight
from ca.registration import Registration, RegistrationFile, parse_registration
from ca.registration_rules import check_eyes, check_words, parse_reason
from ca.registration_states import CLOSED, UNDECIDED, FileAct, FileState, next_state
from ca.registries import repository as words_repository
from ca.registries.answers import RegistryWord
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotAllowed
from storage.unit_of_work import UnitOfWork

_ID_OCTETS: Final = 10
_SLICE: Final = 200
MAX_PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedFile:
    """A file that is read and held against the registries, and not yet in the register."""

    file: RegistrationFile
    words: tuple[RegistryWord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """Files, and behind which one the next page begins."""

    files: tuple[RegistrationFile, ...]
    next: str | None


class RegistrationDesk(AuthorityContext):
    """Use cases on registration files; each change leaves its audit event. NotAllowed everywhere as the gate's."""

    # -- coming in --------------------------------------------------------------------------------

    def submit_file(
        self,
        data: bytes,
        officer: Officer,
        act: Act = Act.REGISTRATION_SUBMIT,
        subject: str = "",
        *,
        previous: str | None = None,
    ) -> RegistrationFile:
        """Read a registration (JSON), ask the registries and put it before the approvers.

        `act` and `subject` are what the officer does, where the file is but a part of it. `previous` is a closed file
        of the same holder that this one comes after. InvalidInput as `parse_registration`, and `identity-differs`
        when the previous file is of another holder; IllegalTransition when it is not closed; NotFound.
        """
        prepared = self.prepare_file(data, officer, previous=previous)
        digest = sha256(data).hexdigest() if act is Act.REGISTRATION_SUBMIT else ""
        with self._database.begin() as unit:
            self.enter_file(unit, prepared, officer, act, subject=subject, digest=digest)
        return prepared.file

    def prepare_file(self, data: bytes, officer: Officer, *, previous: str | None = None) -> PreparedFile:
        """Read a registration and ask the registries, before any transaction; errors as `parse_registration`."""
        file = self._new_file(data, officer, FileState.SUBMITTED, previous)
        words = self._ask(file.registration)
        return PreparedFile(file=self._checked(file) if words else file, words=words)

    def enter_file(
        self, unit: UnitOfWork, prepared: PreparedFile, officer: Officer, act: Act, *, subject: str, digest: str
    ) -> None:
        """Put a prepared file before the approvers in a transaction of the caller's; writes nothing if it raises."""
        file = prepared.file
        scope = file.registration.scope
        self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=subject, digest=digest)
        self._insert(unit, file, AuditAction.FILE_SUBMITTED)
        if prepared.words:
            self._keep_words(unit, file, prepared.words, officer)

    def draft_file(self, data: bytes, officer: Officer, *, previous: str | None = None) -> RegistrationFile:
        """Read a registration and keep it for the officer to submit later; errors as `submit_file`."""
        file = self._new_file(data, officer, FileState.DRAFT, previous)
        with self._database.begin() as unit:
            scope, digest = file.registration.scope, sha256(data).hexdigest()
            self._gate.allow(officer, Act.REGISTRATION_SUBMIT, scope, unit, realm=file.realm, digest=digest)
            self._insert(unit, file, AuditAction.FILE_DRAFTED)
        return file

    def submit_draft(self, file_id: str, officer: Officer) -> RegistrationFile:
        """Put a draft before the approvers; its own officer alone does so. IllegalTransition, NotFound."""
        draft = self.file(file_id)
        next_state(draft.state, FileAct.PRESENT)
        words = self._ask(draft.registration)
        with self._database.begin() as unit:
            draft = self._lock(unit, file_id)
            _check_own(draft, officer)
            self._allow(officer, Act.REGISTRATION_SUBMIT, draft, unit)
            files.change_file(unit.connection, draft, FileAct.PRESENT)
            unit.audit.record(event(AuditAction.FILE_SUBMITTED, self._now(), officer.id, file_id, **_facts(draft)))
            if words:
                self._record_check(unit, files.get_file(unit.connection, file_id), words, officer)
            return files.get_file(unit.connection, file_id)

    def _new_file(self, data: bytes, officer: Officer, state: FileState, previous: str | None) -> RegistrationFile:
        registration, now = parse_registration(data, self._settings.identities), self._now()
        if registration.kind in self._registration.province_kinds and registration.province is None:
            detail = f"a {registration.kind}'s file says its province here"
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="file.province-unsaid")
        return RegistrationFile(
            id=self._random_bytes(_ID_OCTETS).hex(),
            registration=registration,
            state=state,
            submitted_by=officer.id,
            submitted_at=now,
            realm=registration.realm or officer.realm,
            previous=previous,
            expires_at=now + self._registration.file_life,
        )

    def _insert(self, unit: UnitOfWork, file: RegistrationFile, action: AuditAction) -> None:
        if file.previous is not None:
            _check_previous(files.get_file(unit.connection, file.previous), file)
        files.insert_file(unit.connection, file)
        facts = _facts(file) if file.previous is None else _facts(file) | {"previous": file.previous}
        unit.audit.record(event(action, file.submitted_at, file.submitted_by, file.id, **facts))

    # -- the registries ---------------------------------------------------------------------------

    def check(self, file_id: str, officer: Officer) -> RegistrationFile:
        """Ask the registries (again) and keep what they say; IllegalTransition when the file is decided, NotFound."""
        file = self.file(file_id)
        next_state(file.state, FileAct.CHECK)
        words = self._ask(file.registration)
        with self._database.begin() as unit:
            file = self._lock(unit, file_id)
            self._allow(officer, Act.REGISTRATION_CHECK, file, unit)
            self._record_check(unit, file, words, officer)
            return files.get_file(unit.connection, file_id)

    def words(self, file_id: str) -> tuple[RegistryWord, ...]:
        """Return what the registries said when they were last asked about a file; NotFound."""
        with self._database.read() as connection:
            file = files.get_file(connection, file_id)
            return words_repository.words_of(connection, file_id, file.rounds)

    def _ask(self, registration: Registration) -> tuple[RegistryWord, ...]:
        now, terms = self._now(), self._registration
        return terms.interviewer.ask(terms.registries.questions(registration.identity, now), now)

    def _checked(self, file: RegistrationFile) -> RegistrationFile:
        state = next_state(file.state, FileAct.CHECK)
        return replace(file, state=state, rounds=file.rounds + 1, checked_at=self._now())

    def _record_check(
        self, unit: UnitOfWork, file: RegistrationFile, words: tuple[RegistryWord, ...], officer: Officer
    ) -> None:
        checked = self._checked(file)
        columns = {"rounds": checked.rounds, "checked_at": checked.checked_at}
        files.change_file(unit.connection, file, FileAct.CHECK, **columns)
        self._keep_words(unit, checked, words, officer)

    def _keep_words(
        self, unit: UnitOfWork, file: RegistrationFile, words: tuple[RegistryWord, ...], officer: Officer
    ) -> None:
        words_repository.insert_words(unit.connection, file.id, file.rounds, words)
        facts = {word.source.value: word.answer.value for word in words}
        unit.audit.record(event(AuditAction.FILE_CHECKED, self._now(), officer.id, file.id, round=file.rounds, **facts))

    # -- deciding ---------------------------------------------------------------------------------

    def approve(self, file_id: str, officer: Officer, *, silence_reason: str | None = None) -> RegistrationFile:
        """Give one of the two approvals; `silence_reason` says why it is taken that a registry did not answer.

        FourEyesRequired for the submitter, the file's subject, and a second yes by one officer; IllegalTransition
        when the file is decided, over, not held against its registries, or lacks evidence that it needs; NotAllowed
        (`registry-refused`) when one said no; Unavailable (`registry-silent`) for a silence without a reason; NotFound.
        """
        accepted = None if silence_reason is None else parse_reason(silence_reason, "whoever accepts silence")
        with self._database.begin() as unit:
            self.approve_within(unit, file_id, officer, accepted, kept=officer)
            return files.get_file(unit.connection, file_id)

    def approve_within(
        self, unit: UnitOfWork, file_id: str, officer: Officer, accepted: str | None, *, kept: Officer
    ) -> FileState:
        """Give one approval in a transaction of the caller's, which it leaves as it was if it raises.

        What proves `kept` stays with the approval: the same officer, by a statement that may cover many files.
        """
        now, file = self._now(), self._lock(unit, file_id)
        next_state(file.state, FileAct.APPROVE)
        check_eyes(file, officer)
        self._allow(officer, Act.REGISTRATION_APPROVE, file, unit)
        self._check_evidence(unit, file)
        words = words_repository.words_of(unit.connection, file_id, file.rounds)
        sources = self._registration.registries.questions(file.registration.identity, now)
        silent = check_words(words, sources, now, silence_accepted=accepted is not None)
        said = accepted if silent else None
        state = files.add_approval(unit.connection, file, kept, now, said)
        facts = {"state": state.value}
        if said is not None:
            facts["silent"] = ",".join(word.source for word in silent)
            facts["silence_reason_sha256"] = _digest(said)
        unit.audit.record(event(AuditAction.FILE_APPROVED, now, officer.id, file_id, **facts))
        return state

    def _check_evidence(self, unit: UnitOfWork, file: RegistrationFile) -> None:
        if file.registration.kind not in self._registration.evidence_kinds:
            return
        missing = evidence.missing(unit.connection, file)
        if missing or not file.registration.evidence:
            detail = f"{len(missing)} scans are missing" if missing else "the file names no evidence"
            raise IllegalTransition(detail, reason="file.evidence-missing")

    def refuse(self, file_id: str, officer: Officer, reason: str) -> RegistrationFile:
        """Refuse a file for good, saying why; IllegalTransition when it is decided, NotFound."""
        said, now = parse_reason(reason, "a refusal"), self._now()
        with self._database.begin() as unit:
            file = self._lock(unit, file_id)
            self._allow(officer, Act.REGISTRATION_REFUSE, file, unit)
            columns = {"refused_by": officer.id, "refused_at": now, "reason": said}
            files.change_file(unit.connection, file, FileAct.REFUSE, **columns)
            facts = {"reason_sha256": _digest(said)}
            unit.audit.record(event(AuditAction.FILE_REFUSED, now, officer.id, file_id, **facts))
            return files.get_file(unit.connection, file_id)

    def withdraw(self, file_id: str, officer: Officer) -> RegistrationFile:
        """Take back what the officer submitted or drafted; IllegalTransition when it is decided, NotFound."""
        now = self._now()
        with self._database.begin() as unit:
            file = self._lock(unit, file_id)
            _check_own(file, officer)
            self._allow(officer, Act.REGISTRATION_WITHDRAW, file, unit)
            files.change_file(unit.connection, file, FileAct.WITHDRAW, ended_at=now)
            unit.audit.record(event(AuditAction.FILE_WITHDRAWN, now, officer.id, file_id))
            return files.get_file(unit.connection, file_id)

    def expire_files(self) -> int:
        """End every undecided file whose time is over; return how many."""
        ended = 0
        while count := self._expire_slice():
            ended += count
        return ended

    def _expire_slice(self) -> int:
        now = self._now()
        with self._database.begin() as unit:
            over = files.files_past_end(unit.connection, now, _SLICE)
            for file in over:
                files.change_file(unit.connection, file, FileAct.EXPIRE, ended_at=now)
                unit.audit.record(event(AuditAction.FILE_EXPIRED, now, WORKER, file.id))
        return len(over)

    def _lock(self, unit: UnitOfWork, file_id: str) -> RegistrationFile:
        """Return a file to act on; one whose time is over waits for nothing but the sweep."""
        file = files.lock_file(unit.connection, file_id)
        if file.state in UNDECIDED and file.is_over(self._now()):
            raise IllegalTransition("the file's time is over", reason="file.expired")
        return file

    def _allow(self, officer: Officer, act: Act, file: RegistrationFile, unit: UnitOfWork) -> None:
        scope = file.registration.scope
        self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=file.id, digest=file.digest)

    # -- looking ----------------------------------------------------------------------------------

    def show(self, file_id: str, officer: Officer) -> RegistrationFile:
        """Return one file to an officer whose role covers it; NotFound, NotAllowed. Who looked is recorded."""
        with self._database.begin() as unit:
            file = files.get_file(unit.connection, file_id)
            self._allow(officer, Act.REGISTRATION_READ, file, unit)
            unit.audit.record(event(AuditAction.INVENTORY_READ, self._now(), officer.id, file_id, asked="registration"))
            return file

    def page(
        self, officer: Officer, state: FileState | None, *, after: str | None = None, limit: int = MAX_PAGE
    ) -> FilePage:
        """List to an officer the files that their roles cover, newest first, looking through at most 100.

        `after` goes on behind that file. NotFound, NotAllowed. Who looked is recorded.
        """
        with self._database.begin() as unit:
            self._gate.allow(officer, Act.REGISTRATION_READ, NOTHING, unit, realm=officer.realm)
            behind = None if after is None else files.get_file(unit.connection, after)
            limit = min(limit, MAX_PAGE)
            looked = files.page_of_files(unit.connection, state=state, limit=limit, after=behind)
            sight = Sight(self._gate, unit, officer, Act.REGISTRATION_READ)
            found = tuple(file for file in looked if sight.covers(file.registration.scope, file.realm))
            facts: dict[str, str | int] = {"asked": "registrations", "count": len(found)}
            unit.audit.record(event(AuditAction.INVENTORY_READ, self._now(), officer.id, "registrations", **facts))
        return FilePage(files=found, next=looked[-1].id if len(looked) == limit else None)

    def file(self, file_id: str) -> RegistrationFile:
        """Return one file; NotFound."""
        with self._database.read() as connection:
            return files.get_file(connection, file_id)

    def files(self, state: FileState | None = None, *, limit: int = 100) -> tuple[RegistrationFile, ...]:
        """List files, newest first, at most 500."""
        with self._database.read() as connection:
            return files.page_of_files(connection, state=state, limit=limit)


def _facts(file: RegistrationFile) -> dict[str, str]:
    return {"kind": file.registration.kind.value, "key_storage": file.registration.key_storage.value}


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _check_own(file: RegistrationFile, officer: Officer) -> None:
    if officer.id != file.submitted_by:
        raise NotAllowed(ErrorCode.NOT_ALLOWED, "the file is another officer's", reason="file.of-another-officer")


def _check_previous(previous: RegistrationFile, file: RegistrationFile) -> None:
    """A file comes again only after it was closed, and for the same holder."""
    if previous.state not in CLOSED:
        raise IllegalTransition(f"the previous file is {previous.state}", reason="file.previous-open")
    old, new = previous.registration, file.registration
    if (old.kind, old.holder) != (new.kind, new.holder):
        raise InvalidInput(ErrorCode.IDENTITY_DIFFERS, "the previous file is another holder's")
