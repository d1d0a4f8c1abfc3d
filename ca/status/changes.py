"""The feed of status changes: what became of which certificate, in the order of the commits.

Whoever keeps something that follows from the rows (lists, deltas, stored answers) reads on from where it stopped, so
that a change is seen at once and a look that finds nothing costs nothing. A change is written in the transaction that
makes it. On PostgreSQL, writers share a lock until they commit and a reader waits for them: whoever has read up to a
change has read every change before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, Connection, bindparam, delete, func, insert, select, text

from ca.tables import certificates, status_changes
from storage.base import UtcDateTime
from storage.engine import Database

MOST: Final = 10_000
_POSTGRESQL_LOCK: Final = 0x7374_6174  # "stat"

_c = certificates.c
_s = status_changes.c
_AWAIT_READERS: Final = text(f"SELECT pg_advisory_xact_lock_shared({_POSTGRESQL_LOCK})")
_AWAIT_WRITERS: Final = text(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
_RECORD: Final = insert(status_changes).from_select(
    ["serial", "issuer", "shard", "listed", "at", "urgent"],
    select(
        _c.serial,
        _c.issuer,
        _c.shard,
        bindparam("listed", type_=Boolean()),
        bindparam("at", type_=UtcDateTime()),
        bindparam("urgent", type_=Boolean()),
    )
    .where(_c.serial.in_(bindparam("serials", expanding=True)))
    .order_by(_c.id),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A certificate whose status is another now; `listed` when a list is to say so, at once when it is `urgent`.

    What the status is stands in the certificate's row: it may have changed again since.
    """

    position: int
    serial_hex: str
    issuer: str
    shard: int
    listed: bool
    urgent: bool
    at: datetime


def record_changes(
    connection: Connection, serials: Sequence[str], at: datetime, *, listed: bool, urgent: bool = True
) -> None:
    """Write that the status of these certificates, whose rows say it already, is another now.

    Not `urgent`: lists may say it a while later, since nobody relied on them yet.
    """
    if not serials:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(_AWAIT_READERS)
    connection.execute(_RECORD, {"serials": serials, "listed": listed, "at": at, "urgent": urgent})


def read_changes(database: Database, after: int, *, limit: int = MOST) -> tuple[StatusChange, ...]:
    """Return the changes after a position, oldest first; none before them is still to come."""
    statement = select(status_changes).where(_s.id > after).order_by(_s.id).limit(limit)
    with database.read() as connection:
        if connection.dialect.name == "sqlite":
            return _changes(connection.execute(statement).all())
        if connection.execute(select(_s.id).where(_s.id > after).limit(1)).first() is None:
            return ()
    with database.begin() as unit:
        _await_writers(unit.connection)
        return _changes(unit.connection.execute(statement).all())


def position(connection: Connection) -> int:
    """Return the position of the last change, in a writing transaction: a later one's position is higher."""
    _await_writers(connection)
    return int(connection.execute(select(func.max(_s.id))).scalar_one_or_none() or 0)


def end_of_feed(database: Database) -> int:
    """Return a place in the feed that whatever is read from now on has seen everything up to."""
    if database.dialect == "sqlite":  # commits and changes are of one order there
        with database.read() as connection:
            return position(connection)
    with database.begin() as unit:
        return position(unit.connection)


def changes_after(database: Database, place: int) -> Iterator[StatusChange]:
    """Yield every change after a place, oldest first, until there are no more."""
    while changes := read_changes(database, place):
        yield from changes
        place = changes[-1].position


def has_list_changed(connection: Connection, issuer: str, shard: int, after: int) -> bool:
    """Whether a list has anything to say that it did not say at a position."""
    return connection.execute(select(_s.id).where(*_of_list(issuer, shard, after)).limit(1)).first() is not None


def listed_since(connection: Connection, issuer: str, shard: int, after: int) -> tuple[str, ...]:
    """Return the serial numbers about which a list has something to say that it did not say at a position."""
    statement = select(_s.serial).where(*_of_list(issuer, shard, after)).distinct()
    return tuple(connection.execute(statement).scalars())


def forget_changes(connection: Connection, before: datetime, *, limit: int = MOST) -> int:
    """Drop the oldest changes from before an instant, which nobody reads on from; return how many.

    The last stays, and with it the position.
    """
    last = select(func.max(_s.id)).scalar_subquery()
    old = select(_s.id).where(_s.id < last, _s.at < before).order_by(_s.id).limit(limit)
    return connection.execute(delete(status_changes).where(_s.id.in_(old))).rowcount


def _of_list(issuer: str, shard: int, after: int) -> tuple[ColumnElement[bool], ...]:
    return (_s.issuer == issuer, _s.shard == shard, _s.listed, _s.id > after)


def _await_writers(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_AWAIT_WRITERS)


def _changes(rows: Sequence[Any]) -> tuple[StatusChange, ...]:
    return tuple(
        StatusChange(
            position=row.id,
            serial_hex=row.serial,
            issuer=row.issuer,
            shard=row.shard,
            listed=row.listed,
            urgent=row.urgent,
            at=row.at,
        )
        for row in rows
    )
