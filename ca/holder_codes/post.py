"""How codes of any kind reach their holders.

They are a row first. They are made where they are sent, their digest is durable before they are, and the mark that
they were sent comes last: who is killed in between leaves a row whose codes are made anew, with notices of other ids.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection

from ca.context import WORKER, event
from ca.holder_codes.records import DrawnCodes, DueCodes
from ca.holder_codes.rows import CodeRows, newest_certificate, still_without, waiting_without
from ca.notices import Notifier
from pki.audit import AuditAction
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import UnitOfWork, take_turn

SENDING_PATIENCE: Final = timedelta(minutes=5)
AT_ONCE: Final = 50  # rows of one transaction: orders for certificates wait for it
MOST_PLANNED: Final = 10_000
LOOKS_AGAIN: Final = timedelta(hours=1)
LATE_COMERS: Final = 20_000  # numbers of rows that may still be completed after later ones


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeKind:
    """What codes of one kind are.

    `covered` says of a waiting certificate that there are codes for it; `write` writes a row for a file without; `draw`
    makes the codes of a row; `posted` does what their being under way changes.
    """

    rows: CodeRows
    sent: AuditAction
    covered: ColumnElement[bool]
    write: Callable[[UnitOfWork, str, str], object]
    draw: Callable[[DueCodes, datetime], DrawnCodes]
    posted: Callable[[Connection, DueCodes], None] | None = None


class CodePost:
    """Writes, makes and sends the codes of one kind; safe to share between threads."""

    def __init__(self, database: Database, notifier: Notifier, clock: Clock, kind: CodeKind) -> None:
        self._database, self._notifier, self._clock, self._kind = database, notifier, clock, kind
        self._looked_through, self._looked_at = 0, datetime.min.replace(tzinfo=UTC)

    def plan(self, limit: int = MOST_PLANNED) -> int:
        """Write codes for holders who wait for theirs, about `limit` at most; return how many.

        Whoever waits is looked for outside of the writers' turns, and once an hour among more than the latest.
        """
        planned, now = 0, self._clock.now()
        if now - self._looked_at >= LOOKS_AGAIN:
            self._looked_through, self._looked_at = 0, now
        while planned < limit:
            with self._database.read() as connection:
                found = waiting_without(connection, self._kind.covered, self._looked_through, AT_ONCE)
                if not found:
                    newest = newest_certificate(connection)
                    self._looked_through = max(newest - LATE_COMERS, self._looked_through)
                    break
            planned += self._write({file_id for _, file_id in found})
        return planned

    def _write(self, files: AbstractSet[str]) -> int:
        with self._database.begin() as unit:
            take_turn(unit.connection, self._kind.rows.table)
            mine = still_without(unit.connection, self._kind.covered, files)
            for file_id in mine:
                self._kind.write(unit, file_id, WORKER)
        return len(mine)

    def sweep(self, limit: int, planned: int = MOST_PLANNED) -> int:
        """Plan about `planned`, then make and send at most `limit` codes that are due; return how many were sent.

        Unavailable when the channel does not answer: the next sweep goes on.
        """
        self.plan(planned)
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
