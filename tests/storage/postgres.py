"""Databases on a throw-away PostgreSQL server, for tests that run the same suite on the other engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from webapp.bench import postgres
from webapp.bench.postgres import LAX, SUPERUSER, PostgresServer, find_programs, url_of

__all__ = ["Pool", "PostgresServer", "execute", "find_programs", "running_server", "started_server", "url_of"]


@contextmanager
def running_server(programs: Path, *, durable: bool = False) -> Iterator[Path]:
    """Start a server and yield its socket folder; it and its data are gone afterwards."""
    with started_server(programs, durable=durable) as server:
        yield server.folder


@contextmanager
def started_server(programs: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server that the block may stop and start again; `durable`: what it commits outlives a kill."""
    with postgres.started_server(programs, "" if durable else LAX) as server:
        yield server


def execute(socket_folder: Path, statement: str) -> None:
    """Run one administrative statement."""
    with _connection(socket_folder, "postgres") as connection:
        connection.execute(statement.encode())


def _connection(socket_folder: Path, name: str) -> psycopg.Connection[Any]:
    return psycopg.connect(host=str(socket_folder), user=SUPERUSER, dbname=name, autocommit=True)


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
