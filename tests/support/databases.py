"""Migrated databases on both engines, for every room: one PostgreSQL server a session.

The fixtures are named in `tests/conftest.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from storage.engine import Database, open_database
from storage.migrate import upgrade
from tests.storage import postgres

DatabaseMaker = Callable[[], Database]


ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.real))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file."""
    path = tmp_path_factory.mktemp("template") / "mohr.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The socket folder of a running PostgreSQL server whose database `template` is migrated."""
    programs = postgres.find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed, or refuses this user")
    with postgres.running_server(programs) as folder:
        postgres.execute(folder, "CREATE DATABASE template")
        database = open_database(postgres.url_of(folder, "template"))
        upgrade(database)
        database.close()
        yield folder


@pytest.fixture
def sqlite_maker(sqlite_template: Path, tmp_path: Path) -> Iterator[DatabaseMaker]:
    """Make migrated SQLite databases, as many as a test asks for."""
    made: list[Database] = []
    numbers = count()

    def make() -> Database:
        path = tmp_path / f"mohr-{next(numbers)}.db"
        shutil.copyfile(sqlite_template, path)
        made.append(open_database(f"sqlite:///{path}"))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture(scope="session")
def postgres_pool(postgres_folder: Path) -> postgres.Pool:
    """Emptied databases for reuse: making one takes longer than most tests."""
    return postgres.Pool(postgres_folder, template="template")


@pytest.fixture
def postgres_maker(postgres_pool: postgres.Pool) -> Iterator[DatabaseMaker]:
    """Make migrated PostgreSQL databases, as many as a test asks for."""
    made: list[tuple[str, Database]] = []

    def make() -> Database:
        name = postgres_pool.take()
        made.append((name, open_database(postgres_pool.url_of(name))))
        return made[-1][1]

    yield make
    for name, database in made:
        database.close()
        postgres_pool.give_back(name)


@pytest.fixture(params=ENGINES)
def make_database(request: pytest.FixtureRequest) -> DatabaseMaker:
    """Make migrated databases, on one engine and then on the other."""
    maker: DatabaseMaker = request.getfixturevalue("sqlite_maker" if request.param == "sqlite" else "postgres_maker")
    return maker
