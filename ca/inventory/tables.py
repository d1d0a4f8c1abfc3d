"""Tables of the inventory: which reminders were sent, and the counts of the last sweep.

A reminder's row is written before it is sent; `sent_at` says that it was. Each statistic is one number by name
(`state`, `profile` … `issued`) and dimension (the state, the profile, the day).
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table

from storage.base import BIG_INTEGER, UtcDateTime, metadata

reminders: Final = Table(
    "reminders",
    metadata,
    Column("serial", String(40), ForeignKey("certificates.serial"), primary_key=True),
    Column("days", Integer, primary_key=True, autoincrement=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
)
Index(
    "ix_reminders_unsent",
    reminders.c.due_at,
    sqlite_where=reminders.c.sent_at.is_(None),
    postgresql_where=reminders.c.sent_at.is_(None),
)

statistics: Final = Table(
    "statistics",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("dimension", String(64), primary_key=True),
    Column("value", BIG_INTEGER, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
