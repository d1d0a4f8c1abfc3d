"""Judging signed certificates by an independent linter, and what follows from a bad verdict.

The first verdict on a certificate decides its lint state. A bad one holds a certificate that is not yet
activated; about one that is active it raises an alarm and touches no status. A newer linter judges everything
again, slowly, and only raises alarms, for rules that were not broken before. Two officers close an alarm.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from ca.context import event
from ca.errors import IllegalTransition, LintFailed
from ca.lint.findings import GATE, Finding, Severity
from ca.linting import repository
from ca.linting.repository import Standing, ToJudge
from ca.linting.verdicts import (
    Alarm,
    AlarmNote,
    Backlog,
    Judge,
    Judgement,
    LintState,
    LintVerdict,
    state_after,
)
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import EVERYTHING, NOTHING, Scope
from ca.officers.sight import Sight
from ca.profiles import ProfileSet
from ca.registration import MAX_REASON, RegistrationFile
from ca.status.revocation import CertificateState
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

LINTER: Final = "linter"  # the actor of what follows from verdicts
OFFICERS_NEEDED: Final = 2
PAGE: Final = 200  # rows looked through at once for what an older version judged
AGAIN_SHARE: Final = 8  # of a sweep's limit, one part in so many goes to what an older version judged
_CODES_IN_EVENT: Final = 8
_ID_OCTETS: Final = 10
_ACTIVE: Final = frozenset({CertificateState.GOOD, CertificateState.ON_HOLD})
_OVER: Final = frozenset({CertificateState.REVOKED, CertificateState.EXPIRED, CertificateState.ABANDONED})


class LintDesk:
    """Use cases of linting; safe to share between threads. Without a judge it reads what another program's judged."""

    def __init__(
        self,
        database: Database,
        judge: Judge | None,
        profiles: ProfileSet,
        clock: Clock,
        gate: OfficerGate,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._judge = judge
        self._profiles = profiles
        self._clock = clock
        self._gate = gate
        self._random_bytes = random_bytes
        self._judged_again = 0  # the row up to which a newer linter has come

    def verdict_of(self, serial: str) -> LintVerdict:
        """Return what was said of a certificate; judged now when it waits and there is a judge here. NotFound."""
        with self._database.read() as connection:
            waits = repository.lint_state(connection, serial) is LintState.PENDING
            signed = repository.one(connection, serial) if waits else None
        if signed is not None and self._judge is not None:
            self._judge_all(self._judge, (signed,))
        with self._database.read() as connection:
            return LintVerdict(
                serial_hex=serial,
                state=repository.lint_state(connection, serial),
                judgements=repository.judgements_of(connection, serial),
            )

    def sweep(self, limit: int) -> int:
        """Judge at most `limit` certificates without a verdict, oldest first; return how many were.

        When none waits, a few that an older linter judged are judged again.
        """
        if self._judge is None:
            return 0
        with self._database.read() as connection:
            waiting = repository.waiting(connection, limit)
        if waiting:
            self._judge_all(self._judge, waiting)
            return len(waiting)
        return self._sweep_again(self._judge, max(limit // AGAIN_SHARE, 1))

    def _sweep_again(self, judge: Judge, limit: int) -> int:
        with self._database.read() as connection:
            found = repository.after(connection, self._judged_again, PAGE)
            done = repository.judged_by(connection, [item.serial_hex for item in found], judge.name, judge.version)
        again = [item for item in found if item.serial_hex not in done][:limit]
        self._judge_all(judge, again)
        if found:
            self._judged_again = (again if len(again) == limit else found)[-1].id
        return len(again)

    def judge_before(self, certificate_der: bytes, profile: str) -> tuple[Finding, ...]:
        """Judge the twin of a certificate that is not signed yet; LintFailed for a finding of ERROR or above."""
        if self._judge is None:
            raise Conflict(ErrorCode.STATE_ILLEGAL, "no linter runs in this program")
        findings = self._judge.judge(certificate_der, self._linters(profile))
        if any(finding.severity >= GATE for finding in findings):
            raise LintFailed(findings)
        return findings

    def backlog(self) -> Backlog:
        """Tell how many certificates wait for a first verdict."""
        with self._database.read() as connection:
            return repository.backlog(connection)

    def alarms(self, *, limit: int = 100) -> tuple[Alarm, ...]:
        """List open alarms, oldest first, at most 500."""
        with self._database.read() as connection:
            return repository.open_alarms(connection, limit)

    def alarms_for(self, officer: Officer, *, limit: int) -> tuple[Alarm, ...]:
        """List to an officer the alarms about certificates that their roles cover, of the oldest 500; NotAllowed."""
        with self._database.begin() as unit:
            self._gate.allow(officer, Act.INVENTORY_READ, NOTHING, unit, realm=officer.realm)
            found = repository.open_alarms(unit.connection, limit)
            about = repository.files_of(unit.connection, found)
            sight = Sight(self._gate, unit, officer, Act.INVENTORY_READ)
            return tuple(one for one in found if sight.covers(*_reach(about.get(one.serial_hex))))

    def close_alarm(self, alarm_id: str, officer: Officer, note: str) -> Alarm:
        """Say why an alarm may be closed; it is when a second officer says so.

        A certificate that it held may then be activated. FourEyesRequired for the same officer again,
        IllegalTransition when it is closed, NotFound, InvalidInput without a note.
        """
        said = " ".join(note.split())
        if not 1 <= len(said) <= MAX_REASON or not said.isprintable():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a note has 1 to {MAX_REASON} characters")
        now = self._clock.now()
        with self._database.begin() as unit:
            alarm = repository.find_alarm(unit.connection, alarm_id, locked=True)
            if alarm.closed_at is not None:
                raise IllegalTransition("the alarm is closed already")
            about = repository.files_of(unit.connection, [alarm]).get(alarm.serial_hex)
            self._gate.allow(officer, Act.ALARM_CLOSE, _reach(about)[0], unit, subject=alarm_id)
            repository.add_note(unit.connection, alarm_id, AlarmNote(officer=officer.id, at=now, note=said))
            officers = len(alarm.notes) + 1
            closes = officers >= OFFICERS_NEEDED
            facts: dict[str, str | int] = {"alarm": alarm_id, "officers": officers, "closed": closes}
            unit.audit.record(event(AuditAction.LINT_ALARM_CLOSED, now, officer.id, alarm.serial_hex, **facts))
            if closes:
                repository.close_alarm(unit.connection, alarm_id, now)
                self._release(unit, alarm, officer)
            return repository.find_alarm(unit.connection, alarm_id)

    def _release(self, unit: UnitOfWork, alarm: Alarm, officer: Officer) -> None:
        """Take back what a first verdict did to the certificate's lint state."""
        standing = repository.lock(unit.connection, [alarm.serial_hex])[alarm.serial_hex]
        if standing.lint_state is not LintState.FAILED or not (alarm.holds or standing.state in _ACTIVE):
            return
        repository.set_lint_state(unit.connection, alarm.serial_hex, LintState.REVIEWED)
        if alarm.holds:
            now = self._clock.now()
            released = event(AuditAction.CERTIFICATE_LINT_RELEASED, now, officer.id, alarm.serial_hex, alarm=alarm.id)
            unit.audit.record(released)

    def _linters(self, profile: str) -> tuple[str, ...]:
        found = self._profiles.profiles.get(profile)
        return () if found is None else found.linters

    def _judge_all(self, judge: Judge, items: Sequence[ToJudge]) -> None:
        """Judge outside of any transaction, then write all verdicts in one."""
        if not items:
            return
        said = {item.serial_hex: judge.judge(item.der, self._linters(item.profile)) for item in items}
        now = self._clock.now()
        with self._database.begin() as unit:
            standings = repository.lock(unit.connection, list(said))
            done = repository.judged_by(unit.connection, list(said), judge.name, judge.version)
            new = {
                serial: Judgement(linter=judge.name, version=judge.version, findings=findings, at=now)
                for serial, findings in said.items()
                if serial not in done
            }
            for serial, judgement in new.items():
                self._follow(unit, serial, standings[serial], judgement)
            repository.add_judgements(unit.connection, new)

    def _follow(self, unit: UnitOfWork, serial: str, standing: Standing, judgement: Judgement) -> None:
        """Do what a verdict, not yet written, leads to."""
        severity = judgement.severity
        first = standing.lint_state is LintState.PENDING
        if first:
            repository.set_lint_state(unit.connection, serial, state_after(severity))
        if severity is None or severity < GATE or standing.state in _OVER:
            return
        codes = repository.failing_codes([judgement])
        if not first:
            codes -= repository.failing_codes(repository.judgements_of(unit.connection, serial))
        if codes:
            holds = first and standing.state not in _ACTIVE
            self._raise_alarm(unit, serial, judgement, severity, tuple(sorted(codes)), holds=holds)

    def _raise_alarm(
        self,
        unit: UnitOfWork,
        serial: str,
        judgement: Judgement,
        severity: Severity,
        codes: tuple[str, ...],
        *,
        holds: bool,
    ) -> None:
        alarm = Alarm(
            id=self._random_bytes(_ID_OCTETS).hex(),
            serial_hex=serial,
            linter=judgement.linter,
            linter_version=judgement.version,
            severity=severity,
            codes=codes,
            holds=holds,
            raised_at=judgement.at,
            closed_at=None,
        )
        repository.add_alarm(unit.connection, alarm)
        action = AuditAction.CERTIFICATE_LINT_HELD if holds else AuditAction.LINT_ALARM
        facts = {
            "alarm": alarm.id,
            "linter": f"{alarm.linter} {alarm.linter_version}",
            "severity": severity.name,
            "rules": " ".join(codes[:_CODES_IN_EVENT]),
        }
        unit.audit.record(event(action, judgement.at, LINTER, serial, **facts))


def check_activation(connection: Connection, serials: Sequence[str]) -> None:
    """Refuse to activate what was not judged, or badly; call it in the activating transaction.

    The rows are locked until that ends. Conflict (`lint-hold`) with the reason `lint.pending` or `lint.failed`;
    NotFound. Whoever calls asks `verdict_of` before, so that waiting certificates are judged where they can be.
    """
    standings = repository.lock(connection, serials)
    for serial in serials:
        if serial not in standings:
            raise NotFound(ErrorCode.NOT_FOUND, "no such certificate")
        match standings[serial].lint_state:
            case LintState.PENDING:
                raise Conflict(ErrorCode.LINT_HOLD, "not judged yet", reason="lint.pending")
            case LintState.FAILED:
                raise Conflict(ErrorCode.LINT_HOLD, "held by a verdict", reason="lint.failed")


def _reach(file: RegistrationFile | None) -> tuple[Scope, str | None]:
    """Return scope and realm of a certificate by its file; what has none is everybody's, in the topmost realm."""
    return (EVERYTHING, None) if file is None else (file.registration.scope, file.realm)
