"""An eye on officers who revoke or suspend many certificates in a short time: an alarm for two others, never a bar.

Each such change is counted in its own transaction. An alarm is raised once, counts on while it is open, and is closed
when two officers, neither of them the one it is about, have said why. What came before that is not counted again.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from ca.config import AuthoritySettings
from ca.context import WORKER, event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import NOTHING
from ca.registration import MAX_REASON
from ca.status.acts.tables import status_acts, status_alarm_notes, status_alarms
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, NotFound
from pki.instants import format_instant
from storage.engine import Database
from storage.unit_of_work import UnitOfWork, take_turn

OFFICERS_NEEDED: Final = 2
KEPT: Final = timedelta(days=7)
MOST: Final = 500

_ID_OCTETS: Final = 10
_ID: Final = re.compile(r"[0-9a-f]{20}")
_s = status_acts.c
_a = status_alarms.c
_n = status_alarm_notes.c


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAlarm:
    """Many changes by one officer, the first of them at `since`, and who said that the alarm may be closed."""

    id: str
    officer: str
    changes: int
    since: datetime
    raised_at: datetime
    closed_at: datetime | None
    officers: tuple[str, ...] = ()


def count_changes(
    unit: UnitOfWork, settings: AuthoritySettings, officer: str, serials: Sequence[str], now: datetime
) -> None:
    """Count what an officer revoked or suspended in this transaction, and raise an alarm where it is much."""
    if not serials:
        return
    connection = unit.connection
    rows = [{"officer": officer, "serial": serial, "at": now} for serial in serials]
    connection.execute(insert(status_acts), rows)
    still_open = update(status_alarms).where(_a.officer == officer, _a.closed_at.is_(None))
    if connection.execute(still_open.values(changes=_a.changes + len(rows))).rowcount:
        return
    if _recent(connection, settings.alarm_within, officer, now)[0] < settings.alarm_changes:
        return
    take_turn(connection, status_alarms)
    if connection.execute(still_open.values(changes=_a.changes + len(rows))).rowcount:
        return  # another transaction of theirs was first
    changes, since = _recent(connection, settings.alarm_within, officer, now)
    alarm_id = secrets.token_hex(_ID_OCTETS)
    values = {"id": alarm_id, "officer": officer, "changes": changes, "since": since, "raised_at": now}
    connection.execute(insert(status_alarms), [values])
    facts: dict[str, str | int] = {"changes": changes, "since": format_instant(since)}
    unit.audit.record(event(AuditAction.STATUS_ALARM, now, WORKER, alarm_id, officer=officer, **facts))


def _recent(connection: Connection, within: timedelta, officer: str, now: datetime) -> tuple[int, datetime]:
    """Count an officer's changes since the window began or their last alarm was closed; tell the first one's time."""
    closed = connection.execute(select(func.max(_a.closed_at)).where(_a.officer == officer)).scalar_one_or_none()
    since = now - within
    after = _s.at > (since if closed is None else max(since, closed))
    row = connection.execute(select(func.count(), func.min(_s.at)).where(_s.officer == officer, after)).one()
    return int(row[0]), row[1] or now


class StatusAlarms:
    """Use cases of alarms about many changes; safe to share between threads."""

    def __init__(self, database: Database, gate: OfficerGate, clock: Clock) -> None:
        self._database, self._gate, self._clock = database, gate, clock

    def open_alarms(self) -> tuple[StatusAlarm, ...]:
        """List open alarms, oldest first, at most 500."""
        with self._database.read() as connection:
            return _open(connection)

    def alarms_for(self, officer: Officer) -> tuple[StatusAlarm, ...]:
        """List open alarms to an officer; NotAllowed."""
        with self._database.begin() as unit:
            self._gate.allow(officer, Act.INVENTORY_READ, NOTHING, unit, realm=officer.realm)
            return _open(unit.connection)

    def close(self, alarm_id: str, officer: Officer, note: str) -> StatusAlarm:
        """Say why an alarm may be closed; it is when a second officer says so.

        FourEyesRequired for the officer it is about and for the same officer again, IllegalTransition when it is
        closed, NotFound, InvalidInput without a note, NotAllowed as the gate's.
        """
        said = " ".join(note.split())
        if not 1 <= len(said) <= MAX_REASON or not said.isprintable():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a note has 1 to {MAX_REASON} characters")
        now = self._clock.now()
        with self._database.begin() as unit:
            alarm = _find(unit.connection, alarm_id)
            if alarm.closed_at is not None:
                raise IllegalTransition("the alarm is closed already")
            self._gate.allow(officer, Act.ALARM_CLOSE, NOTHING, unit, subject=alarm_id)
            if officer.id == alarm.officer:
                raise FourEyesRequired("nobody closes an alarm about themself", "alarm.own")
            if officer.id in alarm.officers:
                raise FourEyesRequired("this officer said so before", "officer.twice")
            row = {"alarm_id": alarm_id, "officer": officer.id, "at": now, "note": said}
            unit.connection.execute(insert(status_alarm_notes), [row])
            officers = len(alarm.officers) + 1
            closes = officers >= OFFICERS_NEEDED
            if closes:
                unit.connection.execute(update(status_alarms).where(_a.id == alarm_id).values(closed_at=now))
            facts: dict[str, str | int] = {"officers": officers, "closed": closes}
            unit.audit.record(event(AuditAction.STATUS_ALARM_CLOSED, now, officer.id, alarm_id, **facts))
            return _find(unit.connection, alarm_id)

    def sweep(self) -> int:
        """Forget changes that are too old to count; return how many."""
        with self._database.begin() as unit:
            old = delete(status_acts).where(_s.at < self._clock.now() - KEPT)
            return unit.connection.execute(old).rowcount


def _alarm(connection: Connection, row: Any) -> StatusAlarm:
    said = select(_n.officer).where(_n.alarm_id == row.id).order_by(_n.at, _n.officer)
    officers = tuple(connection.execute(said).scalars())
    return StatusAlarm(**row._mapping, officers=officers)  # noqa: SLF001 - its public name


def _open(connection: Connection) -> tuple[StatusAlarm, ...]:
    rows = connection.execute(
        select(status_alarms).where(_a.closed_at.is_(None)).order_by(_a.raised_at, _a.id).limit(MOST)
    ).all()
    return tuple(_alarm(connection, row) for row in rows)


def _find(connection: Connection, alarm_id: str) -> StatusAlarm:
    known = _ID.fullmatch(alarm_id) is not None
    found = select(status_alarms).where(_a.id == alarm_id).with_for_update()
    row = connection.execute(found).one_or_none() if known else None
    if row is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such alarm")
    return _alarm(connection, row)
