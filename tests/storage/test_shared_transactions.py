"""Shared commits: everyone gets their own result, durable, whatever happens to the others."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from pki.errors import Unavailable
from storage.engine import Database, open_database
from storage.shared_transactions import MAX_SHARED, SharedTransactions
from storage.unit_of_work import UnitOfWork


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(f"sqlite:///{tmp_path / 'shared.db'}")
    with found.begin() as unit:
        unit.connection.execute(text("CREATE TABLE kept (n INTEGER PRIMARY KEY)"))
    return found


def keep(unit: UnitOfWork, number: int) -> int:
    unit.connection.execute(text("INSERT INTO kept VALUES (:n)"), {"n": number})
    return number


def kept(database: Database) -> set[int]:
    with database.read() as connection:
        return set(connection.execute(text("SELECT n FROM kept")).scalars())


def test_a_lone_caller_gets_its_result_after_its_commit(database: Database) -> None:
    assert SharedTransactions(database).run(lambda unit: keep(unit, 7)) == 7
    assert kept(database) == {7}
    database.close()


def test_callers_that_wait_together_share_one_commit(database: Database) -> None:
    shared, first_runs, go_on = SharedTransactions(database), threading.Event(), threading.Event()
    units: list[int] = []

    def slow(unit: UnitOfWork) -> int:
        first_runs.set()
        assert go_on.wait(10)
        return keep(unit, 0)

    def quick(number: int) -> int:
        def act(unit: UnitOfWork) -> int:
            units.append(id(unit))
            return keep(unit, number)

        return shared.run(act)

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(shared.run, slow)
        assert first_runs.wait(10)
        others = [pool.submit(quick, number) for number in range(1, 9)]
        while len(shared._turns._waiting) < 8:
            threading.Event().wait(0.001)
        go_on.set()
        assert first.result() == 0
        assert [other.result() for other in others] == list(range(1, 9))
    assert len(set(units)) == 1
    assert kept(database) == set(range(9))
    database.close()


def test_nobody_fails_for_the_reason_of_another(database: Database) -> None:
    shared = SharedTransactions(database)

    def work(number: int) -> int:
        def act(unit: UnitOfWork) -> int:
            keep(unit, number)
            if number % 5 == 0:
                raise LookupError(str(number))
            return number

        return shared.run(act)

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(work, number) for number in range(3 * MAX_SHARED)]
        for number, future in enumerate(futures):
            if number % 5 == 0:
                with pytest.raises(LookupError, match=f"^{number}$"):
                    future.result()
            else:
                assert future.result() == number
    assert kept(database) == {number for number in range(3 * MAX_SHARED) if number % 5}
    database.close()


def test_a_database_that_is_none_is_told_to_every_caller(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 500)
    database = open_database(f"sqlite:///{tmp_path / 'broken.db'}")
    with pytest.raises(Unavailable):
        SharedTransactions(database).run(lambda unit: keep(unit, 1))
    database.close()
