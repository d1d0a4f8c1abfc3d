from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import ca
import storage
import storage.ledger_tables
import storage.migrations
from pki.errors import Conflict
from storage.base import metadata
from storage.engine import Database, open_database
from storage.migrate import bring_up, current_revision, head_revision, upgrade
from tests.storage import postgres

VERSIONS = Path(storage.migrations.__file__).parent / "versions"


def import_every_table() -> None:
    """Every module named `…tables` of the packages that keep rows puts its tables on the one metadata."""
    for package in (ca, storage):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("tables"):
                importlib.import_module(module.name)


def objects_in(connection: Connection) -> set[str]:
    names = "SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger')"
    if connection.dialect.name == "postgresql":
        names = "SELECT relname FROM pg_class WHERE relkind = 'r' UNION SELECT tgname FROM pg_trigger"
    return set(connection.execute(text(names)).scalars())


def test_the_migrated_schema_is_the_one_that_the_code_describes(database: Database) -> None:
    import_every_table()
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_comparison_would_see_a_forgotten_table(database: Database) -> None:
    with database.begin() as unit:
        unit.connection.execute(text("CREATE TABLE forgotten (id INTEGER PRIMARY KEY)"))
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) != []


def test_history_is_one_line() -> None:
    script = ScriptDirectory(str(VERSIONS.parent))
    assert script.get_heads() == [head_revision()]
    assert [revision.revision for revision in script.walk_revisions()][-1] == "0001"


def test_scripts_import_neither_tables_nor_any_other_package_of_ours() -> None:
    allowed = sys.stdlib_module_names | {"alembic", "sqlalchemy"}
    for path in VERSIONS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert all(name.split(".")[0] in allowed for name in names), path.name


def test_a_second_upgrade_changes_nothing(database: Database) -> None:
    with database.read() as connection:
        before = objects_in(connection)
    upgrade(database)
    assert current_revision(database) == head_revision()
    with database.read() as connection:
        assert objects_in(connection) == before


def test_a_new_file_has_no_revision_until_it_is_upgraded(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'new.db'}")
    assert current_revision(database) is None
    upgrade(database)
    assert current_revision(database) == head_revision()
    database.close()


def test_a_database_is_brought_up_once_and_then_only_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'new.db'}")
    bring_up(database)
    assert current_revision(database) == head_revision()
    monkeypatch.delattr("storage.migrate.upgrade")
    bring_up(database)
    database.close()


def upgrade_many(url: str) -> None:
    opened = [open_database(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade, opened))
    assert {current_revision(database) for database in opened} == {head_revision()}
    for database in opened:
        database.close()


def test_programs_that_upgrade_at_once_on_sqlite_all_succeed(tmp_path: Path) -> None:
    upgrade_many(f"sqlite:///{tmp_path / 'new.db'}")


@pytest.mark.real
def test_programs_that_upgrade_at_once_on_postgresql_all_succeed(postgres_folder: Path) -> None:
    postgres.execute(postgres_folder, "CREATE DATABASE at_once")
    upgrade_many(postgres.url_of(postgres_folder, "at_once"))


def test_a_schema_of_a_newer_program_is_left_alone(database: Database) -> None:
    with database.begin() as unit:
        unit.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for attempt in (upgrade, bring_up):
        with pytest.raises(Conflict, match="9999"):
            attempt(database)
    assert current_revision(database) == "9999"


def test_a_failed_upgrade_leaves_no_half_schema(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'new.db'}")
    with database.begin() as unit:
        unit.connection.execute(text("CREATE TABLE checkpoints (size INTEGER PRIMARY KEY)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(database)
    with database.read() as connection:
        assert objects_in(connection) == {"checkpoints"}
    database.close()


def test_the_ledger_tables_are_on_the_one_metadata() -> None:
    assert storage.ledger_tables.audit_events.metadata is metadata
