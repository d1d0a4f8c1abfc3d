"""Connection tokens, their lights and the changes of these, used assertions, denied access tokens."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    _create_tokens()
    _create_lights()
    _create_assertions()
    _guard_changes()


def _create_tokens() -> None:
    op.create_table(
        "connection_tokens",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("siam_id", sa.String(36), nullable=False),
        sa.Column("system_id", sa.String(64), nullable=False),
        sa.Column("medium", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held_by", sa.String(128)),
        sa.Column("held_at", sa.DateTime(timezone=True)),
        sa.Column("hold_reason", sa.String(256)),
        sa.Column("certificate_serial", sa.String(40)),
        sa.Column("certificate_sha256", sa.LargeBinary(32)),
        sa.Column("certificate_not_after", sa.DateTime(timezone=True)),
        sa.Column("key_id", sa.String(43)),
        sa.Column("spki", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_tokens")),
        sa.ForeignKeyConstraint(
            ["id"], ["registration_files.id"], name=op.f("fk_connection_tokens_id_registration_files")
        ),
        sa.UniqueConstraint("certificate_serial", name=op.f("uq_connection_tokens_certificate_serial")),
        sa.UniqueConstraint("certificate_sha256", name=op.f("uq_connection_tokens_certificate_sha256")),
        sa.UniqueConstraint("key_id", name=op.f("uq_connection_tokens_key_id")),
    )
    op.create_index("ix_connection_tokens_siam_id", "connection_tokens", ["siam_id"])
    op.create_index("ix_connection_tokens_state", "connection_tokens", ["state", "id"])


def _light_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_answer", sa.String(8)),
        sa.Column("last_answer_at", sa.DateTime(timezone=True)),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("reference", sa.String(128), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True)),
    )


def _create_lights() -> None:
    op.create_table(
        "connection_lights",
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        *_light_columns(),
        sa.PrimaryKeyConstraint("token_id", "kind", name=op.f("pk_connection_lights")),
        sa.ForeignKeyConstraint(
            ["token_id"], ["connection_tokens.id"], name=op.f("fk_connection_lights_token_id_connection_tokens")
        ),
    )
    op.create_table(
        "connection_light_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        *_light_columns(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_light_changes")),
        sa.ForeignKeyConstraint(
            ["token_id"], ["connection_tokens.id"], name=op.f("fk_connection_light_changes_token_id_connection_tokens")
        ),
    )
    op.create_index("ix_connection_light_changes_token_id", "connection_light_changes", ["token_id", "id"])


def _create_assertions() -> None:
    op.create_table(
        "assertion_jtis",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_assertion_jtis")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_assertion_jtis_expires_at", "assertion_jtis", ["expires_at"])
    op.create_table(
        "denied_tokens",
        sa.Column("jti", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_denied_tokens")),
    )
    op.create_index("ix_denied_tokens_expires_at", "denied_tokens", ["expires_at"])


def _guard_changes() -> None:
    table = "connection_light_changes"
    if op.get_bind().dialect.name == "sqlite":
        for act in ("delete", "update"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act} BEFORE {act.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
            )
    else:
        op.execute(  # mohr_only_grows() is migration 0001's
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION mohr_only_grows()"
        )
