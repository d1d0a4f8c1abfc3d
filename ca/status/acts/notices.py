"""What holders are told of acts on their certificates: a row in the act's transaction, sent by the worker.

A kill between the channel and the mark sends a notice again; the channel knows its id.
"""

import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from ca.context import WORKER, event
from ca.notices import Notice, NoticeKind, Notifier
from ca.status.acts.tables import holder_notices
from pki.audit import AuditAction
from pki.clock import Clock
from storage.engine import Database

ROUND: Final = 100

_ID_OCTETS: Final = 10
_n = holder_notices.c


def tell_holder(
    connection: Connection, kind: NoticeKind, file_id: str, at: datetime, facts: Mapping[str, str | int]
) -> None:
    """Write that the holder of a registration file is to be told; no name or national code is in `facts`."""
    row = {
        "id": f"{kind}-{secrets.token_hex(_ID_OCTETS)}",
        "kind": kind.value,
        "file_id": file_id,
        "at": at,
        "facts": json.dumps(dict(facts)),
    }
    connection.execute(insert(holder_notices), [row])


class HolderNotices:
    """Sends what waits. A worker repeats `sweep`; two of them at once tell no more often than one."""

    def __init__(self, database: Database, notifier: Notifier, clock: Clock) -> None:
        self._database, self._notifier, self._clock = database, notifier, clock

    def sweep(self, limit: int = ROUND) -> int:
        """Send at most `limit` notices, oldest first; return how many.

        Unavailable when the channel does not answer: the next sweep goes on.
        """
        with self._database.read() as connection:
            waiting = select(holder_notices).where(_n.sent_at.is_(None)).order_by(_n.at, _n.id).limit(limit)
            notices = [_notice(row) for row in connection.execute(waiting)]
        for notice in notices:
            self._notifier.send(notice)
            self._mark(notice)
        return len(notices)

    def _mark(self, notice: Notice) -> None:
        now = self._clock.now()
        with self._database.begin() as unit:
            mark = update(holder_notices).where(_n.id == notice.id, _n.sent_at.is_(None)).values(sent_at=now)
            if unit.connection.execute(mark).rowcount == 1:
                unit.audit.record(event(AuditAction.HOLDER_TOLD, now, WORKER, notice.file_id, kind=notice.kind.value))


def _notice(row: Any) -> Notice:
    return Notice(id=row.id, kind=NoticeKind(row.kind), file_id=row.file_id, at=row.at, facts=json.loads(row.facts))
