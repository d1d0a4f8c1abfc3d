"""Tables of activation: for a registration file at most one that is open, and which certificates each made good.

`id` is not guessable: whoever does not have the letter cannot use up its tries. `digest` is of both codes together;
it is NULL until the codes are made, which is when they are sent.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from storage.base import UtcDateTime, metadata

activations: Final = Table(
    "activations",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("file_id", String(36), ForeignKey("registration_files.id"), nullable=False),
    Column("made_by", String(128), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("salt", LargeBinary(16)),
    Column("digest", LargeBinary(32)),
    Column("tries", Integer, nullable=False),
    Column("sendings", Integer, nullable=False),
    Column("sending_since", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("done_at", UtcDateTime),
)
Index(
    "ix_activations_open",
    activations.c.file_id,
    unique=True,
    sqlite_where=activations.c.done_at.is_(None),
    postgresql_where=activations.c.done_at.is_(None),
)
_UNSENT: Final = activations.c.sent_at.is_(None) & activations.c.done_at.is_(None)
Index("ix_activations_unsent", activations.c.made_at, sqlite_where=_UNSENT, postgresql_where=_UNSENT)

activated_certificates: Final = Table(
    "activated_certificates",
    metadata,
    Column("serial", String(40), ForeignKey("certificates.serial"), primary_key=True),
    Column("activation_id", String(12), ForeignKey("activations.id"), nullable=False),
    Index("ix_activated_certificates_activation_id", "activation_id"),
)
