"""Which database errors mean "not now", and their translation.

A database that is locked, full, gone, unreadable or without our tables becomes `Unavailable` (`database-unavailable`).
Text that PostgreSQL cannot hold, where SQLite finds nothing by it, is the caller's `InvalidInput`. Everything else
stays as it is: a broken constraint is for the caller that expects it, bad SQL is a bug.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pki.errors import ErrorCode, InvalidInput, Unavailable

# Primary result codes (https://sqlite.org/rescode.html) that no change of the statement would cure.
_SQLITE_NOT_NOW: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)


def _is_not_now(error: DBAPIError) -> bool:
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in _SQLITE_NOT_NOW
    # psycopg: lost connections, SQLSTATE classes 08, 40, 53, 55, 57 and 58
    return error.connection_invalidated or isinstance(error, OperationalError)


def _lacks_tables(error: DBAPIError) -> bool:
    """Whether the schema is not there, or is of another version: an empty file, a half-restored database."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return str(original).startswith(("no such table", "no such column"))
    return getattr(original, "sqlstate", None) in ("42P01", "42703")  # undefined_table, undefined_column


def _is_no_text(error: DBAPIError) -> bool:
    """Whether a parameter has U+0000, which no text of PostgreSQL has: the driver refuses it before it asks."""
    return isinstance(error, DataError) and "NUL (0x00)" in str(error.orig)


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn "not now" errors of the block into `Unavailable`, text that is none into `InvalidInput`.

    The message holds no SQL and no values.
    """
    try:
        yield
    except DBAPIError as error:
        if _lacks_tables(error):
            raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "the database lacks this program's tables") from error
        if _is_no_text(error):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "text with the character U+0000") from error
        if not _is_not_now(error):
            raise
        name = getattr(error.orig, "sqlite_errorname", None) or type(error.orig).__name__
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, f"database error {name}") from error
    except PoolTimeout as error:
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "every database connection is in use") from error
