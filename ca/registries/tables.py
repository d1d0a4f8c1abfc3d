"""Table of what registries said about registration files: one row for each source and each time it was asked."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text

from storage.base import UtcDateTime, metadata

registry_words: Final = Table(
    "registry_words",
    metadata,
    Column("file_id", String(36), ForeignKey("registration_files.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("answer", String(8), nullable=False),
    Column("why", String(16)),
    Column("differs", Text),
    Column("reference", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime),
)
