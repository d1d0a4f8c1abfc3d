"""Tables of linting: verdicts on certificates, alarms about them, and what officers say to an alarm."""

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text

from storage.base import UtcDateTime, metadata

lint_verdicts: Final = Table(
    "lint_verdicts",
    metadata,
    Column("serial", String(40), ForeignKey("certificates.serial"), primary_key=True),
    Column("linter", String(16), primary_key=True),
    Column("linter_version", String(32), primary_key=True),
    Column("severity", String(8)),
    Column("findings", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

lint_alarms: Final = Table(
    "lint_alarms",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("serial", String(40), ForeignKey("certificates.serial"), nullable=False),
    Column("linter", String(16), nullable=False),
    Column("linter_version", String(32), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("codes", Text, nullable=False),
    Column("holds", Boolean, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Index("ix_lint_alarms_serial", "serial"),
)

Index(
    "ix_lint_alarms_open",
    lint_alarms.c.raised_at,
    lint_alarms.c.id,
    sqlite_where=lint_alarms.c.closed_at.is_(None),
    postgresql_where=lint_alarms.c.closed_at.is_(None),
)

lint_alarm_notes: Final = Table(
    "lint_alarm_notes",
    metadata,
    Column("alarm_id", String(36), ForeignKey("lint_alarms.id"), primary_key=True),
    Column("officer", String(128), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("note", Text, nullable=False),
)
