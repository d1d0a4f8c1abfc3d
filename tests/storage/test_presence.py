"""Dead is told from slow at once, on both engines."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from sqlalchemy import text

from storage.engine import Database, open_database
from storage.presence import Presence, forget, is_alive
from tests.support.hung import hang

LIVE = """
import sys, time
from storage.engine import open_database
from storage.presence import Presence
print(Presence(open_database(sys.argv[1])).confirm(), flush=True)
time.sleep(600)
"""


def url_of(database: Database) -> str:
    return database.engine.url.set(drivername=database.dialect).render_as_string(hide_password=False)


def is_soon_gone(database: Database, name: str) -> bool:
    """Whether a program is told to be dead, as soon as PostgreSQL has noticed that its connection is gone."""
    waited = threading.Event()
    for _ in range(6000):
        if not is_alive(database, name):
            return True
        waited.wait(0.01)
    return False


def test_a_program_is_alive_until_it_is_gone(database: Database) -> None:
    other = open_database(url_of(database))
    presence = Presence(database)
    name = presence.confirm()
    assert presence.confirm() == name
    assert is_alive(other, name)
    assert is_alive(database, name)
    presence.close()
    assert is_soon_gone(other, name)
    assert presence.confirm() != name
    other.close()


def test_a_killed_program_is_dead_at_once_and_a_stopped_one_is_not(database: Database) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LIVE, url_of(database)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
    ) as process:
        assert process.stdout is not None
        try:
            name = process.stdout.readline().strip()
            assert is_alive(database, name)
            hang(process.pid)
            assert is_alive(database, name)
        finally:
            process.kill()
    assert is_soon_gone(database, name)
    forget(database, name)
    forget(database, name)
    assert not is_alive(database, name)


def test_nobody_of_that_name_is_dead(database: Database) -> None:
    assert not is_alive(database, "nobody")


def test_asking_takes_nobodys_lock(database: Database) -> None:
    presence = Presence(database)
    name = presence.confirm()
    assert all(is_alive(database, name) for _ in range(5))
    assert presence.confirm() == name


def test_who_was_taken_for_dead_comes_back_under_another_name(database: Database) -> None:
    presence = Presence(database)
    name = presence.confirm()
    if database.dialect == "sqlite":
        forget(database, name)
    else:
        with database.begin() as unit:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            unit.connection.execute(text(ended))
    assert presence.confirm() != name


def test_the_lock_has_the_mode_of_the_database(tmp_path: Path) -> None:
    file = tmp_path / "shared.db"
    file.touch()
    file.chmod(0o660)
    database = open_database(f"sqlite:///{file}")
    name = Presence(database).confirm()
    assert (tmp_path / f"shared.db-alive-{name}").stat().st_mode & 0o777 == 0o660
    database.close()
    assert not list(tmp_path.glob("*alive*"))
