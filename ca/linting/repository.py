"""Rows of verdicts and alarms, written and read on a given connection."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ca.errors import FourEyesRequired, IllegalTransition
from ca.file_repository import find_files
from ca.lint.findings import GATE, Finding, Severity
from ca.lint.gate import PACK_NAME, PACK_VERSION
from ca.linting.tables import lint_alarm_notes, lint_alarms, lint_verdicts
from ca.linting.verdicts import Alarm, AlarmNote, Backlog, Judgement, LintState
from ca.registration import RegistrationFile
from ca.status.revocation import CertificateState
from ca.tables import certificates
from pki.errors import ErrorCode, NotFound

MAX_PAGE: Final = 500

_c = certificates.c
_v = lint_verdicts.c
_a = lint_alarms.c
_n = lint_alarm_notes.c
_WAITS: Final = (_c.lint_state == LintState.PENDING.value) & _c.der.is_not(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToJudge:
    """A signed certificate that waits for a verdict."""

    id: int
    serial_hex: str
    profile: str
    der: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a certificate stands as a verdict on it is written."""

    state: CertificateState
    lint_state: LintState


def _to_judge(rows: Iterable[Any]) -> tuple[ToJudge, ...]:
    return tuple(ToJudge(id=row.id, serial_hex=row.serial, profile=row.profile, der=row.der) for row in rows)


_TO_JUDGE: Final = select(_c.id, _c.serial, _c.profile, _c.der)


def waiting(connection: Connection, limit: int) -> tuple[ToJudge, ...]:
    """List the certificates without a first verdict, oldest first."""
    return _to_judge(connection.execute(_TO_JUDGE.where(_WAITS).order_by(_c.id).limit(limit)))


def after(connection: Connection, last_id: int, limit: int) -> tuple[ToJudge, ...]:
    """List certificates that may still be relied on, in the order of their rows, after the row `last_id`."""
    over = [state.value for state in (CertificateState.REVOKED, CertificateState.EXPIRED)]
    statement = _TO_JUDGE.where(_c.id > last_id, _c.der.is_not(None), _c.state.not_in(over))
    return _to_judge(connection.execute(statement.order_by(_c.id).limit(limit)))


def one(connection: Connection, serial: str) -> ToJudge | None:
    """Return a signed certificate, or None."""
    rows = connection.execute(_TO_JUDGE.where(_c.serial == serial, _c.der.is_not(None)))
    return next(iter(_to_judge(rows)), None)


def backlog(connection: Connection) -> Backlog:
    """Count what waits for a first verdict."""
    statement = select(func.count().label("waiting"), func.min(_c.issued_at).label("oldest")).where(_WAITS)
    row = connection.execute(statement).one()
    return Backlog(waiting=row.waiting, oldest=row.oldest)


def judged_by(connection: Connection, serials: Sequence[str], linter: str, version: str) -> frozenset[str]:
    """Tell which of these certificates have a verdict of this version of this linter."""
    statement = select(_v.serial).where(_v.serial.in_(serials), _v.linter == linter, _v.linter_version == version)
    return frozenset(connection.execute(statement).scalars())


def lock(connection: Connection, serials: Sequence[str]) -> dict[str, Standing]:
    """Read where certificates stand, and let nobody move them before this transaction ends."""
    statement = select(_c.serial, _c.state, _c.lint_state).where(_c.serial.in_(serials)).order_by(_c.id)
    return {
        row.serial: Standing(state=CertificateState(row.state), lint_state=LintState(row.lint_state))
        for row in connection.execute(statement.with_for_update())
    }


def set_lint_state(connection: Connection, serial: str, state: LintState) -> None:
    """Write the lint state of a certificate."""
    connection.execute(update(certificates).where(_c.serial == serial).values(lint_state=state.value))


def lint_state(connection: Connection, serial: str) -> LintState:
    """Return the lint state of a certificate; NotFound."""
    found = connection.execute(select(_c.lint_state).where(_c.serial == serial)).scalar_one_or_none()
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such certificate")
    return LintState(found)


def _findings_json(findings: Sequence[Finding]) -> str:
    return json.dumps(
        [{"code": f.code, "clause": f.clause, "severity": f.severity.name, "detail": f.detail} for f in findings]
    )


def _findings(text: str) -> tuple[Finding, ...]:
    return tuple(Finding(**{**member, "severity": Severity[member["severity"]]}) for member in json.loads(text))


def add_judgements(connection: Connection, judgements: Mapping[str, Judgement]) -> None:
    """Write verdicts, by serial number."""
    rows = [
        {
            "serial": serial,
            "linter": judgement.linter,
            "linter_version": judgement.version,
            "severity": None if judgement.severity is None else judgement.severity.name,
            "findings": _findings_json(judgement.findings),
            "at": judgement.at,
        }
        for serial, judgement in judgements.items()
    ]
    if rows:
        connection.execute(insert(lint_verdicts), rows)


