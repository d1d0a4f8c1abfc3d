"""Deployments for the authority's tests: one ceremony a session, a fresh database a test, on both engines."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ca.hierarchy import Hierarchy, adopt, create_hierarchy
from ca.service import CertificateAuthority
from ca.status.answer_store import AnswerStore
from hsm.soft import UnsafeSoftKeys
from storage.engine import Database, open_database
from storage.migrate import upgrade
from tests.ca.world import SETTINGS, FakeClock, World
from tests.storage import postgres
from tests.support.databases import ENGINES
from tests.support.officers import EveryOfficer


@dataclass(frozen=True, kw_only=True, repr=False)
class Ceremony:
    """A hierarchy, its service keys and a database file that holds it."""

    hierarchy: Hierarchy
    keys: UnsafeSoftKeys
    template: Path


@pytest.fixture(scope="session")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Ceremony:
    """One ceremony for the whole session."""
    clock = FakeClock()
    root, service = UnsafeSoftKeys(clock), UnsafeSoftKeys(clock)
    hierarchy = create_hierarchy(root, service, SETTINGS, clock)
    path = tmp_path_factory.mktemp("ceremony") / "mohr.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    adopt(database, hierarchy, SETTINGS, clock, "init")
    database.close()
    return Ceremony(hierarchy=hierarchy, keys=service, template=path)


WorldMaker = Callable[[Database], World]


def new_world(ceremony: Ceremony, database: Database, answers: AnswerStore) -> World:
    """Build a deployment over a database that holds the ceremony's hierarchy."""
    clock = FakeClock()
    authority = CertificateAuthority(database, ceremony.keys, SETTINGS, clock, gate=EveryOfficer(), answers=answers)
    return World(
        authority=authority,
        database=database,
        keys=ceremony.keys,
        hierarchy=ceremony.hierarchy,
        clock=clock,
        answers=answers,
    )


@pytest.fixture
def make_world(ceremony: Ceremony, tmp_path: Path) -> Iterator[WorldMaker]:
    """Build a deployment over a database that holds the session's hierarchy; all of a test have one answer store."""
    answers = AnswerStore(tmp_path / "answers" / "answers.db")

    yield lambda database: new_world(ceremony, database, answers)
    answers.close()


@pytest.fixture(scope="module")
def shared_world(ceremony: Ceremony, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One deployment on SQLite for all tests of a file, which move no clock and count no rows."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copyfile(ceremony.template, folder / "mohr.db")
    database, answers = open_database(f"sqlite:///{folder / 'mohr.db'}"), AnswerStore(folder / "answers.db")
    yield new_world(ceremony, database, answers)
    answers.close()
    database.close()


@pytest.fixture
def sqlite_database(ceremony: Ceremony, tmp_path: Path) -> Iterator[Database]:
    """A fresh SQLite database with the session's hierarchy."""
    path = tmp_path / "mohr.db"
    shutil.copyfile(ceremony.template, path)
    database = open_database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture(scope="session")
def adopted_pool(postgres_folder: Path, ceremony: Ceremony) -> postgres.Pool:
    """PostgreSQL databases that hold the session's hierarchy."""
    postgres.execute(postgres_folder, "CREATE DATABASE adopted TEMPLATE template")
    database = open_database(postgres.url_of(postgres_folder, "adopted"))
    adopt(database, ceremony.hierarchy, SETTINGS, FakeClock(), "init")
    database.close()
    return postgres.Pool(postgres_folder, template="adopted")


@pytest.fixture
def postgresql(adopted_pool: postgres.Pool) -> Iterator[Database]:
    """A PostgreSQL database with the session's hierarchy and nothing else."""
    name = adopted_pool.take()
    database = open_database(adopted_pool.url_of(name))
    yield database
    database.close()
    adopted_pool.give_back(name)


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest) -> Database:
    """A fresh database with the session's hierarchy, on one engine and then on the other."""
    found: Database = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "postgresql")
    return found


@pytest.fixture
def world(database: Database, make_world: WorldMaker) -> World:
    """A fresh deployment, on one engine and then on the other."""
    return make_world(database)
