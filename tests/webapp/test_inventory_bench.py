"""The figures of the inventory are of searches that find something."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import inspect

from ca.inventory import queries
from ca.tables import certificates
from storage.engine import Database, open_database
from storage.migrate import upgrade
from webapp.bench.inventory import kinds, known_values, measure_searches, seed


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = open_database(f"sqlite:///{tmp_path / 'mohr.db'}")
    upgrade(database)
    return database


def test_a_seeded_table_has_its_rows_and_all_its_indexes(database: Database) -> None:
    seed(database, 3000)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM certificates").scalar_one() == 3000
        indexes = {str(index["name"]) for index in inspect(connection).get_indexes("certificates")}
    assert indexes == {str(index.name) for index in certificates.indexes}
    database.close()


def test_each_kind_of_search_finds_something_but_the_one_that_cannot(database: Database) -> None:
    seed(database, 3000)
    found: dict[str, int] = {}
    dice = random.Random(1)  # noqa: S311 - values of searches, no secrets
    with database.read() as connection:
        known = known_values(connection)
        for _ in range(20):
            for kind, wanted in kinds(dice, known).items():
                page = queries.search(connection, wanted, after=None, limit=10)
                found[kind] = found.get(kind, 0) + len(page.entries)
    assert found.pop("never-together") == 0
    assert min(found.values()) > 0, found
    assert set(measure_searches(database)) == {*found, "never-together"}
    database.close()
