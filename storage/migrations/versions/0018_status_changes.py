"""The feed of status changes, which lists, deltas and stored answers follow."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision: str | None = "0017"

_BIG_INTEGER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "status_changes",
        sa.Column("id", _BIG_INTEGER, nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("issuer", sa.String(32), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_status_changes_listed",
        "status_changes",
        ["issuer", "shard", "id"],
        sqlite_where=sa.text("listed"),
        postgresql_where=sa.text("listed"),
    )
