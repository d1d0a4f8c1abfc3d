"""Audit events, ledger leaves and nodes, checkpoints, and the triggers that refuse to change them."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_APPEND_ONLY: Final = ("ledger_leaves", "ledger_nodes", "checkpoints")
_EVENT_COLUMNS: Final = ("id", "at", "action", "actor", "subject", "facts", "salt")


def upgrade() -> None:
    _create_tables()
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _create_tables() -> None:
    big_integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("seq", big_integer),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        sa.UniqueConstraint("seq", name=op.f("uq_audit_events_seq")),
    )
    op.create_index(
        "ix_audit_events_unsequenced",
        "audit_events",
        ["id"],
        sqlite_where=sa.text("seq IS NULL"),
        postgresql_where=sa.text("seq IS NULL"),
    )
    op.create_table(
        "ledger_leaves",
        sa.Column("seq", big_integer, autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_leaves")),
        sa.UniqueConstraint("event_id", name=op.f("uq_ledger_leaves_event_id")),
    )
    op.create_table(
        "ledger_nodes",
        sa.Column("level", big_integer, autoincrement=False, nullable=False),
        sa.Column("position", big_integer, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "position", name=op.f("pk_ledger_nodes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", big_integer, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoints")),
    )


def _guard_sqlite() -> None:
    for table in (*_APPEND_ONLY, "audit_events"):
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        )
    unchanged = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in _EVENT_COLUMNS)
    op.execute(
        "CREATE TRIGGER audit_events_seq_once BEFORE UPDATE ON audit_events "
        f"WHEN NOT (OLD.seq IS NULL AND NEW.seq IS NOT NULL AND {unchanged}) "
        "BEGIN SELECT RAISE(ABORT, 'an audit event changes once, when it gets its seq'); END"
    )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION mohr_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% only grows', TG_TABLE_NAME "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION mohr_only_grows()"
        )
    op.execute(
        "CREATE TRIGGER audit_events_no_delete BEFORE DELETE OR TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION mohr_only_grows()"
    )
    unchanged = " AND ".join(f"NEW.{column} IS NOT DISTINCT FROM OLD.{column}" for column in _EVENT_COLUMNS)
    op.execute(
        "CREATE TRIGGER audit_events_seq_once BEFORE UPDATE ON audit_events FOR EACH ROW "
        f"WHEN (NOT (OLD.seq IS NULL AND NEW.seq IS NOT NULL AND {unchanged})) "
        "EXECUTE FUNCTION mohr_only_grows()"
    )
