"""Table of the identity schemes that were ever issued by; `body` is canonical JSON and `sha256` its digest."""

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from storage.base import UtcDateTime, metadata

identity_versions: Final = Table(
    "identity_versions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("adopted_at", UtcDateTime, nullable=False),
    Column("adopted_by", String(128), nullable=False),
)
