"""Nonces that a key's request carries, and what was stated with the one it made a certificate for."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"


def upgrade() -> None:
    op.create_table(
        "key_proofs",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("nonce_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("serial", sa.String(40)),
        sa.Column("card", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_proofs")),
        sa.UniqueConstraint("serial", name=op.f("uq_key_proofs_serial")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_key_proofs_file_id_registration_files")
        ),
    )
    op.create_index("ix_key_proofs_expires_at", "key_proofs", ["expires_at"])
