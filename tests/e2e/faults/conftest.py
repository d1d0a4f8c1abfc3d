"""Deployments made by `mohr init` and served: one whose database a test may take away, one whose disk and clock."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import pytest

from hsm.soft import UnsafeSoftKey
from hsm.softhsm import find_module
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.e2e.faults.callers import Caller
from tests.e2e.faults.small_disk import mounted
from tests.storage import postgres
from tests.support.deployment import PHYSICIAN
from tests.support.moved_clock import MovedClock, has_compiler
from tests.support.patience import PATIENCE, PAUSE
from tests.support.separated import Served, descendants, free_ports, open_folder
from webapp.deployment import Deployment

APPROVERS = ("officer-akbari", "officer-bahrami")
SERVERS = 3  # that issue at once from one database
DISK_MEGABYTES, MIN_FREE_MEGABYTES = 256, 24


def new_csr() -> bytes:
    """Ask for a certificate with a new key."""
    return build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a wish")


@dataclass(kw_only=True)
class Running(Served):
    """A deployment that is served, and who asks it."""

    pid: int = 0
    callers: dict[str, Caller] = field(default_factory=dict)

    def officer(self, name: str) -> Caller:
        """Return one of the pilot's own officers."""
        if name not in self.callers:
            place = self.deployment.officers / name
            self.callers[name] = Caller(
                port=self.port + 1,
                anchor=self.deployment.anchor,
                certificate=place / "certificate.pem",
                key=place / "key.pem",
            )
        return self.callers[name]

    def file(self) -> str:
        """Return the id of a file with both approvals, given over HTTP."""
        status, file = self.officer("clerk-parsa").tell("/api/v1/registrations", PHYSICIAN)
        assert status == 201, file
        for name in APPROVERS:
            status, file = self.officer(name).tell(f"/api/v1/registrations/{file['id']}/approvals", {})
            assert status == 200, file
        return str(file["id"])

    @cached_property
    def file_id(self) -> str:
        """The approved file of a physician."""
        return self.file()

    def issue(self) -> tuple[int, str]:
        """Order a certificate for a new key; return the status and its serial number, or the refusal's code."""
        return self.officer("clerk-parsa").order(self.file_id, new_csr(), uuid4().hex)

    def issue_in_the_end(self) -> tuple[int, str]:
        """Order as `issue` does, and again while the service is away, as it may be where a machine stalls."""
        end = time.monotonic() + PATIENCE
        while (said := self.issue())[0] == HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() < end:
            time.sleep(PAUSE)
        return said

    def kill(self, part: str) -> set[int]:
        """Kill every process of `mohr serve` with a word in its command line; return which."""
        killed = {pid for pid, line in descendants(self.pid).items() if part in line}
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return killed


@dataclass(kw_only=True)
class OnPostgres(Running):
    """A deployment and the server that has its rows; tests set the clock of its programs, where it can be compiled."""

    postgres: postgres.PostgresServer
    clock: MovedClock | None = None

    @property
    def moved_clock(self) -> MovedClock:
        """The clock; skips where there is none."""
        if self.clock is None:
            pytest.skip("no C compiler")
        return self.clock

    @property
    def url(self) -> str:
        """The database's URL, as the deployer gave it."""
        return postgres.url_of(self.postgres.folder, "mohr")

    def elsewhere(self, home: Path) -> OnPostgres:
        """Return another deployment, not made yet, that may ask the same server."""
        return OnPostgres(python=self.python, deployment=Deployment(home), port=1, postgres=self.postgres)

    def approved_file(self) -> str:
        """Return the id of a physician's file with both approvals, given by commands."""
        person = self.deployment.home.with_name("person.json")
        person.write_text(json.dumps(PHYSICIAN, ensure_ascii=False), encoding="utf-8")
        file_id = str(self.answer("ca", "file", "submit", person, "--officer", "clerk-parsa")["id"])
        for officer in APPROVERS:
            self.answer("ca", "file", "approve", file_id, "--officer", officer)
        return file_id


@dataclass(kw_only=True)
class OnSmallDisk(Running):
    """A deployment on a small disk whose programs read a clock that tests set; `no_disk` says why there is none."""

    clock: MovedClock
    no_disk: str

    @property
    def disk(self) -> Path:
        """Where the disk is mounted."""
        return self.deployment.home.parent


@pytest.fixture(scope="package")
def on_postgres() -> Iterator[OnPostgres]:
    """Make the deployment by its commands alone, and serve it."""
    programs = postgres.find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed, or refuses this user")
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    with postgres.started_server(programs, durable=True) as server, open_folder() as folder:
        postgres.execute(server.folder, "CREATE DATABASE mohr")
        deployment, port = Deployment(folder / "home"), free_ports()
        clock = MovedClock(folder) if has_compiler() else None
        made = OnPostgres(
            python=Path(sys.executable),
            deployment=deployment,
            port=port,
            postgres=server,
            clock=clock,
            environment={
                "WEB_CONCURRENCY": str(SERVERS),  # gunicorn's own
                **({} if clock is None else clock.environment),
            },
        )
        ended = made.mohr("init", "--public-url", f"http://127.0.0.1:{port}", "--database-url", made.url)
        assert ended.status == 0, ended.messages
        with made.serving() as made.pid:
            yield made


@pytest.fixture(scope="package")
def on_small_disk() -> Iterator[OnSmallDisk]:
    """Make a deployment on SQLite by its commands alone, and serve it."""
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    with open_folder() as folder:
        disk = folder / "disk"
        disk.mkdir()
        with mounted(disk, DISK_MEGABYTES) as no_disk:
            clock, port = MovedClock(folder), free_ports()
            made = OnSmallDisk(
                python=Path(sys.executable),
                deployment=Deployment(disk / "home"),
                port=port,
                clock=clock,
                no_disk=no_disk,
                environment=clock.environment,
            )
            ended = made.mohr("init", "--public-url", f"http://127.0.0.1:{port}")
            assert ended.status == 0, ended.messages
            settings = replace(made.deployment.settings(), min_free_mb=MIN_FREE_MEGABYTES)
            made.deployment.write_settings(settings)
            with made.serving() as made.pid:
                yield made
