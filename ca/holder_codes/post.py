"""How codes of any kind reach their holders.

They are a row first. They are made where they are sent, their digest is durable before they are, and the mark that
they were sent comes last: who is killed in between leaves a row whose codes are made anew, with notices of other ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from ca.context import WORKER, event
from ca.holder_codes.records import DrawnCodes, DueCodes
from ca.holder_codes.rows import CodeRows
from ca.notices import Notifier
from pki.audit import AuditAction
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import UnitOfWork, take_turn

SENDING_PATIENCE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeKind:
    """What codes of one kind are.

    `files_without` lists files whose holders wait for codes that nobody wrote yet, at most so many; `write` writes a
    row for one of them; `draw` makes the codes of a row; `posted` does what their being under way changes.
    """

    rows: CodeRows
    planned_at_once: int
    sent: AuditAction
    files_without: Callable[[Connection, int], Sequence[str]]
    write: Callable[[UnitOfWork, str, str], object]
    draw: Callable[[DueCodes, datetime], DrawnCodes]
    posted: Callable[[Connection, DueCodes], None] | None = None


class CodePost:
    """Writes, makes and sends the codes of one kind; safe to share between threads."""

    def __init__(self, database: Database, notifier: Notifier, clock: Clock, kind: CodeKind) -> None:
        self._database, self._notifier, self._clock, self._kind = database, notifier, clock, kind

    def plan(self) -> int:
        """Write codes for holders who wait for theirs; return how many."""
        kind, planned = self._kind, 0
        while True:
            with self._database.begin() as unit:
                take_turn(unit.connection, kind.rows.table)
                found = kind.files_without(unit.connection, kind.planned_at_once)
                for file_id in found:
                    kind.write(unit, file_id, WORKER)
            planned += len(found)
            if len(found) < kind.planned_at_once:
                return planned

    def sweep(self, limit: int) -> int:
        """Plan, then make and send at most `limit` codes that are due; return how many were sent.

        Unavailable when the channel does not answer: the next sweep goes on.
        """
        self.plan()
        given_up = self._clock.now() - SENDING_PATIENCE
        with self._database.read() as connection:
            due = self._kind.rows.unsent(connection, given_up_before=given_up, limit=limit)
        return self.send(due)

    def send(self, due: Sequence[DueCodes]) -> int:
        """Make and send codes that nobody else is sending; return how many. Unavailable."""
        drawn = [self._kind.draw(one, self._clock.now()) for one in due]
        sent: list[DrawnCodes] = []
        with self._database.begin() as unit:
            now = self._clock.now()
            started = [one for one in drawn if self._kind.rows.start_sending(unit.connection, one, now)]
        try:
            for one in started:
                for notice in one.notices:
                    self._notifier.send(notice)
                sent.append(one)
        finally:
            self._mark(sent)
        return len(sent)

    def _mark(self, sent: Sequence[DrawnCodes]) -> None:
        if not sent:
            return
        now = self._clock.now()
        with self._database.begin() as unit:
            for due in (one.due for one in sent if self._kind.rows.mark_sent(unit.connection, one, now)):
                if self._kind.posted is not None:
                    self._kind.posted(unit.connection, due)
                unit.audit.record(event(self._kind.sent, now, WORKER, due.file_id, sending=due.sendings + 1))
