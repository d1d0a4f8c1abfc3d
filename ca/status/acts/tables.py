"""Tables of acts on status that are more than one officer's on one certificate.

Holders' suspension codes, what holders are told, revocations that two officers decide, authorities whose key is
compromised, and who changed how much when. A suspension code's `name` is its first half, `digest` is of its second;
NULL until the code is made, which is when it is sent. A notice is a row in the transaction of what it tells.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, literal_column

from storage.base import BIG_INTEGER, UtcDateTime, metadata

suspension_codes: Final = Table(
    "suspension_codes",
    metadata,
    Column("name", String(8), primary_key=True),
    Column("file_id", String(36), ForeignKey("registration_files.id"), nullable=False),
    Column("made_by", String(128), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("salt", LargeBinary(16)),
    Column("digest", LargeBinary(32)),
    Column("tries", Integer, nullable=False),
    Column("tries_since", UtcDateTime),
    Column("sendings", Integer, nullable=False),
    Column("sending_since", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Index("ix_suspension_codes_file_id", "file_id"),
)
Index(
    "ix_suspension_codes_unsent",
    suspension_codes.c.made_at,
    sqlite_where=suspension_codes.c.sent_at.is_(None),
    postgresql_where=suspension_codes.c.sent_at.is_(None),
)

holder_notices: Final = Table(
    "holder_notices",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("file_id", String(36), ForeignKey("registration_files.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("facts", Text, nullable=False),
    Column("sent_at", UtcDateTime),
)
Index(
    "ix_holder_notices_unsent",
    holder_notices.c.at,
    sqlite_where=holder_notices.c.sent_at.is_(None),
    postgresql_where=holder_notices.c.sent_at.is_(None),
)

revocation_proposals: Final = Table(
    "revocation_proposals",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("serial", String(40), ForeignKey("certificates.serial"), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("invalidity_date", UtcDateTime, nullable=False),
    Column("evidence", LargeBinary(32), nullable=False),
    Column("proposed_by", String(128), nullable=False),
    Column("proposed_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided_by", String(128)),
    Column("decided_at", UtcDateTime),
    Column("why", Text),
)
_OPEN: Final = revocation_proposals.c.state == literal_column("'proposed'", String)
Index(
    "ix_revocation_proposals_open",
    revocation_proposals.c.serial,
    unique=True,
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)

compromised_authorities: Final = Table(
    "compromised_authorities",
    metadata,
    Column("authority", String(48), primary_key=True),
    Column("declared_by", String(128), nullable=False),
    Column("declared_at", UtcDateTime, nullable=False),
    Column("confirmed_by", String(128)),
    Column("confirmed_at", UtcDateTime),
)

status_acts: Final = Table(
    "status_acts",
    metadata,
    Column("id", BIG_INTEGER, primary_key=True),
    Column("officer", String(128), nullable=False),
    Column("serial", String(40), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_status_acts_officer_at", "officer", "at"),
    Index("ix_status_acts_at", "at"),
)

status_alarms: Final = Table(
    "status_alarms",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("officer", String(128), nullable=False),
    Column("changes", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
)
Index(
    "ix_status_alarms_open",
    status_alarms.c.officer,
    unique=True,
    sqlite_where=status_alarms.c.closed_at.is_(None),
    postgresql_where=status_alarms.c.closed_at.is_(None),
)

status_alarm_notes: Final = Table(
    "status_alarm_notes",
    metadata,
    Column("alarm_id", String(20), ForeignKey("status_alarms.id"), primary_key=True),
    Column("officer", String(128), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("note", Text, nullable=False),
)
