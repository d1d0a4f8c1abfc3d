"""A throw-away PostgreSQL server on a unix socket, as durable as a deployment's, for figures beside SQLite's."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_VERSIONS: Final = Path("/usr/lib/postgresql")
_USERS: Final = ("postgres", "nobody")
_OWNER: Final = "mohr"
_SECONDS: Final = 120


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, the newest where there are several; None where there is none."""
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


@contextmanager
def running_postgres(programs: Path) -> Iterator[str]:
    """Start a server with its data in a temporary folder and yield its database's URL; both are gone afterwards."""
    user = _other_user()
    folder = Path(tempfile.mkdtemp(prefix="mohr-pg-"))  # short enough for a unix socket's path
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        with (folder / "log").open("ab") as output:
            subprocess.run(  # noqa: S603 - programs of PostgreSQL, our arguments
                [programs / program, "-D", data, *arguments],
                check=True,
                cwd=folder,
                stdout=output,
                stderr=output,
                timeout=_SECONDS,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else (),
            )

    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        run("initdb", "-U", _OWNER, "-A", "trust", "-E", "UTF8", "--no-locale")
        options = f"-k {folder} -c listen_addresses='' -c shared_buffers=256MB -c max_wal_size=4GB"
        run("pg_ctl", "-l", str(folder / "server.log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql://{_OWNER}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(folder)
