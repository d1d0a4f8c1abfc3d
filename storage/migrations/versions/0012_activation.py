"""Activation by the holder: codes, tries and what they activate."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"


def upgrade() -> None:
    op.create_table(
        "activations",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt", sa.LargeBinary(16)),
        sa.Column("digest", sa.LargeBinary(32)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sendings", sa.Integer(), nullable=False),
        sa.Column("sending_since", sa.DateTime(timezone=True)),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activations")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_activations_file_id_registration_files")
        ),
    )
    still_open, unsent = sa.text("done_at IS NULL"), sa.text("sent_at IS NULL AND done_at IS NULL")
    op.create_index(
        "ix_activations_open",
        "activations",
        ["file_id"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("ix_activations_unsent", "activations", ["made_at"], sqlite_where=unsent, postgresql_where=unsent)
    op.create_table(
        "activated_certificates",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("activation_id", sa.String(12), nullable=False),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_activated_certificates")),
        sa.ForeignKeyConstraint(
            ["serial"], ["certificates.serial"], name=op.f("fk_activated_certificates_serial_certificates")
        ),
        sa.ForeignKeyConstraint(
            ["activation_id"], ["activations.id"], name=op.f("fk_activated_certificates_activation_id_activations")
        ),
    )
    op.create_index("ix_activated_certificates_activation_id", "activated_certificates", ["activation_id"])
    # The few of many certificates that wait for their holders.
    waiting = sa.text("state = 'issued'")
    op.create_index(
        "ix_certificates_waiting", "certificates", ["file_id"], sqlite_where=waiting, postgresql_where=waiting
    )
