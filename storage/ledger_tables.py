"""Tables of the audit trail and its Merkle ledger.

`audit_events` holds what happened; `seq` is its place in the ledger, empty until the sequencer gives one.
`ledger_leaves` and `ledger_nodes` hold the tree: leaf hashes, and the roots of the perfect subtrees of level 1
and above. `checkpoints` holds the signed notes. Triggers (migration 0001) refuse every change of a written row;
they stop mistakes, not the owner of the database: that is what checkpoints kept elsewhere are for.
"""

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, String, Table, Text

from storage.base import BIG_INTEGER, UtcDateTime, metadata

audit_events: Final = Table(
    "audit_events",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("action", String(64), nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("seq", BIG_INTEGER, unique=True),
)

# What the sequencer asks for each second must not grow with the ledger.
Index(
    "ix_audit_events_unsequenced",
    audit_events.c.id,
    sqlite_where=audit_events.c.seq.is_(None),
    postgresql_where=audit_events.c.seq.is_(None),
)

ledger_leaves: Final = Table(
    "ledger_leaves",
    metadata,
    Column("seq", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("leaf_hash", LargeBinary, nullable=False),
)

ledger_nodes: Final = Table(
    "ledger_nodes",
    metadata,
    Column("level", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("position", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    Column("size", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
)
