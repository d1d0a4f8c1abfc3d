"""Renewal and replacement: which certificate came before, and that it has one living successor."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"


def upgrade() -> None:
    op.add_column("certificates", sa.Column("predecessor", sa.String(40)))
    _create("predecessor", "predecessor IS NOT NULL", unique=False)
    _create(
        "living_successor",
        "predecessor IS NOT NULL AND state NOT IN ('abandoned', 'expired', 'revoked')",
        unique=True,
    )


def _create(name: str, condition: str, *, unique: bool) -> None:
    where = sa.text(condition)
    op.create_index(
        f"ix_certificates_{name}",
        "certificates",
        ["predecessor"],
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )
