"""Recovery: what a restored database still has to be told, what could not be rebuilt, who released issuance."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision: str | None = "0021"


def upgrade() -> None:
    big_integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "recoveries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.String(64), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("ledger_size", big_integer, nullable=False),
        sa.Column("reconciled_at", sa.DateTime(timezone=True)),
        sa.Column("accepted", sa.LargeBinary()),
        sa.Column("report", sa.LargeBinary()),
        sa.Column("released_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
    )
    unreleased = sa.text("released_at IS NULL")
    op.create_index(
        "ix_recoveries_unreleased",
        "recoveries",
        ["begun_at"],
        sqlite_where=unreleased,
        postgresql_where=unreleased,
    )
    op.create_table(
        "recovery_findings",
        sa.Column("id", big_integer, nullable=False),
        sa.Column("recovery_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_findings")),
        sa.ForeignKeyConstraint(
            ["recovery_id"], ["recoveries.id"], name=op.f("fk_recovery_findings_recovery_id_recoveries")
        ),
    )
    op.create_index("ix_recovery_findings_recovery_id", "recovery_findings", ["recovery_id", "kind", "id"])
    op.create_table(
        "recovery_approvals",
        sa.Column("recovery_id", sa.String(36), nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recovery_id", "officer", name=op.f("pk_recovery_approvals")),
        sa.ForeignKeyConstraint(
            ["recovery_id"], ["recoveries.id"], name=op.f("fk_recovery_approvals_recovery_id_recoveries")
        ),
    )
