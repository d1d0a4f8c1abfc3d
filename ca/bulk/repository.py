"""Rows of bulk jobs."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from ca.bulk.records import ActingOfficer, BulkApproval, BulkJob, RowResult
from ca.bulk.tables import bulk_approvals, bulk_jobs, bulk_rows
from ca.registration_states import FileState
from ca.tables import registration_files
from pki.errors import ServiceError

MAX_PAGE: Final = 500
MAX_REASON: Final = 500

_j = bulk_jobs.c
_r = bulk_rows.c
_a = bulk_approvals.c
_f = registration_files.c


def insert_job(connection: Connection, job: BulkJob, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a new job with its rows; IntegrityError when the same file has one."""
    values = {"id": job.id, "sha256": bytes.fromhex(job.sha256), "rows": job.rows, "line": job.line}
    values |= {"officer": job.by.id, **_proof(job.by), "started_at": job.started_at}
    connection.execute(insert(bulk_jobs).values(values))
    empty = {"body": None, "code": None, "reason": None}
    connection.execute(insert(bulk_rows), [{"job_id": job.id, **empty, **row} for row in rows])


def _proof(by: ActingOfficer) -> dict[str, Any]:
    return {
        "realm_id": by.realm,
        "certificate_sha256": by.certificate_sha256,
        "statement": by.statement,
        "signature": by.signature,
    }


def _officer(row: Row[Any]) -> ActingOfficer:
    return ActingOfficer(
        id=row.officer,
        realm=row.realm_id,
        certificate_sha256=row.certificate_sha256,
        statement=row.statement,
        signature=row.signature,
    )


def _job(row: Row[Any] | None) -> BulkJob | None:
    if row is None:
        return None
    return BulkJob(
        id=row.id,
        sha256=row.sha256.hex(),
        rows=row.rows,
        line=row.line,
        by=_officer(row),
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def find_job(connection: Connection, job_id: str, *, locked: bool = False) -> BulkJob | None:
    """Return a job; `locked` keeps it from everybody else until the end of the transaction. What is no id has none."""
    if not (job_id.isascii() and job_id.isalnum()):
        return None
    statement = select(bulk_jobs).where(_j.id == job_id)
    return _job(connection.execute(statement.with_for_update() if locked else statement).one_or_none())


def job_of_file(connection: Connection, sha256: str) -> BulkJob | None:
    """Return the job of a file, by its digest."""
    return _job(connection.execute(select(bulk_jobs).where(_j.sha256 == bytes.fromhex(sha256))).one_or_none())


def unfinished_jobs(connection: Connection) -> tuple[str, ...]:
    """Return the ids of jobs with rows to enter or yeses to write, oldest first."""
    behind = select(_a.job_id).where(_a.job_id == _j.id, _a.line < _j.rows).exists()
    wanted = select(_j.id).where(or_(_j.finished_at.is_(None), behind)).order_by(_j.started_at, _j.id)
    return tuple(connection.execute(wanted).scalars())


def bodies_after(connection: Connection, job_id: str, line: int, limit: int) -> list[tuple[int, bytes | None]]:
    """Return the next rows behind a line; None for the body of one that was refused at the start."""
    wanted = select(_r.line, _r.body).where(_r.job_id == job_id, _r.line > line).order_by(_r.line).limit(limit)
    return [(row.line, row.body) for row in connection.execute(wanted)]


def files_after(connection: Connection, job_id: str, line: int, limit: int) -> list[tuple[int, str | None]]:
    """Return the next rows behind a line with their files."""
    wanted = select(_r.line, _r.file_id).where(_r.job_id == job_id, _r.line > line).order_by(_r.line).limit(limit)
    return [(row.line, row.file_id) for row in connection.execute(wanted)]


def write_row(connection: Connection, job_id: str, line: int, **columns: Any) -> None:
    """Write what became of a row."""
    connection.execute(update(bulk_rows).where(_r.job_id == job_id, _r.line == line).values(**columns))


def refusal(error: ServiceError) -> dict[str, str]:
    """Return what is written of a row that is refused."""
    return {"code": error.code.value, "reason": (error.detail or error.reason)[:MAX_REASON]}


def move_job(connection: Connection, job_id: str, line: int, finished_at: datetime | None) -> None:
    """Write how far a job is."""
    connection.execute(update(bulk_jobs).where(_j.id == job_id).values(line=line, finished_at=finished_at))


def insert_approval(connection: Connection, approval: BulkApproval) -> None:
    """Write a yes to a whole job; IntegrityError for a second one by the same officer."""
    values = {"job_id": approval.job_id, "officer": approval.by.id, "at": approval.at, "line": approval.line}
    values |= {"silence_reason": approval.silence_reason, **_proof(approval.by)}
    connection.execute(insert(bulk_approvals).values(values))


def move_approval(connection: Connection, approval: BulkApproval, line: int) -> None:
    """Write how far a yes is."""
    mine = (_a.job_id == approval.job_id, _a.officer == approval.by.id)
    connection.execute(update(bulk_approvals).where(*mine).values(line=line))


def approvals_of(connection: Connection, job_id: str) -> tuple[BulkApproval, ...]:
    """Return the yeses to a job, oldest first."""
    wanted = select(bulk_approvals).where(_a.job_id == job_id).order_by(_a.at, _a.officer)
    return tuple(
        BulkApproval(job_id=row.job_id, by=_officer(row), at=row.at, line=row.line, silence_reason=row.silence_reason)
        for row in connection.execute(wanted)
    )


def count_refused(connection: Connection, job_id: str) -> int:
    """Count the entered rows that have no file."""
    entered = (_r.job_id == job_id, _r.file_id.is_(None), _r.code.is_not(None))
    return connection.execute(select(func.count()).select_from(bulk_rows).where(*entered)).scalar_one()


def count_approved(connection: Connection, job_id: str) -> int:
    """Count the files of a job that are approved."""
    joined = bulk_rows.join(registration_files, _r.file_id == _f.id)
    mine = (_r.job_id == job_id, _f.state == FileState.APPROVED.value)
    return connection.execute(select(func.count()).select_from(joined).where(*mine)).scalar_one()


def count_issued(connection: Connection, job_id: str) -> int:
    """Count the certificates of a job."""
    mine = (_r.job_id == job_id, _r.serial.is_not(None))
    return connection.execute(select(func.count()).select_from(bulk_rows).where(*mine)).scalar_one()


def results_after(connection: Connection, job_id: str, line: int, limit: int = MAX_PAGE) -> tuple[RowResult, ...]:
    """Return what became of the rows behind a line, at most 500."""
    joined = bulk_rows.outerjoin(registration_files, _r.file_id == _f.id)
    wanted = (
        select(_r.line, _r.file_id, _f.state, _r.code, _r.reason, _r.profile, _r.serial)
        .select_from(joined)
        .where(_r.job_id == job_id, _r.line > line)
        .order_by(_r.line)
        .limit(min(limit, MAX_PAGE))
    )
    return tuple(
        RowResult(
            line=row.line,
            file_id=row.file_id,
            state=None if row.state is None else FileState(row.state),
            code=row.code,
            reason=row.reason,
            profile=row.profile,
            serial=row.serial,
        )
        for row in connection.execute(wanted)
    )
