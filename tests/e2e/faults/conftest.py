"""A deployment on PostgreSQL, made by `mohr init` and served, whose database a test may take away."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsm.soft import UnsafeSoftKey
from hsm.softhsm import find_module
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.storage import postgres
from tests.support.deployment import PHYSICIAN
from tests.support.separated import Served, descendants, free_ports, open_folder
from webapp.deployment import Deployment


def new_csr() -> bytes:
    """Ask for a certificate with a new key."""
    return build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a wish")


@dataclass(kw_only=True)
class OnPostgres(Served):
    """A deployment and the server that has its rows."""

    postgres: postgres.PostgresServer
    pid: int = 0

    @property
    def url(self) -> str:
        """The database's URL, as the deployer gave it."""
        return postgres.url_of(self.postgres.folder, "mohr")

    def elsewhere(self, home: Path) -> OnPostgres:
        """Return another deployment, not made yet, that may ask the same server."""
        return OnPostgres(python=self.python, deployment=Deployment(home), port=1, postgres=self.postgres)

    def approved_file(self) -> str:
        """Return the id of a physician's file with both approvals."""
        person = self.deployment.home.with_name("person.json")
        person.write_text(json.dumps(PHYSICIAN, ensure_ascii=False), encoding="utf-8")
        file_id = str(self.answer("ca", "file", "submit", person, "--officer", "clerk-parsa")["id"])
        for officer in ("officer-akbari", "officer-bahrami"):
            self.answer("ca", "file", "approve", file_id, "--officer", officer)
        return file_id


def kill(served: OnPostgres, part: str) -> set[int]:
    """Kill every process of `mohr serve` with a word in its command line; return which."""
    killed = {pid for pid, line in descendants(served.pid).items() if part in line}
    for pid in killed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return killed


@pytest.fixture(scope="session")
def on_postgres() -> Iterator[OnPostgres]:
    """Make the deployment by its commands alone, and serve it."""
    programs = postgres.find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    with postgres.started_server(programs, durable=True) as server, open_folder() as folder:
        postgres.execute(server.folder, "CREATE DATABASE mohr")
        deployment, port = Deployment(folder / "home"), free_ports()
        made = OnPostgres(python=Path(sys.executable), deployment=deployment, port=port, postgres=server)
        ended = made.mohr("init", "--public-url", f"http://127.0.0.1:{port}", "--database-url", made.url)
        assert ended.status == 0, ended.messages
        with made.serving() as made.pid:
            yield made
