"""EST: one-time secrets of registration files."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    op.create_table(
        "est_secrets",
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_for", sa.LargeBinary(32)),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_est_secrets")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_est_secrets_file_id_registration_files")
        ),
    )
