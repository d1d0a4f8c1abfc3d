"""Tables of the issuing line: whose each certified key is."""

from typing import Final

from sqlalchemy import Boolean, Column, LargeBinary, String, Table

from storage.base import metadata

key_holders: Final = Table(
    "key_holders",
    metadata,
    Column("spki_sha256", LargeBinary(32), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("profile", String(32), nullable=False),
    Column("compromised", Boolean, nullable=False),
)
