"""What a revocation that reaches back rests on, kept sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision: str | None = "0023"


def upgrade() -> None:
    op.create_table(
        "revocation_evidence",
        sa.Column("proposal_id", sa.String(20), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("media_type", sa.String(32), nullable=False),
        sa.Column("octets", sa.Integer(), nullable=False),
        sa.Column("attached_by", sa.String(128), nullable=False),
        sa.Column("attached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("key_id", sa.LargeBinary(8), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("proposal_id", "sha256", name=op.f("pk_revocation_evidence")),
        sa.ForeignKeyConstraint(
            ["proposal_id"],
            ["revocation_proposals.id"],
            name=op.f("fk_revocation_evidence_proposal_id_revocation_proposals"),
        ),
    )
    here = sa.text("deleted_at IS NULL")
    op.create_index(
        "ix_revocation_evidence_attached_at",
        "revocation_evidence",
        ["attached_at"],
        sqlite_where=here,
        postgresql_where=here,
    )
