"""Tables of key uses: what the custodians' journals said, line for line.

`key_uses` holds the lines. A chain is an unbroken run of one custodian's journal: 1 is the journal as it began, each
gap begins the next. `key_use_segments` says which lines one transaction took and which audit event tells of it: the
last segment is where the journal is read on. `key_journal_gaps` holds each break, `acknowledgement` the audit event of
the officer who looked into it. `key_use_totals` sums up what was signed. Triggers (migration 0004) refuse any other
change of the first three; what they cannot stop is found by `storage.key_use_audit`.
"""

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from storage.base import BIG_INTEGER, UtcDateTime, metadata

key_uses: Final = Table(
    "key_uses",
    metadata,
    Column("custodian", String(64), primary_key=True),
    Column("chain", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("line", LargeBinary, nullable=False),
    Column("line_hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

key_use_segments: Final = Table(
    "key_use_segments",
    metadata,
    Column("custodian", String(64), primary_key=True),
    Column("chain", Integer, primary_key=True, autoincrement=False),
    Column("first", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("last", BIG_INTEGER, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("event_id", String(36), nullable=False, unique=True),
    sqlite_with_rowid=False,
)

key_journal_gaps: Final = Table(
    "key_journal_gaps",
    metadata,
    Column("custodian", String(64), primary_key=True),
    Column("chain", Integer, primary_key=True, autoincrement=False),
    Column("expected_sequence", BIG_INTEGER, nullable=False),
    Column("expected_hash", LargeBinary, nullable=False),
    Column("found_sequence", BIG_INTEGER, nullable=False),
    Column("found_hash", LargeBinary, nullable=False),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("acknowledgement", String(36), unique=True),
    sqlite_with_rowid=False,
)

key_use_totals: Final = Table(
    "key_use_totals",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("uses", BIG_INTEGER, nullable=False),
    Column("last_use", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)
