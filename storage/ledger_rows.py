"""Reading ledger rows without trusting them.

Whoever has the database can put any octets into any column, and SQLite lets a number stand where text belongs and
hands out text that is not UTF-8 as an error. So text and octets are read as they lie and judged here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Connection, LargeBinary, case, cast, func, select, type_coerce
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType

from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.merkle import NodeReader
from storage.ledger_entries import SALT_SIZE, ProvableEvent, event_json, instant_text, leaf_entry
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes

_EVENT: Final = tuple(audit_events.c[name] for name in ("id", "at", "action", "actor", "subject", "facts", "salt"))


def raw(column: Column[Any], connection: Connection) -> ColumnElement[Any]:
    """Select `column` as it lies: octets on SQLite, the driver's value on PostgreSQL."""
    if connection.dialect.name == "sqlite":
        return cast(column, LargeBinary)
    return type_coerce(column, NullType())


def raw_event(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """Select the columns that `provable` reads, in its order."""
    return tuple(raw(column, connection) for column in _EVENT)


def text_of(value: object) -> str | None:
    """Read raw text; None when it is none."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def octets_of(value: object) -> bytes | None:
    """Read raw octets; None when there are none."""
    return value if isinstance(value, bytes) else None


def instant_of(value: object) -> str | None:
    """Read a raw instant as the ledger writes it; None when it is none."""
    if isinstance(value, datetime):
        return instant_text(value.astimezone(UTC))
    text = text_of(value)  # SQLite keeps `YYYY-MM-DD HH:MM:SS.ffffff`
    if text is None or len(text) != 26 or text[10] != " ":
        return None
    return f"{text[:10]}T{text[11:]}Z"


def provable(fields: Sequence[Any]) -> ProvableEvent | None:
    """Turn the raw columns of an event into what the ledger proves; None when they cannot be an event."""
    event_id, action, actor, subject, facts = (text_of(fields[place]) for place in (0, 2, 3, 4, 5))
    at, salt = instant_of(fields[1]), octets_of(fields[6])
    if event_id is None or action is None or actor is None or subject is None or facts is None:
        return None
    if at is None or salt is None or len(salt) != SALT_SIZE:
        return None
    try:
        event = event_json(event_id=event_id, at=at, action=action, actor=actor, subject=subject, facts=facts)
    except InvalidInput:
        return None
    return ProvableEvent(event=event, salt=salt, entry=leaf_entry(action=action, at=at, salt=salt, event=event))


def whole(column: Column[Any], connection: Connection) -> ColumnElement[Any]:
    """Select a whole number; None for whatever else SQLite lets stand in its place."""
    if connection.dialect.name == "sqlite":
        return case((func.typeof(column) == "integer", column), else_=None)
    return column


def ledger_size(connection: Connection) -> int:
    """Return the number of entries."""
    last: int | None = connection.execute(select(func.max(ledger_leaves.c.seq))).scalar()
    return 0 if last is None else last + 1


def node_reader(connection: Connection) -> NodeReader:
    """Read the kept tree; VerificationFailed (`ledger-removed`) for a node that is not there."""

    def read(level: int, position: int) -> bytes:
        if level:
            query = select(raw(ledger_nodes.c.hash, connection)).where(
                ledger_nodes.c.level == level, ledger_nodes.c.position == position
            )
        else:
            query = select(raw(ledger_leaves.c.leaf_hash, connection)).where(ledger_leaves.c.seq == position)
        found = octets_of(connection.execute(query).scalar())
        if found is None:
            raise VerificationFailed(ErrorCode.LEDGER_REMOVED, f"node {position} of level {level} is missing")
        return found

    return read


class StoredCheckpoint(NamedTuple):
    """A checkpoint row as it lies."""

    size: int
    root: bytes
    note: str


def raw_checkpoint(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """Select the columns that `checkpoint_of` reads, in its order."""
    return checkpoints.c.size, raw(checkpoints.c.root, connection), raw(checkpoints.c.note, connection)


def checkpoint_of(fields: Sequence[Any]) -> StoredCheckpoint:
    """Turn raw columns into a checkpoint row; what is not text or octets becomes empty, which no check accepts."""
    return StoredCheckpoint(fields[0], octets_of(fields[1]) or b"", text_of(fields[2]) or "")


def latest_checkpoint(connection: Connection) -> StoredCheckpoint | None:
    """Return the checkpoint of the largest size."""
    query = select(*raw_checkpoint(connection)).order_by(checkpoints.c.size.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else checkpoint_of(row)
