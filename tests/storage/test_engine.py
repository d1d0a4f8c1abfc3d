from __future__ import annotations

import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from pki.errors import ErrorCode, InvalidInput, Unavailable
from storage.engine import Database, open_database
from tests.support.databases import DatabaseMaker

SHORT = timedelta(milliseconds=150)


@pytest.fixture
def counter(database: Database) -> Database:
    """A database with one number in it."""
    run(database, "CREATE TABLE counter (value INTEGER NOT NULL UNIQUE)", "INSERT INTO counter VALUES (0)")
    return database


def value_in(database: Database) -> int:
    with database.read() as connection:
        value: int = connection.execute(text("SELECT value FROM counter")).scalar_one()
    return value


def run(database: Database, *statements: str) -> None:
    """Execute statements in one writing transaction."""
    with database.begin() as unit:
        for statement in statements:
            unit.connection.execute(text(statement))


def same_file(database: Database, lock_wait: timedelta) -> Database:
    """Open the file a second time, as another program would."""
    return open_database(database.engine.url.render_as_string(hide_password=False), lock_wait=lock_wait)


def test_a_clean_end_commits_and_an_exception_takes_everything_back(counter: Database) -> None:
    def fail() -> None:
        with counter.begin() as unit:
            unit.connection.execute(text("UPDATE counter SET value = 2"))
            raise KeyError

    run(counter, "UPDATE counter SET value = 1")
    with pytest.raises(KeyError):
        fail()
    assert value_in(counter) == 1


def test_a_reading_transaction_can_write_nothing(counter: Database) -> None:
    with pytest.raises((DBAPIError, Unavailable)), counter.read() as connection:
        connection.execute(text("UPDATE counter SET value = 1"))
    run(counter, "UPDATE counter SET value = 2")  # its connection can write again when it serves a writer
    assert value_in(counter) == 2


def test_a_reading_transaction_sees_one_moment_while_others_write(counter: Database) -> None:
    with counter.read() as connection:
        before = connection.execute(text("SELECT value FROM counter")).scalar_one()
        run(counter, "UPDATE counter SET value = 7")
        assert connection.execute(text("SELECT value FROM counter")).scalar_one() == before
    assert value_in(counter) == 7


def test_a_broken_constraint_stays_what_it_is(counter: Database) -> None:
    with pytest.raises(IntegrityError), counter.begin() as unit:
        unit.connection.execute(text("INSERT INTO counter VALUES (0)"))


def test_errors_hold_no_values(counter: Database) -> None:
    run(counter, "CREATE TABLE person (code VARCHAR(20) NOT NULL, n INTEGER CHECK (n > 0))")
    query = text("INSERT INTO person (code, n) VALUES (:code, 0)")
    with pytest.raises(IntegrityError) as caught, counter.begin() as unit:
        unit.connection.execute(query, {"code": "0000012343"})
    assert "[SQL parameters hidden due to hide_parameters=True]" in str(caught.value)


def increment(database: Database, times: int) -> None:
    for _ in range(times):
        with database.begin() as unit:
            value = unit.connection.execute(text("SELECT value FROM counter")).scalar_one()
            unit.connection.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})


def test_a_writer_that_reads_first_never_loses_or_fails_on_sqlite(sqlite_maker: DatabaseMaker) -> None:
    """Four threads through two openings of the file: the in-process queue and the file's own lock."""
    database = sqlite_maker()
    run(database, "CREATE TABLE counter (value INTEGER)", "INSERT INTO counter VALUES (0)")
    other = same_file(database, timedelta(seconds=20))
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(increment, which, 25) for which in (database, other, database, other)]
        for job in jobs:
            job.result()
    assert value_in(database) == 100
    other.close()


def check_locked_out(waiting: Database) -> None:
    with pytest.raises(Unavailable) as caught, waiting.begin():
        raise AssertionError("two writers at once")
    assert caught.value.code is ErrorCode.DATABASE_UNAVAILABLE
    assert caught.value.retryable


