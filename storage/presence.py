"""Who is alive in a database: a program holds a lock that ends with it, so that dead is told from slow at once.

SQLite: a locked file beside the database's. PostgreSQL: an advisory lock of a connection kept for it alone.
"""

import fcntl
import os
import secrets
import stat
import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from pki.errors import ErrorCode, Unavailable
from storage.engine import Database
from storage.failures import database_errors

_ID_OCTETS: Final = 16


class _Hold(Protocol):
    """A lock that is held."""

    def holds(self) -> bool:
        """Whether it is held still."""
        ...

    def release(self) -> None:
        """Give it up."""
        ...


class Presence:
    """One program's sign of life; threads may share it, a process that forks makes its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._held: tuple[str, _Hold] | None = None
        database.before_close(self.close)

    def confirm(self) -> str:
        """Return the name under which this program is alive now: a new one where the lock was lost; Unavailable."""
        with self._mutex:
            if self._held is None or not self._held[1].holds():
                self._held = None
                name = secrets.token_hex(_ID_OCTETS)
                self._held = (name, _hold(self._database, name))
            return self._held[0]

    def close(self) -> None:
        """Be gone."""
        with self._mutex:
            held, self._held = self._held, None
        if held is not None:
            held[1].release()


def is_alive(database: Database, name: str) -> bool:
    """Tell whether the program that goes by a name holds its lock; Unavailable when that cannot be told."""
    if database.dialect == "postgresql":
        with database.read() as connection:
            statement = text("SELECT pg_try_advisory_xact_lock_shared(:key)")
            return not connection.execute(statement, {"key": _key(name)}).scalar_one()
    try:
        descriptor = os.open(_file(database, name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unavailable(error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise _unavailable(error) from error
    finally:
        os.close(descriptor)
    return False


def forget(database: Database, name: str) -> None:
    """Remove what a dead program left beside the database."""
    if database.dialect == "sqlite":
        with suppress(OSError):  # another program may have done it
            _file(database, name).unlink()


def _hold(database: Database, name: str) -> _Hold:
    if database.dialect == "postgresql":
        return _AdvisoryLock(database, name)
    return _LockedFile(_database_file(database), _file(database, name))


def _database_file(database: Database) -> Path:
    return Path(str(database.engine.url.database))


def _file(database: Database, name: str) -> Path:
    file = _database_file(database)
    return file.with_name(f"{file.name}-alive-{name}")


def _key(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(ErrorCode.DATABASE_UNAVAILABLE, f"the sign of life cannot be kept: {error.strerror}")


class _LockedFile:
    """A file whose lock the kernel takes away when the process ends; it has the database's mode, as SQLite's own."""

    def __init__(self, database_file: Path, file: Path) -> None:
        self._file = file
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.fchmod(self._descriptor, stat.S_IMODE(database_file.stat().st_mode))
            except OSError:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise _unavailable(error) from error

    def holds(self) -> bool:
        """Whether the file is there: only somebody who took us for dead removes it."""
        return self._file.exists()

    def release(self) -> None:
        """Remove the file, then let it go."""
        with suppress(OSError):
            self._file.unlink()
        os.close(self._descriptor)


class _AdvisoryLock:
    """A lock of a session; it ends with the connection, so the connection is tried whenever it matters."""

    def __init__(self, database: Database, name: str) -> None:
        with database_errors():
            self._connection: Connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection.detach()  # it takes no place of those who work
            taken = self._connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)})
            if not taken.scalar_one():
                self.release()
                raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "the sign of life is taken")

    def holds(self) -> bool:
        """Whether the connection answers."""
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """End the connection; a server that hangs is not waited for, and one that does not notices a moment later."""
        with suppress(SQLAlchemyError):
            self._connection.close()
