"""The table of enrolment secrets: one for a registration file, the latest that was made."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, String, Table

from storage.base import UtcDateTime, metadata

est_secrets: Final = Table(
    "est_secrets",
    metadata,
    Column("file_id", String(36), ForeignKey("registration_files.id"), primary_key=True),
    Column("salt", LargeBinary(16), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("made_by", String(128), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_for", LargeBinary(32)),
    Column("handle", String(16)),
)
