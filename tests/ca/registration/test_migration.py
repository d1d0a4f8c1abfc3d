"""Files of before registries were asked: they wait for thirty days more, and what is decided stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic import command
from sqlalchemy import text

from ca.registration_states import FileState
from storage.engine import Database, open_database
from storage.migrate import _config, upgrade
from tests.ca.registration.conftest import Office
from tests.ca.world import CITIZEN, FIRST, SECOND, file_json

_INSERT = text(
    "INSERT INTO registration_files (id, kind, state, holder, name, body, submitted_by, submitted_at, approvals) "
    "VALUES (:id, 'citizen', :state, '0000012351', 'x', :body, 'clerk', '2026-11-01 09:00:00.000000', 0)"
)


def old_database(path: Path) -> Database:
    """Make a database of the version before, with a file in each of its states."""
    database = open_database(f"sqlite:///{path}")
    with database.begin() as unit:
        command.upgrade(_config(connection=unit.connection), "0005")
        for state in ("submitted", "approved", "refused"):
            unit.connection.execute(_INSERT, {"id": state, "state": state, "body": file_json(CITIZEN)})
    return database


def test_an_old_file_that_waits_gets_an_end_and_is_decided_as_before(tmp_path: Path) -> None:
    database = old_database(tmp_path / "old.db")
    before = datetime.now(UTC)
    upgrade(database)
    desk = Office(database).desk()
    waiting = desk.file("submitted")
    assert waiting.expires_at is not None
    assert before <= waiting.expires_at - timedelta(days=30) <= datetime.now(UTC)
    assert [desk.file(name).expires_at for name in ("approved", "refused")] == [None, None]
    desk.approve("submitted", FIRST)
    assert desk.approve("submitted", SECOND).state is FileState.APPROVED
    assert desk.expire_files() == 0
    database.close()
