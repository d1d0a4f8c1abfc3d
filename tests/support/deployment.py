"""One whole pilot deployment for the tests that talk to `mohr`: a real ceremony, a running custodian.

A room that wants it imports the fixture in its own `conftest.py`:
`from tests.support.deployment import live  # noqa: F401 - a fixture`. Tests may add rows; none may count them.
"""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from hsm.process import CustodianProcess
from hsm.soft import UnsafeSoftKey
from hsm.softhsm import find_module
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from pki.oids import PILOT_ARC
from tests.support.programs import Ended, run_here
from webapp.ceremony import hold_ceremony
from webapp.cli import mohr
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.outbox import Outbox

SETTINGS = DeploymentSettings(
    public_url="http://127.0.0.1:18440",
    exchange_url="https://127.0.0.1:18441",
    organization="Mohr test (synthetic)",
    oid_arc=PILOT_ARC,
    database_url=None,
    production=False,
)
PHYSICIAN = {
    "kind": "clinician",
    "given_name": "سارا",
    "surname": "نمونه‌پور",
    "national_code": "0000012343",
    "profession": "physician",
    "council_number": "12345",
}


@dataclass(kw_only=True)
class LiveDeployment:
    """A deployment whose custodian runs, and `mohr` for it."""

    deployment: Deployment
    root_pin: str
    custodian: CustodianProcess

    def mohr(self, *arguments: str | Path) -> Ended:
        """Run one command of `mohr` for this deployment, in this process."""
        return run_here(mohr, *map(str, arguments), "--home", str(self.deployment.home))

    def answerless(self, *arguments: str | Path) -> None:
        """Run a command that must succeed and has nothing to say."""
        ended = self.mohr(*arguments)
        assert ended.status == 0, ended.messages + ended.trace

    def answer(self, *arguments: str | Path) -> dict[str, Any]:
        """Run a command that must succeed; return its last JSON line."""
        ended = self.mohr(*arguments)
        assert ended.status == 0, ended.messages + ended.trace
        line: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
        return line

    def activate(self, file_id: str) -> dict[str, Any]:
        """Have the holder of a file activate what waits."""
        return activate(self.deployment, file_id)

    @cached_property
    def file_id(self) -> str:
        """The approved registration file of a physician."""
        submitted = self.deployment.home / "physician.json"
        submitted.write_text(json.dumps(PHYSICIAN, ensure_ascii=False), encoding="utf-8")
        file_id = str(self.answer("ca", "file", "submit", submitted, "--officer", "clerk-parsa")["id"])
        for officer in ("officer-akbari", "officer-bahrami"):
            self.answer("ca", "file", "approve", file_id, "--officer", officer)
        return file_id

    def copy_readable(self, home: Path) -> Path:
        """Copy what an auditor needs, to be damaged: settings, database, public files. The copy has no keys."""
        home.mkdir()
        shutil.copyfile(self.deployment.settings_file, home / "mohr.toml")
        shutil.copytree(self.deployment.public, home / "public")
        (home / "data").mkdir()
        with (
            closing(sqlite3.connect(self.deployment.home / "data" / "mohr.db")) as source,
            closing(sqlite3.connect(home / "data" / "mohr.db")) as target,
        ):
            source.backup(target)
        return home

    def new_request(self, path: Path) -> UnsafeSoftKey:
        """Write a certificate request for a new software key, and return the key."""
        key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
        path.write_bytes(build_csr(key, "a wish"))
        return key


def activate(deployment: Deployment, file_id: str) -> dict[str, Any]:
    """Have the holder of a file activate what waits, by the codes in the outbox; return what was answered."""
    home = ("--home", str(deployment.home))
    sent = run_here(mohr, "ca", "activation", "send", file_id, "--officer", "clerk-parsa", *home)
    assert sent.status == 0, sent.messages + sent.trace
    name = json.loads(sent.output)["activation"]
    codes = Outbox(deployment.outbox).codes_of(name)
    ended = run_here(mohr, "ca", "activate", name, *home, answers="".join(f"{code}\n" for code in codes))
    assert ended.status == 0, ended.messages + ended.trace
    line: dict[str, Any] = json.loads(ended.output)
    return line


@pytest.fixture(scope="session")
def live() -> Iterator[LiveDeployment]:
    """Hold one ceremony for the whole session and keep its custodian running."""
    with pilot() as deployment:
        yield deployment


@contextmanager
def pilot() -> Iterator[LiveDeployment]:
    """Hold a ceremony and keep its custodian running: for what must not be done to the session's deployment."""
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))  # short enough for a unix socket's path
    try:
        deployment = Deployment(folder / "home")
        pin = hold_ceremony(deployment, SETTINGS)
        with CustodianProcess(deployment.custodian_config, log_path=folder / "custodian.log") as custodian:
            yield LiveDeployment(deployment=deployment, root_pin=pin, custodian=custodian)
    finally:
        shutil.rmtree(folder)
