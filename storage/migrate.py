"""Bringing a database's schema to this version of the program."""

from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from pki.errors import Conflict, ErrorCode
from storage.engine import Database

_SCRIPTS: Final = "storage:migrations"
_POSTGRESQL_LOCK: Final = 0x6D6F6872  # "mohr"


def _config(**attributes: Any) -> Config:
    config = Config(attributes=attributes)
    config.set_main_option("script_location", _SCRIPTS)
    return config


def head_revision() -> str:
    """Name the newest schema revision that this program knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current_revision(database: Database) -> str | None:
    """Name the revision of `database`; None when it has no schema yet."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database) -> None:
    """Apply every schema change that `database` lacks, in one transaction.

    Two programs may do so at once: the second waits, then finds nothing to do. Conflict when the schema is of a
    newer program than this one.
    """
    with database.begin() as unit:
        connection = unit.connection
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRESQL_LOCK})
        present = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        if present is not None and present not in known:
            raise Conflict(ErrorCode.CONFLICT, f"the database has schema {present}, which this program does not know")
        command.upgrade(_config(connection=connection), "head")
