"""The file in which pre-signed OCSP answers lie: made, opened, and set aside when it cannot be read.

SQLite in WAL mode, apart from the register: whoever reads it needs neither the register's database nor a key, and it
holds no secret. A file that is damaged or of another format is never served from: it is renamed, and a new one made.
"""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

APPLICATION: Final = 0x4D4F_4153  # "MOAS"
FORMAT: Final = 2
WAIT_SECONDS: Final = 5.0
_MODE: Final = 0o660  # the server and the worker, which are of one group, both write it

_SCHEMA: Final = f"""
PRAGMA application_id={APPLICATION};
PRAGMA user_version={FORMAT};
PRAGMA journal_mode=WAL;
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE issuers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    label TEXT NOT NULL UNIQUE,
    prefix BLOB NOT NULL
);
CREATE TABLE delegates (
    id INTEGER PRIMARY KEY,
    serial TEXT NOT NULL,
    der BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL DEFAULT -1,
    ended INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE answers (
    serial BLOB NOT NULL,
    issuer INTEGER NOT NULL,
    version INTEGER NOT NULL,
    delegate INTEGER,
    this_update INTEGER,
    next_update INTEGER,
    signed BLOB,
    checksum INTEGER,
    PRIMARY KEY (serial, issuer)
) WITHOUT ROWID;
CREATE INDEX answers_withdrawn ON answers (issuer) WHERE signed IS NULL;
CREATE INDEX answers_signed_by ON answers (delegate, issuer) WHERE signed IS NOT NULL;
CREATE INDEX answers_ending ON answers (issuer, next_update) WHERE signed IS NOT NULL;
"""


def identity_of(path: Path) -> tuple[int, int] | None:
    """Say which file goes by this name now; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file that is there; sqlite3.Error when it is missing, damaged or of another format.

    UnicodeDecodeError where SQLite quotes the damage.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        check_same_thread=False,
        isolation_level=None,
        timeout=WAIT_SECONDS,
    )
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # damage is found by its reader
    try:
        _check_format(connection)
        # What a power failure takes from the end, the feed of changes tells again.
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_format(connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) != (APPLICATION, FORMAT):
        raise sqlite3.DatabaseError("a file of another format")


def make_file(path: Path) -> None:
    """Make an empty file unless one is there already; OSError, sqlite3.Error."""
    with _alone(path):
        _make(path)


def set_aside(path: Path, identity: tuple[int, int] | None) -> None:
    """Put an empty file in place of the one that was found to be damaged, unless somebody has; OSError."""
    with _alone(path):
        if identity is not None and identity_of(path) == identity:
            path.replace(path.with_name(f"{path.name}.damaged"))
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        _make(path)


def _make(path: Path) -> None:
    if path.exists():
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    _hand_over(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE), path.parent)
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
        for suffix in ("-wal", "-shm"):  # of a file that was here before
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def _hand_over(descriptor: int, folder: Path) -> None:
    """Give what we made the mode that all of its users need, and root's to whom the folder belongs."""
    try:
        os.fchmod(descriptor, _MODE)
        owner = folder.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the one program that makes or replaces the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(lock, flags, _MODE)
    try:
        if os.geteuid() in (0, os.fstat(descriptor).st_uid) and stat.S_IMODE(os.fstat(descriptor).st_mode) != _MODE:
            _hand_over(os.dup(descriptor), path.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