def keep_own_findings(connection: Connection, own: Mapping[str, Sequence[Finding]], at: datetime) -> None:
    """Keep what our own rules remarked on before the signature, by serial number of intents that are written."""
    remarks = {
        serial: Judgement(linter=PACK_NAME, version=PACK_VERSION, findings=tuple(findings), at=at)
        for serial, findings in own.items()
        if findings
    }
    add_judgements(connection, remarks)


def judgements_of(connection: Connection, serial: str) -> tuple[Judgement, ...]:
    """Return what was said of a certificate, oldest first."""
    statement = select(lint_verdicts).where(_v.serial == serial).order_by(_v.at, _v.linter, _v.linter_version)
    return tuple(
        Judgement(linter=row.linter, version=row.linter_version, findings=_findings(row.findings), at=row.at)
        for row in connection.execute(statement)
    )


def failing_codes(judgements: Iterable[Judgement]) -> frozenset[str]:
    """Name the rules whose breach is an error."""
    return frozenset(f.code for judgement in judgements for f in judgement.findings if f.severity >= GATE)


def add_alarm(connection: Connection, alarm: Alarm) -> None:
    """Write an open alarm."""
    connection.execute(
        insert(lint_alarms).values(
            id=alarm.id,
            serial=alarm.serial_hex,
            linter=alarm.linter,
            linter_version=alarm.linter_version,
            severity=alarm.severity.name,
            codes=json.dumps(alarm.codes),
            holds=alarm.holds,
            raised_at=alarm.raised_at,
        )
    )


def _alarms(connection: Connection, rows: Sequence[Any]) -> tuple[Alarm, ...]:
    notes: dict[str, list[AlarmNote]] = {row.id: [] for row in rows}
    written = select(lint_alarm_notes).where(_n.alarm_id.in_(list(notes))).order_by(_n.at, _n.officer)
    for note in connection.execute(written) if notes else ():
        notes[note.alarm_id].append(AlarmNote(officer=note.officer, at=note.at, note=note.note))
    return tuple(
        Alarm(
            id=row.id,
            serial_hex=row.serial,
            linter=row.linter,
            linter_version=row.linter_version,
            severity=Severity[row.severity],
            codes=tuple(json.loads(row.codes)),
            holds=row.holds,
            raised_at=row.raised_at,
            closed_at=row.closed_at,
            notes=tuple(notes[row.id]),
        )
        for row in rows
    )


def open_alarms(connection: Connection, limit: int) -> tuple[Alarm, ...]:
    """List the alarms that wait for officers, oldest first."""
    statement = select(lint_alarms).where(_a.closed_at.is_(None)).order_by(_a.raised_at, _a.id)
    return _alarms(connection, connection.execute(statement.limit(min(max(limit, 1), MAX_PAGE))).all())


def files_of(connection: Connection, alarms: Iterable[Alarm]) -> dict[str, RegistrationFile]:
    """Return the registration files of the certificates that alarms are about, by serial number."""
    statement = select(_c.serial, _c.file_id).where(_c.serial.in_([one.serial_hex for one in alarms]))
    named = {row.serial: row.file_id for row in connection.execute(statement) if row.file_id is not None}
    found = find_files(connection, set(named.values()))
    return {serial: found[file_id] for serial, file_id in named.items()}


def find_alarm(connection: Connection, alarm_id: str, *, locked: bool = False) -> Alarm:
    """Return an alarm; NotFound. `locked`: nobody else changes it before this transaction ends."""
    statement = select(lint_alarms).where(_a.id == alarm_id)
    found = _alarms(connection, connection.execute(statement.with_for_update() if locked else statement).all())
    if not found:
        raise NotFound(ErrorCode.NOT_FOUND, "no such alarm")
    return found[0]


def add_note(connection: Connection, alarm_id: str, note: AlarmNote) -> None:
    """Write what an officer says; FourEyesRequired when the same officer spoke before."""
    try:
        connection.execute(
            insert(lint_alarm_notes).values(alarm_id=alarm_id, officer=note.officer, at=note.at, note=note.note)
        )
    except IntegrityError as error:
        raise FourEyesRequired("this officer spoke of the alarm before") from error


def close_alarm(connection: Connection, alarm_id: str, at: datetime) -> None:
    """Write that an alarm is closed; IllegalTransition when it is already."""
    closing = update(lint_alarms).where(_a.id == alarm_id, _a.closed_at.is_(None)).values(closed_at=at)
    if connection.execute(closing).rowcount != 1:
        raise IllegalTransition("the alarm is closed already")
