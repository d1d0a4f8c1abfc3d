"""Reminding holders, some days ahead, that a certificate ends; each kind of reminder once for each certificate.

A reminder is a row first, then a notice whose id follows from the row, then the mark that it was sent. A kill in
between leaves a row without the mark: it is sent again, and the channel knows its id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Exists, Float, Select, exists, insert, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from ca.context import WORKER, event
from ca.inventory.index_choice import beside
from ca.inventory.tables import reminders
from ca.notices import REMINDER_DAYS, Notice, NoticeKind, Notifier, check_reminder_days
from ca.status.revocation import CertificateState
from ca.tables import ENDED, certificates
from pki.audit import AuditAction
from pki.clock import Clock
from pki.instants import format_instant
from storage.engine import Database
from storage.unit_of_work import take_turn

ROUND: Final = 500

_c = certificates.c
_r = reminders.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """A certificate whose holder is to be reminded, of which kind, and since when."""

    serial: str
    days: int
    file_id: str
    profile: str
    not_after: datetime
    due_at: datetime


class _LifeInDays(FunctionElement[float]):
    """How long a certificate is valid in all: from `not_before`, to `not_after`."""

    inherit_cache = True
    type = Float()


@compiles(_LifeInDays)
def _of_instants(element: _LifeInDays, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(column, **options) for column in element.clauses)
    return f"(extract(epoch FROM {end} - {start}) / 86400)"


@compiles(_LifeInDays, "sqlite")
def _of_text(element: _LifeInDays, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(column, **options) for column in element.clauses)
    return f"(julianday({end}) - julianday({start}))"


def _succeeded() -> Exists:
    """Whether a certificate has a successor in use, which its holder activated: there is nothing left to tell."""
    following = certificates.alias("following")
    in_use = (CertificateState.GOOD.value, CertificateState.ON_HOLD.value)
    return exists().where(following.c.predecessor == _c.serial, following.c.state.in_(in_use))


def _entering(now: datetime, days: int, until: int) -> Select[Any]:
    """Select what is in the window of a kind and has no row of it.

    A window ends where the next later kind's begins: whoever missed one is reminded by the next alone. What is valid
    for hardly longer than a window is not reminded of its end on the day it is issued.
    """
    return (
        select(_c.serial, _c.file_id, _c.profile, _c.not_after)
        .where(
            _c.state.not_in(ENDED),
            beside(_c.state) == CertificateState.GOOD.value,
            _c.not_after > now + timedelta(days=until),
            _c.not_after <= now + timedelta(days=days),
            beside(_c.file_id).is_not(None),
            ~_succeeded(),
            _LifeInDays(_c.not_before, _c.not_after) > days + 1,
            ~exists().where(_r.serial == _c.serial, _r.days == days),
        )
        .order_by(_c.not_after)
        .limit(ROUND)
    )


def _unsent(connection: Connection, now: datetime) -> list[Reminder]:
    statement = (
        select(_r.serial, _r.days, _r.due_at, _c.file_id, _c.profile, _c.not_after)
        .join(certificates, _c.serial == _r.serial)
        .where(_r.sent_at.is_(None), _c.state == CertificateState.GOOD.value, _c.not_after > now, ~_succeeded())
        .order_by(_r.due_at, _r.serial)
        .limit(ROUND)
    )
    return [Reminder(**row._mapping) for row in connection.execute(statement)]  # noqa: SLF001 - its public name


def _notice(reminder: Reminder, now: datetime) -> Notice:
    return Notice(
        id=f"expiry-{reminder.serial}-{reminder.days}",
        kind=NoticeKind.EXPIRY_REMINDER,
        file_id=reminder.file_id,
        at=now,
        facts={
            "serial": reminder.serial,
            "profile": reminder.profile,
            "not_after": format_instant(reminder.not_after),
            "days": reminder.days,
        },
    )


class ReminderDesk:
    """Use cases of reminding. A worker repeats `sweep`; two of them at once remind no more often than one."""

    def __init__(self, database: Database, notifier: Notifier, clock: Clock, days: Sequence[int] = REMINDER_DAYS):
        self._database, self._notifier, self._clock = database, notifier, clock
        ordered = check_reminder_days(days)
        self._windows = tuple(zip(ordered, (*ordered[1:], 0), strict=True))

    def sweep(self) -> int:
        """Send every reminder that is due; return how many. Unavailable when the channel does not answer."""
        self.plan()
        sent = 0
        while True:
            with self._database.read() as connection:
                waiting = _unsent(connection, self._clock.now())
            if not waiting:
                return sent
            sent += self._send(waiting)

    def plan(self) -> int:
        """Write the rows of what became due; return how many."""
        planned = 0
        for days, until in self._windows:
            while found := self._plan_round(days, until):
                planned += found
        return planned

    def due(self) -> tuple[Reminder, ...]:
        """List reminders that are to be sent, at most 500: planned ones that no channel took yet."""
        self.plan()
        with self._database.read() as connection:
            return tuple(_unsent(connection, self._clock.now()))

    def _plan_round(self, days: int, until: int) -> int:
        with self._database.begin() as unit:
            take_turn(unit.connection, reminders)
            found = unit.connection.execute(_entering(self._clock.now(), days, until)).all()
            rows = [
                {"serial": row.serial, "days": days, "due_at": row.not_after - timedelta(days=days)} for row in found
            ]
            if rows:
                unit.connection.execute(insert(reminders), rows)
        return len(rows)

    def _send(self, waiting: Sequence[Reminder]) -> int:
        sent: list[Reminder] = []
        try:
            for reminder in waiting:
                self._notifier.send(_notice(reminder, self._clock.now()))
                sent.append(reminder)
        finally:
            self._mark(sent)
        return len(sent)

    def _mark(self, sent: Sequence[Reminder]) -> None:
        now = self._clock.now()
        with self._database.begin() as unit:
            for reminder in sent:
                mark = update(reminders).where(
                    _r.serial == reminder.serial, _r.days == reminder.days, _r.sent_at.is_(None)
                )
                if unit.connection.execute(mark.values(sent_at=now)).rowcount == 1:
                    facts: dict[str, str | int] = {"days": reminder.days, "file": reminder.file_id}
                    unit.audit.record(event(AuditAction.REMINDER_SENT, now, WORKER, reminder.serial, **facts))
