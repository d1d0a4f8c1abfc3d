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
