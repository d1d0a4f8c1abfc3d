"""Tables of connection tokens: tokens, their lights and every change of these, used assertions, denied tokens.

There is no table of access tokens: they are short-lived and each is an audit event. `connection_lights` is
what `connection_light_changes` (append only, by trigger) adds up to, kept so that the gate reads three rows.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from storage.base import BIG_INTEGER, UtcDateTime, metadata

connection_tokens: Final = Table(
    "connection_tokens",
    metadata,
    Column("id", String(36), ForeignKey("registration_files.id"), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("siam_id", String(36), nullable=False),
    Column("system_id", String(64), nullable=False),
    Column("medium", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("held_by", String(128)),
    Column("held_at", UtcDateTime),
    Column("hold_reason", String(256)),
    Column("certificate_serial", String(40), unique=True),
    Column("certificate_sha256", LargeBinary(32), unique=True),
    Column("certificate_not_after", UtcDateTime),
    Column("key_id", String(43), unique=True),
    Column("spki", LargeBinary),
    Index("ix_connection_tokens_siam_id", "siam_id"),
    Index("ix_connection_tokens_state", "state", "id"),
)


def _light_columns() -> tuple[Column[object], ...]:
    return (
        Column("state", String(8), nullable=False),
        Column("since", UtcDateTime, nullable=False),
        Column("last_answer", String(8)),
        Column("last_answer_at", UtcDateTime),
        Column("source", String(128), nullable=False),
        Column("reference", String(128), nullable=False),
        Column("valid_until", UtcDateTime),
    )


connection_lights: Final = Table(
    "connection_lights",
    metadata,
    Column("token_id", String(36), ForeignKey("connection_tokens.id"), primary_key=True),
    Column("kind", String(24), primary_key=True),
    *_light_columns(),
)

connection_light_changes: Final = Table(
    "connection_light_changes",
    metadata,
    Column("id", BIG_INTEGER, primary_key=True),
    Column("token_id", String(36), ForeignKey("connection_tokens.id"), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    *_light_columns(),
    Index("ix_connection_light_changes_token_id", "token_id", "id"),
)

# The key is SHA-256(client id, NUL, jti): a fixed size whatever clients choose.
assertion_jtis: Final = Table(
    "assertion_jtis",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_assertion_jtis_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

denied_tokens: Final = Table(
    "denied_tokens",
    metadata,
    Column("jti", String(64), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_denied_tokens_expires_at", "expires_at"),
)
