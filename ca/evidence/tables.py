"""The tables of evidence: a sealed scan for a digest that a registration file names, or a proposed revocation.

A deleted scan leaves its row: who brought it, when, and since when it is gone.
"""

from typing import Any, Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from storage.base import UtcDateTime, metadata


def _scans(name: str, subject: Column[Any]) -> Table:
    table = Table(
        name,
        metadata,
        subject,
        Column("sha256", LargeBinary(32), primary_key=True),
        Column("media_type", String(32), nullable=False),
        Column("octets", Integer, nullable=False),
        Column("attached_by", String(128), nullable=False),
        Column("attached_at", UtcDateTime, nullable=False),
        Column("deleted_at", UtcDateTime),
        Column("key_id", LargeBinary(8), nullable=False),
        Column("sealed", LargeBinary),  # last: what is asked of a row must not read through megabytes
    )
    # A scan is brought before the decision that it is for: the sweep looks at what came long enough ago and is here.
    here = table.c.deleted_at.is_(None)
    Index(f"ix_{name}_attached_at", table.c.attached_at, sqlite_where=here, postgresql_where=here)
    return table


evidence: Final = _scans(
    "evidence", Column("file_id", String(36), ForeignKey("registration_files.id"), primary_key=True)
)
revocation_evidence: Final = _scans(
    "revocation_evidence", Column("proposal_id", String(20), ForeignKey("revocation_proposals.id"), primary_key=True)
)
