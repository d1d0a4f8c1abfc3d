"""Key uses from the custodians' journals, the gaps in these, totals by key."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

_APPEND_ONLY: Final = ("key_uses", "key_use_segments")
_GAP_COLUMNS: Final = (
    "custodian",
    "chain",
    "expected_sequence",
    "expected_hash",
    "found_sequence",
    "found_hash",
    "event_id",
)


def upgrade() -> None:
    _create_tables()
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _create_tables() -> None:
    big_integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "key_uses",
        sa.Column("custodian", sa.String(64), nullable=False),
        sa.Column("chain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", big_integer, autoincrement=False, nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.Column("line_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("custodian", "chain", "sequence", name=op.f("pk_key_uses")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_use_segments",
        sa.Column("custodian", sa.String(64), nullable=False),
        sa.Column("chain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", big_integer, autoincrement=False, nullable=False),
        sa.Column("last", big_integer, nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("custodian", "chain", "first", name=op.f("pk_key_use_segments")),
        sa.UniqueConstraint("event_id", name=op.f("uq_key_use_segments_event_id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_journal_gaps",
        sa.Column("custodian", sa.String(64), nullable=False),
        sa.Column("chain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("expected_sequence", big_integer, nullable=False),
        sa.Column("expected_hash", sa.LargeBinary(), nullable=False),
        sa.Column("found_sequence", big_integer, nullable=False),
        sa.Column("found_hash", sa.LargeBinary(), nullable=False),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.Column("acknowledgement", sa.String(36)),
        sa.PrimaryKeyConstraint("custodian", "chain", name=op.f("pk_key_journal_gaps")),
        sa.UniqueConstraint("event_id", name=op.f("uq_key_journal_gaps_event_id")),
        sa.UniqueConstraint("acknowledgement", name=op.f("uq_key_journal_gaps_acknowledgement")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_use_totals",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("uses", big_integer, nullable=False),
        sa.Column("last_use", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_key_use_totals")),
        sqlite_with_rowid=False,
    )


def _guard_sqlite() -> None:
    for table in (*_APPEND_ONLY, "key_journal_gaps"):
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        )
    unchanged = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in _GAP_COLUMNS)
    op.execute(
        "CREATE TRIGGER key_journal_gaps_acknowledged_once BEFORE UPDATE ON key_journal_gaps "
        f"WHEN NOT (OLD.acknowledgement IS NULL AND NEW.acknowledgement IS NOT NULL AND {unchanged}) "
        "BEGIN SELECT RAISE(ABORT, 'a gap changes once, when it is acknowledged'); END"
    )


def _guard_postgresql() -> None:  # mohr_only_grows() is migration 0001's
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION mohr_only_grows()"
        )
    op.execute(
        "CREATE TRIGGER key_journal_gaps_no_delete BEFORE DELETE OR TRUNCATE ON key_journal_gaps "
        "FOR EACH STATEMENT EXECUTE FUNCTION mohr_only_grows()"
    )
    unchanged = " AND ".join(f"NEW.{column} IS NOT DISTINCT FROM OLD.{column}" for column in _GAP_COLUMNS)
    op.execute(
        "CREATE TRIGGER key_journal_gaps_acknowledged_once BEFORE UPDATE ON key_journal_gaps FOR EACH ROW "
        f"WHEN (NOT (OLD.acknowledgement IS NULL AND NEW.acknowledgement IS NOT NULL AND {unchanged})) "
        "EXECUTE FUNCTION mohr_only_grows()"
    )
