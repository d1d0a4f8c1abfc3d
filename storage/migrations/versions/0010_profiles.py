"""Profiles: versions that were adopted, and the version that each certificate was issued by."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    op.create_table(
        "profile_versions",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("adopted_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_profile_versions")),
    )
    op.add_column("certificates", sa.Column("profile_version", sa.Integer()))
