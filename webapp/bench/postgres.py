"""A throw-away PostgreSQL server on a unix socket, for figures and tests beside SQLite's."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from webapp.short_folders import socket_folder

SUPERUSER: Final = "mohr"
LARGE: Final = " -c shared_buffers=256MB -c max_wal_size=4GB"
LAX: Final = " -c fsync=off -c full_page_writes=off"

_VERSIONS: Final = Path("/usr/lib/postgresql")
_USERS: Final = ("postgres", "nobody")
_SECONDS: Final = 120


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, the newest where there are several.

    None where there is none, or where this user has no name, whom they refuse.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return None
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(_VERSIONS.glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _other_user() -> pwd.struct_passwd | None:
    """Say whom the server runs as where we are root, which it refuses to be."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(users[name] for name in _USERS if name in users)


class PostgresServer:
    """A server in a folder of its own; `settings` are more words for `postgres`, such as `LAX`."""

    def __init__(self, programs: Path, settings: str = "") -> None:
        self._programs, self._user = programs, _other_user()
        self.folder = Path(tempfile.mkdtemp(prefix="mohr-pg-", dir=socket_folder()))
        self.folder.chmod(0o755)  # for programs of other users, to reach the socket
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._options = f"-k {self.folder} -c listen_addresses=''{settings}"
        self._run("initdb", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")

    def _run(self, program: str, *arguments: str) -> None:
        user = self._user
        with (self.folder / "setup.log").open("ab") as output:  # a pipe would stay open in the server
            subprocess.run(  # noqa: S603 - programs of PostgreSQL, our arguments
                [self._programs / program, "-D", self.folder / "data", *arguments],
                check=True,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                timeout=_SECONDS,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else (),
            )

    def start(self) -> None:
        """Start it, also after a kill, and wait until it answers."""
        self._run("pg_ctl", "-l", str(self.folder / "log"), "-o", self._options, "-w", "start")

    def stop(self) -> None:
        """End it at once, as a crash does: every connection is cut and nothing is written any more."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def remove(self) -> None:
        """Forget it and its data."""
        shutil.rmtree(self.folder)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return url_of(self.folder, database)


def url_of(socket_folder: Path, database: str) -> str:
    """Return the URL of a database of the server whose socket lies in a folder."""
    return f"postgresql://{SUPERUSER}@/{database}?host={socket_folder}"


@contextmanager
def started_server(programs: Path, settings: str = "") -> Iterator[PostgresServer]:
    """Start a server that the block may stop and start again; it and its data are gone afterwards."""
    server = PostgresServer(programs, settings)
    try:
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # the block may have left it stopped
                server.stop()
    finally:
        server.remove()
