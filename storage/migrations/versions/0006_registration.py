"""Registration: what registries said of a file, silence that an approver accepted, files that end by themselves."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"

_FILE_LIFE = timedelta(days=30)


def upgrade() -> None:
    op.create_table(
        "registry_words",
        sa.Column("file_id", sa.String(36), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("answer", sa.String(8), nullable=False),
        sa.Column("why", sa.String(16)),
        sa.Column("differs", sa.Text()),
        sa.Column("reference", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("file_id", "round", "source", name=op.f("pk_registry_words")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_registry_words_file_id_registration_files")
        ),
    )
    op.add_column("approvals", sa.Column("silence_reason", sa.Text()))
    _add_to_files()
    _create_bulk()


def _add_to_files() -> None:
    op.add_column("registration_files", sa.Column("province", sa.String(64)))
    op.add_column("registration_files", sa.Column("previous", sa.String(36)))
    op.add_column("registration_files", sa.Column("rounds", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("registration_files", sa.Column("checked_at", sa.DateTime(timezone=True)))
    op.add_column("registration_files", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.add_column("registration_files", sa.Column("ended_at", sa.DateTime(timezone=True)))
    undecided = sa.text("state IN ('draft', 'submitted', 'checked')")
    op.create_index(
        "ix_registration_files_expires_at",
        "registration_files",
        ["expires_at"],
        sqlite_where=undecided,
        postgresql_where=undecided,
    )
    files = sa.table("registration_files", sa.column("state"), sa.column("expires_at", sa.DateTime(timezone=True)))
    end = datetime.now(UTC) + _FILE_LIFE
    if op.get_bind().dialect.name == "sqlite":
        end = end.replace(tzinfo=None)  # as every instant is kept there
    op.execute(files.update().where(files.c.state == "submitted").values(expires_at=end))


def _create_bulk() -> None:
    op.create_table(
        "bulk_jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("realm_id", sa.String(36)),
        sa.Column("certificate_sha256", sa.LargeBinary(32)),
        sa.Column("statement", sa.LargeBinary()),
        sa.Column("signature", sa.LargeBinary()),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_jobs")),
        sa.UniqueConstraint("sha256", name=op.f("uq_bulk_jobs_sha256")),
    )
    op.create_table(
        "bulk_rows",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("file_id", sa.String(36)),
        sa.Column("profile", sa.String(32)),
        sa.Column("csr", sa.LargeBinary()),
        sa.Column("serial", sa.String(40)),
        sa.Column("code", sa.String(32)),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("pk_bulk_rows")),
        sa.ForeignKeyConstraint(["job_id"], ["bulk_jobs.id"], name=op.f("fk_bulk_rows_job_id_bulk_jobs")),
        sa.ForeignKeyConstraint(
            ["file_id"], ["registration_files.id"], name=op.f("fk_bulk_rows_file_id_registration_files")
        ),
    )
    op.create_index("ix_bulk_rows_file_id", "bulk_rows", ["file_id"])
    op.create_table(
        "bulk_approvals",
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("officer", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("silence_reason", sa.Text()),
        sa.Column("realm_id", sa.String(36)),
        sa.Column("certificate_sha256", sa.LargeBinary(32)),
        sa.Column("statement", sa.LargeBinary()),
        sa.Column("signature", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("job_id", "officer", name=op.f("pk_bulk_approvals")),
        sa.ForeignKeyConstraint(["job_id"], ["bulk_jobs.id"], name=op.f("fk_bulk_approvals_job_id_bulk_jobs")),
    )
