"""Opening a database, and the two kinds of transaction on it.

SQLite: WAL, `synchronous=FULL` (a commit is on the disk when it returns), one writer at a time, in turns. A writing
transaction takes the write lock at its start (`BEGIN IMMEDIATE`), so it never fails half-way because another
writer came first; a reading one sees one snapshot and can write nothing. PostgreSQL is another URL: commits
are synchronous, reads are repeatable.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from pki.errors import ErrorCode, InvalidInput, Unavailable
from storage.failures import database_errors
from storage.turns import WriteTurns
from storage.unit_of_work import AuditBuffer, RandomBytes, UnitOfWork

LOCK_WAIT: Final = timedelta(seconds=10)
_CONNECT_WAIT_SECONDS: Final = 5
_MODE: Final = "mohr_transaction"

_SQLITE_SETTINGS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA recursive_triggers=ON",  # else INSERT OR REPLACE deletes a row without asking its trigger
    "PRAGMA trusted_schema=OFF",
)
_POSTGRESQL_SETTINGS: Final = (
    "-c timezone=UTC -c synchronous_commit=on -c idle_in_transaction_session_timeout=60s -c lock_timeout="
)


class Database:
    """An open database. Threads may share it; a process that forks must open its own."""

    def __init__(
        self, engine: Engine, *, lock_wait: timedelta = LOCK_WAIT, random_bytes: RandomBytes = secrets.token_bytes
    ) -> None:
        self.engine = engine
        self._random_bytes = random_bytes
        self._writers, self._readers = _by_mode(engine)
        self._turns = _turns_of(engine, lock_wait)
        self._closing: list[Callable[[], None]] = []

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """Open a writing transaction: committed at the end of the block, rolled back by an exception.

        Do not open one inside another. Unavailable (`database-unavailable`) when the database is gone,
        full, or locked for longer than its `lock_wait`.
        """
        turn = nullcontext() if self._turns is None else self._turns.turn()
        with turn, database_errors(), self._writers.connect() as connection, connection.begin():
            unit = UnitOfWork(connection=connection, audit=AuditBuffer(self._random_bytes))
            yield unit
            unit.audit.flush(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction over one snapshot; Unavailable as `begin`."""
        with database_errors(), self._readers.connect() as connection, connection.begin():
            yield connection

    def before_close(self, act: Callable[[], None]) -> None:
        """Have `act` called when the database is closed."""
        self._closing.append(act)

    def close(self) -> None:
        """Close every idle connection."""
        for act in self._closing:
            act()
        self.engine.dispose()


def _turns_of(engine: Engine, patience: timedelta) -> WriteTurns | None:
    """Return the queue of the writers of a SQLite file."""
    if engine.dialect.name != "sqlite":
        return None
    return WriteTurns(Path(str(engine.url.database)), patience)


def _by_mode(engine: Engine) -> tuple[Engine, Engine]:
    """Return views of `engine` for writing and for reading transactions; they share its connections."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_MODE: "write"}), engine.execution_options(**{_MODE: "read"})
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.execution_options(isolation_level="READ COMMITTED"), reader


def open_database(url: str, *, lock_wait: timedelta = LOCK_WAIT) -> Database:
    """Open `sqlite:///FILE` or `postgresql://…`; connections are made when first needed.

    A missing SQLite file is created, readable by its owner alone; tables are made by `storage.migrate.upgrade`.
    InvalidInput for any other kind of URL, Unavailable when the file cannot be created.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the database URL is malformed") from error
    if backend == "sqlite":
        return Database(_sqlite_engine(parsed, lock_wait), lock_wait=lock_wait)
    if backend == "postgresql":
        return Database(_postgresql_engine(parsed, lock_wait), lock_wait=lock_wait)
    raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the database is neither SQLite nor PostgreSQL")


def _sqlite_engine(url: URL, lock_wait: timedelta) -> Engine:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "SQLite needs a file: a ledger in memory proves nothing")
    try:
        if not Path(url.database).exists():
            Path(url.database).touch(mode=0o600)
    except OSError as error:
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "the database file cannot be opened") from error
    seconds = lock_wait.total_seconds()
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        connect_args={"timeout": seconds},
        hide_parameters=True,
        pool_timeout=seconds,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    for statement in _SQLITE_SETTINGS:
        connection.execute(statement)


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_MODE)
    connection.exec_driver_sql(f"PRAGMA query_only={int(mode == 'read')}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if mode == "write" else "BEGIN")


def _postgresql_engine(url: URL, lock_wait: timedelta) -> Engine:
    milliseconds = round(lock_wait.total_seconds() * 1000)
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={"connect_timeout": _CONNECT_WAIT_SECONDS, "options": f"{_POSTGRESQL_SETTINGS}{milliseconds}"},
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=lock_wait.total_seconds(),
    )
