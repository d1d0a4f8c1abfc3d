"""Someone who owns the database and lacks only the seal key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Executable, Result, delete, insert, select, text, update

from pki.merkle import RightEdge, leaf_hash
from storage.engine import Database
from storage.ledger_rows import provable, raw_event
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes


class Attacker:
    """Changes rows with the guards switched off."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        if connection.dialect.name == "sqlite":
            for name in (
                connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
            ):
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))

    @classmethod
    @contextmanager
    def on(cls, database: Database) -> Iterator[Attacker]:
        """Change a database for good."""
        with database.engine.begin() as connection:
            yield cls(connection)

    @classmethod
    @contextmanager
    def undone(cls, database: Database) -> Iterator[Attacker]:
        """Change a database in a transaction that is rolled back afterwards."""
        with database.engine.connect() as connection, connection.begin() as transaction:
            yield cls(connection)
            transaction.rollback()

    def execute(self, statement: Executable, rows: Sequence[dict[str, Any]] | None = None) -> Result[Any]:
        return self.connection.execute(statement, rows) if rows else self.connection.execute(statement)

    def truncate(self, size: int, *, checkpoints_too: bool = True) -> None:
        """Cut the tail off, as if it had never been there."""
        self.execute(delete(audit_events).where(audit_events.c.seq >= size))
        if checkpoints_too:
            self.execute(delete(checkpoints).where(checkpoints.c.size > size))
        self.rebuild()

    def rebuild(self) -> None:
        """Make leaves and nodes that fit the events as they are now."""
        self.execute(delete(ledger_leaves))
        self.execute(delete(ledger_nodes))
        query = select(*raw_event(self.connection)).where(audit_events.c.seq.is_not(None)).order_by(audit_events.c.seq)
        edge = RightEdge()
        for row in self.execute(query).all():
            event = provable(row)
            assert event is not None
            leaf = leaf_hash(event.entry)
            event_id = row[0].decode() if isinstance(row[0], bytes) else row[0]
            self.execute(insert(ledger_leaves).values(seq=edge.size, event_id=event_id, leaf_hash=leaf))
            for node in edge.append(leaf):
                self.execute(insert(ledger_nodes).values(**node._asdict()))

    def shift(self, first: int, by: int) -> None:
        """Move the events from `first` on to later or earlier places."""
        query = select(audit_events.c.seq).where(audit_events.c.seq >= first).order_by(audit_events.c.seq)
        places = self.execute(query).scalars().all()
        for place in reversed(places) if by > 0 else places:
            self.execute(update(audit_events).where(audit_events.c.seq == place).values(seq=place + by))

    def swap(self, column: Any, one: int, other: int) -> None:
        """Exchange what two rows of a table with `seq` hold in `column`."""
        table = column.table
        query = select(column).where(table.c.seq.in_((one, other))).order_by(table.c.seq)
        low, high = self.execute(query).scalars().all()
        aside = {"seq": -1, "event_id": "aside"}.get(column.name, low)
        for place, value in ((min(one, other), aside), (max(one, other), low)):
            self.execute(update(table).where(table.c.seq == place).values({column: value}))
        where = table.c.seq == (-1 if column.name == "seq" else min(one, other))
        self.execute(update(table).where(where).values({column: high}))
