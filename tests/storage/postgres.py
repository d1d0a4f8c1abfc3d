"""A throw-away PostgreSQL server on a unix socket, for tests that run the same suite on the other engine."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

SUPERUSER = "mohr"
_USERS = ("postgres", "nobody")


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`; the newest version where Debian keeps several."""
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _unprivileged() -> tuple[list[str], pwd.struct_passwd | None]:
    """PostgreSQL refuses to run as root: return the prefix that drops the rights, and the user."""
    if os.geteuid() != 0:
        return [], None
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(users[name] for name in _USERS if name in users)
    if shutil.which("setpriv"):
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"], user
    return ["runuser", "-u", user.pw_name, "--"], user


class PostgresServer:
    """A server in a folder of its own; `durable`: what it has committed outlives a kill."""

    def __init__(self, programs: Path, *, durable: bool = False) -> None:
        self._programs = programs
        self._prefix, user = _unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="mohr-pg-"))
        self.folder.chmod(0o755)  # for programs of other users, to reach the socket
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        lax = "" if durable else " -c fsync=off -c full_page_writes=off"
        self._options = f"-k {self.folder} -c listen_addresses=''{lax}"
        encoding = ("-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
        self._run("initdb", "-D", str(self._data), "-U", SUPERUSER, *encoding)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._prefix, str(self._programs / program), *arguments]
        with (self.folder / "setup.log").open("ab") as output:  # a pipe would stay open in the server
            subprocess.run(command, check=True, cwd=self.folder, stdout=output, stderr=output, timeout=60)

    def start(self) -> None:
        """Start it, also after a kill, and wait until it answers."""
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-o", self._options, "-w", "start")

    def stop(self) -> None:
        """End it at once, as a crash does: every connection is cut and nothing is written any more."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def remove(self) -> None:
        """Forget it and its data."""
        shutil.rmtree(self.folder)


@contextmanager
def running_server(programs: Path, *, durable: bool = False) -> Iterator[Path]:
    """Start a server and yield its socket folder; it and its data are gone afterwards."""
    with started_server(programs, durable=durable) as server:
        yield server.folder


@contextmanager
def started_server(programs: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server that the block may stop and start again; it and its data are gone afterwards."""
    server = PostgresServer(programs, durable=durable)
    try:
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # the block may have left it stopped
                server.stop()
    finally:
        server.remove()


def execute(socket_folder: Path, statement: str) -> None:
    """Run one administrative statement."""
    with _connection(socket_folder, "postgres") as connection:
        connection.execute(statement.encode())


def _connection(socket_folder: Path, name: str) -> psycopg.Connection[Any]:
    return psycopg.connect(host=str(socket_folder), user=SUPERUSER, dbname=name, autocommit=True)


def url_of(socket_folder: Path, name: str) -> str:
    """Return the URL of a database on the server."""
    return f"postgresql://{SUPERUSER}@/{name}?host={socket_folder}"


class Pool:
    """Copies of a template database; between uses they get its rows again."""

    def __init__(self, socket_folder: Path, *, template: str) -> None:
        self._folder, self._template = socket_folder, template
        self._free: list[str] = []
        self._made = 0
        with _connection(socket_folder, template) as connection:
            self._tables = self._tables_of(connection)
            self._rows = {table: self._rows_of(connection, table) for table in self._tables}

    @staticmethod
    def _tables_of(connection: psycopg.Connection[Any]) -> set[str]:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {row[0] for row in rows}

    @staticmethod
    def _rows_of(connection: psycopg.Connection[Any], table: str) -> bytes:
        with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as rows:
            return b"".join(bytes(part) for part in rows)

    def url_of(self, name: str) -> str:
        """Return the URL of a database of the pool."""
        return url_of(self._folder, name)

    def take(self) -> str:
        """Return the name of a copy."""
        if self._free:
            return self._free.pop()
        self._made += 1
        name = f"{self._template}_copy{self._made}"
        execute(self._folder, f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    def give_back(self, name: str) -> None:
        """Ready a copy for its next user: rows go whatever guards them, added tables go too."""
        with _connection(self._folder, name) as connection:
            added = self._tables_of(connection) - self._tables
            drops = [f"DROP TABLE {table} CASCADE" for table in added]
            deletes = [f"DELETE FROM {table}" for table in self._tables]  # noqa: S608  names of our own tables
            replica = "SET session_replication_role = replica"  # no trigger guards anything
            connection.execute("; ".join([replica, *drops, *deletes]).encode())
            for table, rows in self._rows.items():
                if rows:
                    with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                        copy.write(rows)
        self._free.append(name)
