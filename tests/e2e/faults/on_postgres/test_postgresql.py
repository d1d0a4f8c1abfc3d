"""A deployment on PostgreSQL, by its commands alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from pki.errors import ErrorCode
from storage.engine import open_database
from storage.migrate import current_revision, head_revision
from tests.e2e.faults.conftest import OnPostgres, new_csr
from tests.storage import postgres

pytestmark = pytest.mark.real


def test_init_leaves_its_rows_there_and_no_sqlite_file(on_postgres: OnPostgres) -> None:
    assert not on_postgres.deployment.database_file.exists()
    database = open_database(on_postgres.url)
    assert current_revision(database) == head_revision()
    database.close()


def test_a_database_that_is_in_use_is_not_taken_for_another_deployment(on_postgres: OnPostgres, tmp_path: Path) -> None:
    other = on_postgres.elsewhere(tmp_path / "other")
    ended = other.mohr("init", "--public-url", "http://127.0.0.1:1", "--database-url", on_postgres.url)
    assert ended.code == ErrorCode.DEPLOYMENT_EXISTS, ended.messages
    assert not other.deployment.home.exists()


def test_a_certificate_lives_and_ends_by_commands(on_postgres: OnPostgres, tmp_path: Path) -> None:
    (tmp_path / "csr").write_bytes(new_csr())
    file_id = on_postgres.approved_file()
    issued = on_postgres.answer("ca", "issue", "--profile", "clin-sign", "--file", file_id, "--csr", tmp_path / "csr")
    on_postgres.answer("ca", "revoke", str(issued["serial"]), "--reason", "superseded")
    assert on_postgres.answer("ca", "show", str(issued["serial"]))["state"] == "revoked"
    assert on_postgres.mohr("audit", "verify").status == 0


def test_a_database_of_a_newer_program_is_not_served(on_postgres: OnPostgres, tmp_path: Path) -> None:
    postgres.execute(on_postgres.postgres.folder, "CREATE DATABASE newer")
    newer = postgres.url_of(on_postgres.postgres.folder, "newer")
    opened = open_database(newer)
    with opened.begin() as unit:
        unit.connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
        unit.connection.execute(text("INSERT INTO alembic_version VALUES ('9999')"))
    opened.close()
    other = on_postgres.elsewhere(tmp_path / "other")
    other.deployment.home.mkdir()
    settings = on_postgres.deployment.settings_file.read_text(encoding="utf-8")
    other.deployment.settings_file.write_text(settings.replace(on_postgres.url, newer), encoding="utf-8")
    ended = other.mohr("serve", "--bind", "127.0.0.1:1")
    assert ended.code == ErrorCode.CONFLICT
    assert "9999" in ended.messages
