"""The table of evidence: a sealed scan for a digest that its registration file names.

A deleted scan leaves its row: who brought it, when, and since when it is gone.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from storage.base import UtcDateTime, metadata

evidence: Final = Table(
    "evidence",
    metadata,
    Column("file_id", String(36), ForeignKey("registration_files.id"), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("media_type", String(32), nullable=False),
    Column("octets", Integer, nullable=False),
    Column("attached_by", String(128), nullable=False),
    Column("attached_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Column("key_id", LargeBinary(8), nullable=False),
    Column("sealed", LargeBinary),  # last: what is asked of a row must not read through megabytes
)

# A scan is brought before the decision on its file: the sweep looks at what came long enough ago and is still here.
Index(
    "ix_evidence_attached_at",
    evidence.c.attached_at,
    sqlite_where=evidence.c.deleted_at.is_(None),
    postgresql_where=evidence.c.deleted_at.is_(None),
)
