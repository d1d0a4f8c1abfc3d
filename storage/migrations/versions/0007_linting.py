"""Linting: verdicts on certificates, alarms for officers."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    _mark_certificates()
    _create_verdicts()
    _create_alarms()


def _mark_certificates() -> None:
    """Certificates of before wait for their verdict like new ones."""
    op.add_column("certificates", sa.Column("lint_state", sa.String(16), nullable=False, server_default="pending"))
    waiting = sa.text("lint_state = 'pending' AND der IS NOT NULL")
    op.create_index(
        "ix_certificates_lint_pending", "certificates", ["id"], sqlite_where=waiting, postgresql_where=waiting
    )


def _create_verdicts() -> None:
    op.create_table(
        "lint_verdicts",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("linter", sa.String(16), nullable=False),
        sa.Column("linter_version", sa.String(32), nullable=False),
        sa.Column("severity", sa.String(8)),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("serial", "linter", "linter_version", name=op.f("pk_lint_verdicts")),
        sa.ForeignKeyConstraint(["serial"], ["certificates.serial"], name=op.f("fk_lint_verdicts_serial_certificates")),
    )


def _create_alarms() -> None:
    op.create_table(
        "lint_alarms",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("linter", sa.String(16), nullable=False),
        sa.Column("linter_version", sa.String(32), nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("codes", sa.Text(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lint_alarms")),
        sa.ForeignKeyConstraint(["serial"], ["certificates.serial"], name=op.f("fk_lint_alarms_serial_certificates")),
    )
    op.create_index("ix_lint_alarms_serial", "lint_alarms", ["serial"])
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_lint_alarms_open", "lint_alarms", ["raised_at", "id"], sqlite_where=still_open, postgresql_where=still_open
    )
    op.create_table(
        "lint_alarm_notes",
        sa.Column("alarm_id", sa.String(36), nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alarm_id", "officer", name=op.f("pk_lint_alarm_notes")),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["lint_alarms.id"], name=op.f("fk_lint_alarm_notes_alarm_id_lint_alarms")
        ),
    )
