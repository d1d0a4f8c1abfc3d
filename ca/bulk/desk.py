"""Bulk enrolment: a file becomes a job, a job becomes registration files, and one yes is written to all of them.

Rows are entered in slices, each a transaction with the mark how far the job is: whatever kills a program loses no row
and enters none twice. Everything that stands between one file and its approval stands between each of these too.
"""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ca import file_repository as files
from ca.bulk import repository
from ca.bulk.csv_rows import split_csv
from ca.bulk.format import BulkRow, parse_row, split_rows
from ca.bulk.records import ActingOfficer, BulkApproval, BulkJob, Progress, RowPage, RowResult
from ca.context import WORKER, event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.line_formats import LineFormat
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.repository import find_officer
from ca.officers.scopes import NOTHING
from ca.officers.sight import Sight
from ca.registration_desk import PreparedFile, RegistrationDesk
from ca.registration_rules import parse_reason
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, NotFound, ServiceError, Unavailable
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

SLICE: Final = 200
_ASKED_AT_ONCE: Final = 8
_ID_OCTETS: Final = 10
_SPLIT: Final = {LineFormat.NDJSON: split_rows, LineFormat.CSV: split_csv}

Tell = Callable[[Progress], object]


class BulkDesk:
    """Use cases on bulk jobs. Threads and processes may run the same job: a slice is entered by one of them."""

    def __init__(
        self,
        database: Database,
        registrations: RegistrationDesk,
        gate: OfficerGate,
        clock: Clock,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Enter files at the desk of `registrations`."""
        self._database, self._registrations, self._gate, self._clock = database, registrations, gate, clock
        self._random_bytes = random_bytes

    # -- starting ---------------------------------------------------------------------------------

    def start(self, data: bytes, officer: Officer, form: LineFormat = LineFormat.NDJSON) -> BulkJob:
        """Take a file and return its job, which is the one there was when the same file came before.

        InvalidInput as `split_rows` and `split_csv`; NotAllowed as the gate's. No row is entered yet: `run` does that.
        """
        rows, digest = _SPLIT[form](data), sha256(data).hexdigest()
        try:
            with self._database.begin() as unit:
                self._gate.allow(officer, Act.REGISTRATION_SUBMIT, NOTHING, unit, realm=officer.realm, digest=digest)
                found = repository.job_of_file(unit.connection, digest)
                return self._insert(unit, rows, digest, officer) if found is None else found
        except IntegrityError:  # another program took the same file at the same time
            with self._database.read() as connection:
                found = repository.job_of_file(connection, digest)
            if found is None:
                raise
            return found

    def _insert(self, unit: UnitOfWork, rows: tuple[bytes, ...], digest: str, officer: Officer) -> BulkJob:
        now = self._clock.now()
        job = BulkJob(
            id=self._random_bytes(_ID_OCTETS).hex(),
            sha256=digest,
            rows=len(rows),
            line=0,
            by=ActingOfficer.of(officer),
            started_at=now,
        )
        repository.insert_job(unit.connection, job, _first_rows(rows))
        started = event(AuditAction.BULK_STARTED, now, officer.id, job.id, sha256=digest, rows=job.rows)
        unit.audit.record(started)
        return job

    # -- entering ---------------------------------------------------------------------------------

    def run(self, job_id: str, tell: Tell | None = None) -> Progress:
        """Do all that is left of a job, telling after each slice; NotFound."""
        while self.advance(job_id):
            if tell is not None:
                tell(self.progress(job_id))
        return self.progress(job_id)

    def sweep(self, slices: int) -> int:
        """Go on with jobs that nobody finishes, at most so many slices; return how many were done.

        What keeps one job from going on is raised once the others have gone on.
        """
        with self._database.read() as connection:
            waiting = repository.unfinished_jobs(connection)
        done, stuck = 0, None
        for job_id in waiting:
            try:
                while done < slices and self.advance(job_id):
                    done += 1
            except Unavailable:
                raise
            except ServiceError as error:
                stuck = error
        if stuck is not None:
            raise stuck
        return done

    def advance(self, job_id: str) -> bool:
        """Enter one slice of rows, or write a yes to one slice of files; return whether there was something to do."""
        with self._database.read() as connection:
            job = _found(repository.find_job(connection, job_id))
            approvals = repository.approvals_of(connection, job_id)
        if job.line < job.rows:
            self._enter_slice(job)
            return True
        for approval in approvals:
            if approval.line < job.rows:
                self._approve_slice(approval)
                return True
        return False

    def _enter_slice(self, job: BulkJob) -> None:
        with self._database.read() as connection:
            rows = repository.bodies_after(connection, job.id, job.line, SLICE)
            by = self._standing(connection, job.by)
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            prepared = list(pool.map(lambda row: self._prepare(row[1], by), rows))
        with self._database.begin() as unit:
            locked = repository.find_job(unit.connection, job.id, locked=True)
            if locked is None or locked.line != job.line:
                return  # another program entered these
            for (line, _body), outcome in zip(rows, prepared, strict=True):
                if outcome is not None:
                    repository.write_row(unit.connection, job.id, line, **self._enter(unit, outcome, by))
            self._move(unit, job, rows[-1][0])

    def _prepare(self, body: bytes | None, by: Officer) -> "_Prepared | ServiceError | None":
        if body is None:
            return None
        try:
            row = parse_row(body, self._registrations.profiles)
            return _Prepared(row=row, file=self._registrations.prepare_file(row.registration, by))
        except Unavailable:
            raise
        except ServiceError as error:
            return error

    def _enter(self, unit: UnitOfWork, outcome: "_Prepared | ServiceError", by: Officer) -> dict[str, Any]:
        if isinstance(outcome, ServiceError):
            return {"body": None, **repository.refusal(outcome)}
        try:
            act = Act.REGISTRATION_SUBMIT
            self._registrations.enter_file(unit, outcome.file, by, act, subject="", digest="")
        except Unavailable:
            raise
        except ServiceError as error:
            return {"body": None, **repository.refusal(error)}
        row = outcome.row
        return {"body": None, "file_id": outcome.file.file.id, "profile": row.profile, "csr": row.csr}

    def _move(self, unit: UnitOfWork, job: BulkJob, line: int) -> None:
        now, over = self._clock.now(), line >= job.rows
        repository.move_job(unit.connection, job.id, line, now if over else None)
        if over:
            refused = repository.count_refused(unit.connection, job.id)
            facts = {"rows": job.rows, "refused": refused}
            unit.audit.record(event(AuditAction.BULK_FINISHED, now, WORKER, job.id, **facts))

    def _standing(self, connection: Connection, by: ActingOfficer) -> Officer:
        record = find_officer(connection, by.id)
        return by.standing(None if record is None else record.national_code)

    # -- approving --------------------------------------------------------------------------------

    def approve(self, job_id: str, officer: Officer, *, silence_reason: str | None = None) -> BulkJob:
        """Say yes to a whole job, by its SHA-256; `run` writes it to each file that takes it.

        FourEyesRequired for whoever started it and for a second yes; IllegalTransition while rows are entered;
        NotAllowed as the gate's; NotFound. What refuses a single file is that row's result.
        """
        accepted = None if silence_reason is None else parse_reason(silence_reason, "whoever accepts silence")
        now = self._clock.now()
        try:
            with self._database.begin() as unit:
                job = _found(repository.find_job(unit.connection, job_id, locked=True))
                if job.line < job.rows:
                    raise IllegalTransition("rows are still being entered", reason="bulk.running")
                if officer.id == job.by.id:
                    raise FourEyesRequired("whoever submitted a file does not approve it", "officer.submitted-it")
                act, realm = Act.REGISTRATION_APPROVE, job.by.realm
                self._gate.allow(officer, act, NOTHING, unit, realm=realm, subject=job_id, digest=job.sha256)
                by = ActingOfficer.of(officer)
                approval = BulkApproval(job_id=job_id, by=by, at=now, silence_reason=accepted)
                repository.insert_approval(unit.connection, approval)
                said = event(AuditAction.BULK_APPROVED, now, officer.id, job_id, sha256=job.sha256, rows=job.rows)
                unit.audit.record(said)
        except IntegrityError as error:
            raise FourEyesRequired("this officer approved the job before", "officer.twice") from error
        return job

    def _approve_slice(self, approval: BulkApproval) -> None:
        job_id, who = approval.job_id, approval.by
        with self._database.begin() as unit:
            job = _found(repository.find_job(unit.connection, job_id, locked=True))
            present = {each.by.id: each.line for each in repository.approvals_of(unit.connection, job_id)}
            if present.get(who.id) != approval.line:
                return  # another program wrote these
            record = find_officer(unit.connection, who.id)
            code = None if record is None else record.national_code
            by, kept = who.standing(code), who.proven(code)
            rows = repository.files_after(unit.connection, job.id, approval.line, SLICE)
            for line, file_id in rows:
                if file_id is not None:
                    result = self._approve_one(unit, file_id, by, kept, approval.silence_reason)
                    repository.write_row(unit.connection, job.id, line, **result)
            repository.move_approval(unit.connection, approval, rows[-1][0])

    def _approve_one(
        self, unit: UnitOfWork, file_id: str, by: Officer, kept: Officer, accepted: str | None
    ) -> dict[str, Any]:
        try:
            self._registrations.approve_within(unit, file_id, by, accepted, kept=kept)
        except ServiceError as error:
            if error.code is ErrorCode.DATABASE_UNAVAILABLE:
                raise
            return repository.refusal(error)
        return {"code": None, "reason": None}

    # -- looking ----------------------------------------------------------------------------------

    def progress(self, job_id: str) -> Progress:
        """Say how far a job is; NotFound."""
        with self._database.read() as connection:
            return Progress(
                job=_found(repository.find_job(connection, job_id)),
                refused=repository.count_refused(connection, job_id),
                approved=repository.count_approved(connection, job_id),
                issued=repository.count_issued(connection, job_id),
                approvals=repository.approvals_of(connection, job_id),
            )

    def show(self, job_id: str, officer: Officer) -> Progress:
        """Say to an officer of the job's realm how far it is; NotFound, NotAllowed."""
        with self._database.begin() as unit:
            self._allow_looking(unit, job_id, officer)
        return self.progress(job_id)

    def page(self, job_id: str, officer: Officer, *, after: int, limit: int) -> RowPage:
        """Return what became of the rows behind a line, looking through at most 500; NotFound, NotAllowed.

        Rows whose file the officer's roles do not cover are left out.
        """
        limit = min(limit, repository.MAX_PAGE)
        with self._database.begin() as unit:
            self._allow_looking(unit, job_id, officer)
            looked = repository.results_after(unit.connection, job_id, after, limit)
            found = files.find_files(unit.connection, {row.file_id for row in looked if row.file_id is not None})
            sight = Sight(self._gate, unit, officer, Act.REGISTRATION_READ)
            seen = {file.id for file in found.values() if sight.covers(file.registration.scope, file.realm)}
        rows = tuple(row for row in looked if row.file_id is None or row.file_id in seen)
        return RowPage(rows, looked[-1].line if len(looked) == limit else None)

    def _allow_looking(self, unit: UnitOfWork, job_id: str, officer: Officer) -> None:
        job = _found(repository.find_job(unit.connection, job_id))
        self._gate.allow(officer, Act.REGISTRATION_READ, NOTHING, unit, realm=job.by.realm, subject=job_id)

    def results(self, job_id: str) -> Iterator[RowResult]:
        """Yield what became of each row, in the order of the file; NotFound."""
        with self._database.read() as connection:
            _found(repository.find_job(connection, job_id))
        line = 0
        while True:
            with self._database.read() as connection:
                page = repository.results_after(connection, job_id, line)
            yield from page
            if not page:
                return
            line = page[-1].line


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A row that is read, and its file as it may be entered."""

    row: BulkRow
    file: PreparedFile


def _found(job: BulkJob | None) -> BulkJob:
    if job is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such bulk job")
    return job


def _first_rows(rows: tuple[bytes, ...]) -> Iterator[dict[str, Any]]:
    """Give each row its line; one that repeats another octet for octet is refused at once."""
    seen: dict[bytes, int] = {}
    for line, row in enumerate(rows, 1):
        first = seen.setdefault(row, line)
        if first == line:
            yield {"line": line, "body": row}
        else:
            yield {"line": line, "code": ErrorCode.CONFLICT.value, "reason": f"the same as line {first}"}
