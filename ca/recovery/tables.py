"""Tables of recoveries: each time that a database was put back, what could not be rebuilt, who released issuance.

`ledger_size` is how many entries the ledger had when the recovery began; `accepted` the checkpoint (note) of a ledger
that this one does not continue, which officers know of.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table, Text

from storage.base import BIG_INTEGER, UtcDateTime, metadata

recoveries: Final = Table(
    "recoveries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("cause", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("ledger_size", BIG_INTEGER, nullable=False),
    Column("reconciled_at", UtcDateTime),
    Column("accepted", LargeBinary),
    Column("report", LargeBinary),
    Column("released_at", UtcDateTime),
)
_UNRELEASED: Final = recoveries.c.released_at.is_(None)
Index("ix_recoveries_unreleased", recoveries.c.begun_at, sqlite_where=_UNRELEASED, postgresql_where=_UNRELEASED)

recovery_findings: Final = Table(
    "recovery_findings",
    metadata,
    Column("id", BIG_INTEGER, primary_key=True),
    Column("recovery_id", String(36), ForeignKey("recoveries.id"), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_recovery_findings_recovery_id", "recovery_id", "kind", "id"),
)

recovery_approvals: Final = Table(
    "recovery_approvals",
    metadata,
    Column("recovery_id", String(36), ForeignKey("recoveries.id"), primary_key=True),
    Column("officer", String(128), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)
