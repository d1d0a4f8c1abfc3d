"""Databases full of certificates, on one engine and then on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ca.inventory.statistics import StatisticsDesk
from storage.engine import Database, open_database
from storage.migrate import upgrade
from tests.ca.inventory.rows import insert_rows, make_rows
from tests.ca.world import FakeClock
from tests.storage import postgres

BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.real))
Opener = Callable[[str], Database]


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A database and the rows that are in it, in the order of their writing."""

    database: Database
    rows: list[dict[str, Any]]


@pytest.fixture(scope="package")
def open_new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """Make empty databases of an engine."""
    opened: list[Database] = []

    def make(engine: str) -> Database:
        if engine == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('inventory') / 'mohr.db'}"
        else:
            folder = servers.folder()
            name = f"inventory{len(opened)}"
            postgres.execute(folder, f"CREATE DATABASE {name}")
            url = postgres.url_of(folder, name)
        opened.append(open_database(url))
        upgrade(opened[-1])
        return opened[-1]

    servers = _Servers()
    yield make
    for database in opened:
        database.close()
    servers.stop()


class _Servers:
    """One PostgreSQL server, started when it is first needed."""

    def __init__(self) -> None:
        self._running: Any = None
        self._folder: Any = None

    def folder(self) -> Any:
        if self._folder is None:
            programs = postgres.find_programs()
            if programs is None:
                pytest.skip("PostgreSQL is not installed, or refuses this user")
            self._running = postgres.running_server(programs)
            self._folder = self._running.__enter__()
        return self._folder

    def stop(self) -> None:
        if self._running is not None:
            self._running.__exit__(None, None, None)


@pytest.fixture(params=BOTH)
def fresh(request: pytest.FixtureRequest, open_new: Opener) -> Database:
    """An empty database of its own."""
    return open_new(request.param)


@pytest.fixture(scope="package", params=BOTH)
def stock(request: pytest.FixtureRequest, open_new: Opener) -> Stock:
    """A few hundred certificates of every kind, counted, so that searches are led by counts; tests only read."""
    database, rows = open_new(request.param), make_rows(7, 400)
    insert_rows(database, rows)
    StatisticsDesk(database, FakeClock()).sweep()
    return Stock(database=database, rows=rows)


@pytest.fixture(scope="package", params=BOTH)
def large_stock(request: pytest.FixtureRequest, open_new: Opener) -> Stock:
    """Enough certificates for an engine to look for an index, with the engine's own counts taken."""
    database, rows = open_new(request.param), make_rows(8, 20_000)
    insert_rows(database, rows)
    if database.dialect == "postgresql":
        with database.begin() as unit:
            unit.connection.exec_driver_sql("ANALYZE certificates")
    return Stock(database=database, rows=rows)
