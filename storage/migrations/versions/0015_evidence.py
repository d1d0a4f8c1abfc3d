"""Evidence of registration files; what tells an enrolment secret from a guess."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("media_type", sa.String(32), nullable=False),
        sa.Column("octets", sa.Integer(), nullable=False),
        sa.Column("attached_by", sa.String(128), nullable=False),
        sa.Column("attached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("key_id", sa.LargeBinary(8), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("file_id", "sha256", name=op.f("pk_evidence")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_evidence_file_id_registration_files")
        ),
    )
    op.create_index(
        "ix_evidence_attached_at",
        "evidence",
        ["attached_at"],
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    # A secret of before has no handle: it is tried by its file's id alone until it ends, within 30 days.
    op.add_column("est_secrets", sa.Column("handle", sa.String(16)))
