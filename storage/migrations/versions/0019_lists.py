"""Lists at scale: their places in the feed of changes, their entries in pages, and deltas."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision: str | None = "0018"

_BIG_INTEGER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT: Final = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.drop_index("ix_certificates_listed", "certificates")
    op.create_index(
        "ix_certificates_listed",
        "certificates",
        ["issuer", "shard", "id", "not_after", "crl_entry"],
        sqlite_where=sa.text("crl_entry IS NOT NULL"),
        postgresql_where=sa.text("crl_entry IS NOT NULL"),
    )
    op.add_column("crls", sa.Column("position", _BIG_INTEGER))  # a list of before has none, and is made anew
    op.add_column("crls", sa.Column("paged", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "crl_pages",
        sa.Column("issuer", sa.String(32), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("page", _BIG_INTEGER, nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "shard", "page", name=op.f("pk_crl_pages")),
    )
    op.create_table(
        "crl_deltas",
        sa.Column("issuer", sa.String(32), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("number", _BIG_INTEGER, nullable=False),
        sa.Column("base", _BIG_INTEGER, nullable=False),
        sa.Column("this_update", _INSTANT, nullable=False),
        sa.Column("next_update", _INSTANT, nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("tbs_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("position", _BIG_INTEGER, nullable=False),
        sa.Column("der", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("issuer", "shard", "number", name=op.f("pk_crl_deltas")),
    )
    for table in ("crls", "crl_deltas"):
        op.create_index(
            f"ix_{table}_kept",
            table,
            ["issuer", "shard", "number"],
            sqlite_where=sa.text("der IS NOT NULL"),
            postgresql_where=sa.text("der IS NOT NULL"),
        )
