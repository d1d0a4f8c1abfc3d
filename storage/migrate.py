"""Bringing a database's schema to this version of the program."""

from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import inspect, text

import storage.migrations.versions
from pki.errors import Conflict, ErrorCode
from storage.engine import Database

if TYPE_CHECKING:  # Alembic is imported where it has work: most programs find the schema as it should be
    from alembic.config import Config

_SCRIPTS: Final = "storage:migrations"
_POSTGRESQL_LOCK: Final = 0x6D6F6872  # "mohr"


def _config(**attributes: Any) -> "Config":
    from alembic.config import Config

    config = Config(attributes=attributes)
    config.set_main_option("script_location", _SCRIPTS)
    return config


def head_revision() -> str:
    """Name the newest schema revision that this program knows."""
    scripts = iter_modules(storage.migrations.versions.__path__)
    return max(script.name.partition("_")[0] for script in scripts)


def current_revision(database: Database) -> str | None:
    """Name the revision of `database`; None when it has no schema yet."""
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        return found


def bring_up(database: Database) -> None:
    """Do as `upgrade` where the schema is not this program's; costs one read where it is."""
    if current_revision(database) != head_revision():
        upgrade(database)


def upgrade(database: Database, revision: str = "head") -> None:
    """Apply every schema change that `database` lacks up to a revision, in one transaction.

    Two programs may do so at once: the second waits, then finds nothing to do. Conflict when the schema is of a
    newer program than this one.
    """
    from alembic import command
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with database.begin() as unit:
        connection = unit.connection
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRESQL_LOCK})
        present = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        if present is not None and present not in known:
            raise Conflict(ErrorCode.CONFLICT, f"the database has schema {present}, which this program does not know")
        command.upgrade(_config(connection=connection), revision)
