"""Tables of the issuing line: whose each certified key is, what proved it, which orders came before, who issues."""

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, String, Table

from storage.base import UtcDateTime, metadata

key_holders: Final = Table(
    "key_holders",
    metadata,
    Column("spki_sha256", LargeBinary(32), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("profile", String(32), nullable=False),
    Column("compromised", Boolean, nullable=False),
)

# `id` stands for actor and key together; the certificate's own row says what became of the order.
idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("body_sha256", LargeBinary(32), nullable=False),
    Column("serial", String(40), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_idempotency_expires_at", "expires_at"),
)

# A nonce of a file until a request carries it; from then on, what was stated of the certificate `serial`.
key_proofs: Final = Table(
    "key_proofs",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("nonce_sha256", LargeBinary(32), nullable=False),
    Column("file_id", String(36), ForeignKey("registration_files.id"), nullable=False),
    Column("made_by", String(128), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("serial", String(40), unique=True),
    Column("card", String(64)),
    Index("ix_key_proofs_expires_at", "expires_at"),
)

servers: Final = Table(
    "servers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
)
