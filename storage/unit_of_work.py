"""One transaction: a change and the audit events that tell of it become durable together or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert, text

from pki.audit import AuditEvent
from storage.ledger_entries import SALT_SIZE, EventId, event_columns, new_event_id
from storage.ledger_tables import audit_events

RandomBytes = Callable[[int], bytes]

_INSERT = insert(audit_events)


class AuditBuffer:
    """Take events during a transaction; write them in one statement at its end.

    Satisfies `pki.audit.AuditSink`. An event recorded inside a savepoint stays recorded when only the
    savepoint is rolled back. Owned by one unit of work, hence by one thread.
    """

    __slots__ = ("_random_bytes", "_rows")

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes
        self._rows: list[dict[str, Any]] = []

    def record(self, event: AuditEvent) -> None:
        """Keep `event`; InvalidInput when it is too large, not in UTC or not text a database can hold."""
        self.enter(event)

    def enter(self, event: AuditEvent) -> EventId:
        """Keep `event` as `record` does and return the id by which the ledger will prove it."""
        row = event_columns(event)
        event_id = new_event_id(event.at, len(self._rows), self._random_bytes(6))
        row["id"], row["salt"] = event_id, self._random_bytes(SALT_SIZE)
        self._rows.append(row)
        return event_id

    def flush(self, connection: Connection) -> None:
        """Insert what was recorded; called once, just before the commit."""
        if self._rows:
            connection.execute(_INSERT, self._rows)
            self._rows = []


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOfWork:
    """A writing transaction in progress: rows through `connection`, audit events through `audit`."""

    connection: Connection
    audit: AuditBuffer


def take_turn(connection: Connection, table: Table) -> None:
    """Let one transaction at a time add rows to `table`; readers are not held up. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))
