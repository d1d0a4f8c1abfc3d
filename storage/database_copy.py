"""A consistent copy of a whole database while everything runs, and a database made of one.

SQLite: the backup API gives one file. PostgreSQL: each table is a file that COPY wrote, all of one snapshot; whoever
may read the tables may copy them.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, func, inspect, select, table, text

from pki.errors import Conflict, ErrorCode, InvalidInput, Unavailable, VerificationFailed
from storage.engine import Database
from storage.failures import database_errors
from storage.migrate import current_revision, upgrade
from storage.unit_of_work import UnitOfWork

SQLITE_FILE: Final = "mohr.db"
SUFFIX: Final = ".copy"
VERSION_TABLE: Final = "alembic_version"
_CHUNK: Final = 1024 * 1024


def copy_sqlite(database: Database, folder: Path) -> None:
    """Copy a SQLite database into `folder`, as of one moment; Unavailable, VerificationFailed for a damaged copy."""
    source = f"file:{quote(str(database.engine.url.database))}?mode=ro"
    target = folder / SQLITE_FILE
    try:
        with closing(sqlite3.connect(source, uri=True, timeout=10)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
            found = copy.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, "no room for the copy of the database") from error
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, f"the database cannot be copied: {error}") from error
    if found != ("ok",):
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the copy of the database is damaged")


def copy_postgresql(connection: Connection, folder: Path) -> dict[str, int]:
    """Write every table into `folder` from the snapshot that `connection` reads; return how many rows each has."""
    rows: dict[str, int] = {}
    for name in _tables(connection):
        counted = connection.execute(select(func.count()).select_from(table(name))).scalar_one()
        statement = f"COPY {_quoted(name)} ({_columns(connection, name)}) TO STDOUT"
        with (folder / f"{name}{SUFFIX}").open("wb") as file, database_errors(), _cursor(connection) as cursor:
            with cursor.copy(statement) as copied:
                for data in copied:
                    file.write(data)
            written = cursor.rowcount
        if written != counted:
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"{name}: {written} of {counted} rows were copied")
        rows[name] = counted
    return rows


def put_back_postgresql(database: Database, folder: Path, rows: dict[str, int], revision: str) -> None:
    """Give an empty database the schema of a copy; Conflict where it holds anything, or the copy is of a newer program.

    Its rows come with `fill`, in the caller's transaction.
    """
    missing = [name for name in rows if not (folder / f"{name}{SUFFIX}").is_file()]
    if missing:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"the copy lacks {missing[0]}")
    if current_revision(database) not in (None, revision):
        raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, "the database has a schema of its own")
    upgrade(database, revision)


def fill(unit: UnitOfWork, folder: Path, rows: dict[str, int]) -> None:
    """Put the rows of a copy into a database that has the schema and no rows; Conflict where it has any."""
    connection = unit.connection
    names = _tables(connection)
    if set(names) != rows.keys():
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the copy has other tables than its schema")
    for name in names:
        if connection.execute(select(text("1")).select_from(table(name)).limit(1)).first() is not None:
            raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, "the database holds rows already")
    for name in names:
        statement = f"COPY {_quoted(name)} ({_columns(connection, name)}) FROM STDIN"
        with (folder / f"{name}{SUFFIX}").open("rb") as file, _cursor(connection) as cursor:
            with cursor.copy(statement) as copied:
                while data := file.read(_CHUNK):
                    copied.write(data)
            if cursor.rowcount != rows[name]:
                raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"{name}: not every row came back")
    _set_sequences(connection, names)


def _set_sequences(connection: Connection, names: Sequence[str]) -> None:
    for name in names:
        if "id" not in {column["name"] for column in inspect(connection).get_columns(name)}:
            continue
        sequence = connection.execute(text("SELECT pg_get_serial_sequence(:name, 'id')"), {"name": name}).scalar()
        if sequence is not None:
            last = connection.execute(select(func.max(text("id"))).select_from(table(name))).scalar()
            if last is not None:
                connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def _tables(connection: Connection) -> list[str]:
    """Name our tables, those first that others refer to."""
    ordered = inspect(connection).get_sorted_table_and_fkc_names()
    return [name for name, _keys in ordered if name is not None and name != VERSION_TABLE]


def _columns(connection: Connection, name: str) -> str:
    return ", ".join(_quoted(column["name"]) for column in inspect(connection).get_columns(name))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cursor(connection: Connection) -> Any:
    dbapi: Any = connection.connection.dbapi_connection
    return dbapi.cursor()
