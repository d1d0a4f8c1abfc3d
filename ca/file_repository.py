"""Rows of registration files and approvals, and the secrets behind pseudonyms."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.identity import OfDeployment, Officer
from ca.registration import APPROVALS_NEEDED, Approval, RegistrationFile, registration_json, stored_registration
from ca.registration_states import BEFORE_APPROVERS, FileAct, FileState, next_state
from ca.tables import UNDECIDED, approvals, pseudonym_secrets, registration_files
from pki.errors import ErrorCode, NotFound

MAX_PAGE: Final = 500

_f = registration_files.c
_a = approvals.c
_OF_IDS: Final = _f.id.in_(bindparam("ids", expanding=True))
_FILES: Final = select(registration_files).where(_OF_IDS)
_STATES: Final = select(_f.id, _f.state).where(_OF_IDS)
_GIVEN: Final = (
    select(_a.file_id, _a.officer, _a.at, _a.silence_reason)
    .where(_a.file_id.in_(bindparam("ids", expanding=True)))
    .order_by(_a.at, _a.officer)
)


def insert_file(connection: Connection, file: RegistrationFile) -> None:
    """Write a new file."""
    registration = file.registration
    connection.execute(
        insert(registration_files).values(
            id=file.id,
            kind=registration.kind.value,
            state=file.state.value,
            holder=registration.holder,
            licence=registration.licence,
            name=registration.display_name,
            body=registration_json(registration),
            submitted_by=file.submitted_by,
            submitted_at=file.submitted_at,
            approvals=0,
            realm_id=file.realm,
            province=registration.province,
            previous=file.previous,
            rounds=file.rounds,
            checked_at=file.checked_at,
            expires_at=file.expires_at,
        )
    )


def _file(row: Row[Any], given: tuple[Approval, ...]) -> RegistrationFile:
    return RegistrationFile(
        id=row.id,
        registration=stored_registration(row.body),
        state=FileState(row.state),
        submitted_by=row.submitted_by,
        submitted_at=row.submitted_at,
        approvals=given,
        refused_by=row.refused_by,
        refused_at=row.refused_at,
        reason=row.reason,
        realm=row.realm_id,
        previous=row.previous,
        rounds=row.rounds,
        checked_at=row.checked_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )


def _with_approvals(connection: Connection, rows: list[Row[Any]]) -> dict[str, RegistrationFile]:
    given: dict[str, tuple[Approval, ...]] = {}
    ids = [row.id for row in rows if row.approvals]
    for approval in connection.execute(_GIVEN, {"ids": ids}) if ids else ():
        one = Approval(officer=approval.officer, at=approval.at, silence_reason=approval.silence_reason)
        given[approval.file_id] = (*given.get(approval.file_id, ()), one)
    return {row.id: _file(row, given.get(row.id, ())) for row in rows}


def find_files(connection: Connection, ids: set[str]) -> dict[str, RegistrationFile]:
    """Return the files of these ids, by id; ids without a file, and what is no id, are left out."""
    known = [file_id for file_id in ids if file_id.isascii() and file_id.isalnum()]
    rows = connection.execute(_FILES, {"ids": known}).all()
    return _with_approvals(connection, list(rows))


def get_file(connection: Connection, file_id: str) -> RegistrationFile:
    """Return one file; NotFound."""
    found = find_files(connection, {file_id}).get(file_id)
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such registration file", reason="file.absent")
    return found


def lock_file(connection: Connection, file_id: str) -> RegistrationFile:
    """Return one file, which nobody else changes until the end of the transaction; NotFound."""
    connection.execute(select(_f.id).where(_f.id == file_id).with_for_update())
    return get_file(connection, file_id)


def page_of_files(
    connection: Connection, *, state: FileState | None, limit: int, after: RegistrationFile | None = None
) -> tuple[RegistrationFile, ...]:
    """List files, newest first; go on behind `after`."""
    statement = select(registration_files).order_by(_f.submitted_at.desc(), _f.id).limit(min(max(limit, 1), MAX_PAGE))
    if state is not None:
        statement = statement.where(_f.state == state.value)
    if after is not None:
        at_once = and_(_f.submitted_at == after.submitted_at, _f.id > after.id)
        statement = statement.where(or_(_f.submitted_at < after.submitted_at, at_once))
    rows = connection.execute(statement).all()
    return tuple(_with_approvals(connection, list(rows)).values())


def add_approval(
    connection: Connection, file: RegistrationFile, officer: Officer, at: datetime, silence_reason: str | None
) -> FileState:
    """Count one officer's yes, keep what proves it, and return the file's state after it.

    The guarded update comes first: it locks the row, so officers who press at once are served one after the
    other. FourEyesRequired for a second yes by the same officer, IllegalTransition when the file is decided.
    """
    counted = connection.execute(
        update(registration_files)
        .where(_f.id == file.id, _f.state.in_(BEFORE_APPROVERS))
        .values(approvals=_f.approvals + 1)
        .returning(_f.approvals)
    ).scalar_one_or_none()
    if counted is None:
        raise IllegalTransition("the file is decided already")
    row = {"file_id": file.id, "officer": officer.id, "at": at, "silence_reason": silence_reason, **_proof(officer)}
    try:
        connection.execute(insert(approvals).values(row))
    except IntegrityError as error:
        raise FourEyesRequired("this officer approved the file before", "officer.twice") from error
    state = next_state(file.state, FileAct.APPROVE if counted < APPROVALS_NEEDED else FileAct.COMPLETE)
    connection.execute(update(registration_files).where(_f.id == file.id).values(state=state.value))
    return state


def _proof(officer: Officer) -> dict[str, bytes]:
    proof, signed = officer.proof, officer.signed
    if proof is None or isinstance(proof, OfDeployment):
        return {}
    found = {"certificate_sha256": proof.certificate_sha256}
    return found if signed is None else found | {"statement": signed.data, "signature": signed.signature}


def change_file(connection: Connection, file: RegistrationFile, act: FileAct, **columns: Any) -> FileState:
    """Bring a file to the state after `act` and write `columns`; IllegalTransition where its state forbids it."""
    state = next_state(file.state, act)
    changed = connection.execute(
        update(registration_files)
        .where(_f.id == file.id, _f.state == file.state.value)
        .values(state=state.value, **columns)
    ).rowcount
    if changed != 1:
        raise IllegalTransition("the file was changed meanwhile")
    return state


def count_round(connection: Connection, file_id: str, at: datetime) -> int:
    """Count another asking of the registries about a file, in whatever state it is; return its number."""
    again = update(registration_files).where(_f.id == file_id).values(rounds=_f.rounds + 1, checked_at=at)
    return int(connection.execute(again.returning(_f.rounds)).scalar_one())


def files_past_end(connection: Connection, now: datetime, limit: int) -> tuple[RegistrationFile, ...]:
    """Return undecided files whose time is over, locked; those that somebody else holds are left out."""
    over = select(_f.id).where(_f.state.in_(UNDECIDED), _f.expires_at <= now).order_by(_f.expires_at).limit(limit)
    ids = connection.execute(over.with_for_update(skip_locked=True)).scalars().all()
    return tuple(find_files(connection, set(ids)).values())


def file_states(connection: Connection, ids: set[str]) -> dict[str, FileState]:
    """Return the present states of files."""
    rows = connection.execute(_STATES, {"ids": sorted(ids)})
    return {row.id: FileState(row.state) for row in rows}


def pseudonym_secret(connection: Connection, period: str) -> bytes | None:
    """Return the secret of a period, if there is one."""
    p = pseudonym_secrets.c
    return connection.execute(select(p.secret).where(p.period == period)).scalar_one_or_none()


def add_pseudonym_secret(connection: Connection, period: str, secret: bytes) -> None:
    """Keep the secret of a period; IntegrityError when another program was first."""
    connection.execute(insert(pseudonym_secrets).values(period=period, secret=secret))