def test_a_lock_held_too_long_by_another_program_is_an_answer_not_a_hang(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    other = same_file(database, SHORT)
    with database.begin():
        check_locked_out(other)
    with other.begin():
        pass
    other.close()


def test_a_lock_held_too_long_by_another_thread_is_an_answer_not_a_hang(sqlite_maker: DatabaseMaker) -> None:
    database = same_file(sqlite_maker(), SHORT)
    with database.begin(), ThreadPoolExecutor(1) as pool:
        pool.submit(check_locked_out, database).result()
    with database.begin():
        pass
    database.close()


@pytest.mark.real
def test_a_row_lock_held_too_long_on_postgresql_is_an_answer_not_a_hang(postgres_maker: DatabaseMaker) -> None:
    database = postgres_maker()
    run(database, "CREATE TABLE counter (value INTEGER)", "INSERT INTO counter VALUES (0)")
    other = same_file(database, SHORT)
    with database.begin() as unit:
        unit.connection.execute(text("UPDATE counter SET value = 1"))
        with pytest.raises(Unavailable), other.begin() as late:
            late.connection.execute(text("UPDATE counter SET value = 2"))
    assert value_in(other) == 1
    other.close()


@pytest.mark.real
def test_a_server_that_drops_its_connections_is_unavailable_once_and_then_back(postgres_maker: DatabaseMaker) -> None:
    database = postgres_maker()
    with pytest.raises(Unavailable):
        run(database, "SELECT pg_terminate_backend(pg_backend_pid())")
    with database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.real
def test_postgresql_commits_durably_and_speaks_utc(postgres_maker: DatabaseMaker) -> None:
    with postgres_maker().begin() as unit:
        settings = [
            unit.connection.execute(text(f"SHOW {name}")).scalar() for name in ("synchronous_commit", "timezone")
        ]
    assert settings == ["on", "UTC"]


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    database = open_database(f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(Unavailable), database.begin():
        raise AssertionError("connected to nothing")
    database.close()


def test_sqlite_commits_reach_the_disk_and_foreign_keys_hold(sqlite_maker: DatabaseMaker) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "query_only", "trusted_schema")
    with sqlite_maker().begin() as unit:
        settings = [unit.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert settings == ["wal", 2, 1, 1, 0, 0]


def test_a_new_sqlite_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database = open_database(f"sqlite:///{path}")
    with database.begin() as unit:
        unit.connection.execute(text("CREATE TABLE t (a INTEGER)"))
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {0o600}
    database.close()


def test_a_full_disk_is_unavailable_and_nothing_is_half_written(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    with pytest.raises(Unavailable) as caught:
        run(
            database,
            "CREATE TABLE bulk (octets BLOB)",
            "PRAGMA max_page_count=60",
            "INSERT INTO bulk VALUES (zeroblob(1000000))",
        )
    assert "SQLITE_FULL" in caught.value.detail
    with database.read() as connection, pytest.raises(DBAPIError, match="no such table"):
        connection.execute(text("SELECT * FROM bulk"))


def test_a_database_without_the_tables_that_are_asked_for_is_unavailable(database: Database) -> None:
    for statement in ("SELECT * FROM absent", "SELECT absent FROM (SELECT 1 AS present) AS t"):
        with pytest.raises(Unavailable, match="lacks") as caught:
            run(database, statement)
        assert caught.value.code is ErrorCode.DATABASE_UNAVAILABLE


def test_a_missing_folder_or_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        open_database(f"sqlite:///{tmp_path / 'missing' / 'mohr.db'}")
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database, but long enough to have a header" * 100)
    for path in (garbage, tmp_path):
        database = open_database(f"sqlite:///{path}")
        with pytest.raises(Unavailable), database.read() as connection:
            connection.execute(text("SELECT 1 FROM sqlite_master"))
        database.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mohr.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "mysql://a@b/c",
        "postgresql://h:x/",
    ],
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_database(url)
    assert caught.value.code is ErrorCode.INPUT_MALFORMED


def test_a_writer_keeps_the_read_lock_of_nobody(sqlite_maker: DatabaseMaker) -> None:
    """Status pages read while a long write runs."""
    database = sqlite_maker()
    reading = threading.Event()

    def read() -> None:
        with database.read() as connection:
            connection.execute(text("SELECT count(*) FROM audit_events"))
        reading.set()

    with database.begin(), ThreadPoolExecutor(1) as pool:
        pool.submit(read)
        assert reading.wait(60)


def test_what_is_not_a_database_failure_passes_through_untouched(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    with pytest.raises(DBAPIError, match="syntax error") as caught, database.read() as connection:
        connection.execute(text("SELEC 1"))
    assert isinstance(caught.value.orig, sqlite3.OperationalError)
