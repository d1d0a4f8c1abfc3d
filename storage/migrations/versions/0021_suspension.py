"""Suspension by the holder, revocations that two decide, compromised authorities, alarms about many changes."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision: str | None = "0020"

_BIG_INTEGER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT: Final = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_codes_and_notices()
    _create_proposals()
    _create_watch()


def _create_codes_and_notices() -> None:
    op.create_table(
        "suspension_codes",
        sa.Column("name", sa.String(8), nullable=False),
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("salt", sa.LargeBinary(16)),
        sa.Column("digest", sa.LargeBinary(32)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tries_since", _INSTANT),
        sa.Column("sendings", sa.Integer(), nullable=False),
        sa.Column("sending_since", _INSTANT),
        sa.Column("sent_at", _INSTANT),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_suspension_codes")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_suspension_codes_file_id_registration_files")
        ),
    )
    unsent = sa.text("sent_at IS NULL")
    op.create_index("ix_suspension_codes_file_id", "suspension_codes", ["file_id"])
    op.create_index(
        "ix_suspension_codes_unsent", "suspension_codes", ["made_at"], sqlite_where=unsent, postgresql_where=unsent
    )
    op.create_table(
        "holder_notices",
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("sent_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holder_notices")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_holder_notices_file_id_registration_files")
        ),
    )
    op.create_index("ix_holder_notices_unsent", "holder_notices", ["at"], sqlite_where=unsent, postgresql_where=unsent)


def _create_proposals() -> None:
    op.create_table(
        "revocation_proposals",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("invalidity_date", _INSTANT, nullable=False),
        sa.Column("evidence", sa.LargeBinary(32), nullable=False),
        sa.Column("proposed_by", sa.String(128), nullable=False),
        sa.Column("proposed_at", _INSTANT, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decided_by", sa.String(128)),
        sa.Column("decided_at", _INSTANT),
        sa.Column("why", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocation_proposals")),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_revocation_proposals_serial_certificates")
        ),
    )
    still_open = sa.text("state = 'proposed'")
    op.create_index(
        "ix_revocation_proposals_open",
        "revocation_proposals",
        ["serial"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "compromised_authorities",
        sa.Column("authority", sa.String(48), nullable=False),
        sa.Column("declared_by", sa.String(128), nullable=False),
        sa.Column("declared_at", _INSTANT, nullable=False),
        sa.Column("confirmed_by", sa.String(128)),
        sa.Column("confirmed_at", _INSTANT),
        sa.PrimaryKeyConstraint("authority", name=op.f("pk_compromised_authorities")),
    )


def _create_watch() -> None:
    op.create_table(
        "status_acts",
        sa.Column("id", _BIG_INTEGER, nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_acts")),
    )
    op.create_index("ix_status_acts_officer_at", "status_acts", ["officer", "at"])
    op.create_index("ix_status_acts_at", "status_acts", ["at"])
    op.create_table(
        "status_alarms",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("since", _INSTANT, nullable=False),
        sa.Column("raised_at", _INSTANT, nullable=False),
        sa.Column("closed_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_alarms")),
    )
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_status_alarms_open",
        "status_alarms",
        ["officer"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "status_alarm_notes",
        sa.Column("alarm_id", sa.String(20), nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alarm_id", "officer", name=op.f("pk_status_alarm_notes")),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["status_alarms.id"], name=op.f("fk_status_alarm_notes_alarm_id_status_alarms")
        ),
    )
