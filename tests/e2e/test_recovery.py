"""The drill: a database is lost, a backup of before is put back, and nothing is lost with it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ca.custody_policy import WORKER
from hsm.process import CustodianProcess
from hsm.provider import spki_of
from hsm.soft import UnsafeSoftKey
from hsm.softhsm import find_module
from pki.certificates import Certificate, load_certificates
from pki.errors import Unavailable
from tests.storage import postgres
from tests.support.deployment import SETTINGS, LiveDeployment
from tests.support.openssl import openssl
from tests.support.programs import Ended, run_here
from webapp.ceremony import hold_ceremony
from webapp.checks import check_parts
from webapp.cli import mohr
from webapp.compose import open_parts
from webapp.deployment import Deployment
from webapp.list_upkeep import ListUpkeep
from webapp.worker import FollowSweep, KeyUseSweep, gates, seal

pytestmark = pytest.mark.real


@pytest.fixture(params=["sqlite", "postgresql"])
def lone(request: pytest.FixtureRequest) -> Iterator[LiveDeployment]:
    """A deployment of this test's own."""
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    settings = SETTINGS
    if request.param == "postgresql":
        settings = replace(SETTINGS, database_url=_new_database(request, "drill"))
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))  # short enough for a unix socket's path
    try:
        deployment = Deployment(folder / "home")
        pin = hold_ceremony(deployment, settings)
        with CustodianProcess(deployment.custodian_config, log_path=folder / "custodian.log") as custodian:
            yield LiveDeployment(deployment=deployment, root_pin=pin, custodian=custodian)
    finally:
        shutil.rmtree(folder)


def _new_database(request: pytest.FixtureRequest, name: str) -> str:
    server: Path = request.getfixturevalue("postgres_folder")
    postgres.execute(server, f"CREATE DATABASE {name}")
    request.addfinalizer(lambda: postgres.execute(server, f"DROP DATABASE {name} WITH (FORCE)"))
    return postgres.url_of(server, name)


@contextmanager
def _worker(live: LiveDeployment) -> Iterator[Any]:
    parts = open_parts(live.deployment, WORKER)
    try:
        yield parts
    finally:
        parts.keys.close()
        parts.database.close()


def _sweep(live: LiveDeployment) -> None:
    with _worker(live) as parts:
        with suppress(Unavailable):  # of the custodians of a server, one runs
            KeyUseSweep()(parts)
        for act in (seal, FollowSweep(), ListUpkeep()):
            act(parts)


def _health(live: LiveDeployment) -> str:
    with _worker(live) as parts:
        return str(next(part.state for part in check_parts(parts).parts if part.name == "recovery"))


def _refused(live: LiveDeployment, *words: str | Path) -> str:
    ended = live.mohr(*words)
    assert ended.status != 0, ended.output
    return ended.messages


def _restore(live: LiveDeployment, backup: Path, *words: str, shares: Path) -> Ended:
    typed = [path.read_text().splitlines()[-1] for path in sorted(shares.iterdir())][:2]
    given = ("restore", str(backup), *words, "--home", str(live.deployment.home))
    ended = run_here(mohr, *given, answers="".join(f"{share}\n" for share in typed))
    assert not any(share in ended.output + ended.messages for share in typed)
    return ended


def _lose(live: LiveDeployment, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Lose the database; return the words that name the new one."""
    if live.deployment.settings().database_url is None:
        for file in live.deployment.database_file.parent.glob("mohr.db*"):
            file.unlink()
        return ()
    return ("--database-url", _new_database(request, "drill_again"))


def test_a_day_old_backup_and_what_outlived_the_database_rebuild_it(
    lone: LiveDeployment, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lone.new_request(tmp_path / "csr")
    issue = ("ca", "issue", "--profile", "clin-auth", "--file", lone.file_id, "--csr", tmp_path / "csr")
    first = lone.answer(*issue)["serial"]
    lone.activate(lone.file_id)
    _sweep(lone)
    backup = tmp_path / "mohr.backup"
    assert "conflict" in _refused(lone, "backup", "--out", backup)
    people = ("--shares", "3", "--threshold", "2", "--share-files", tmp_path / "shares")
    recipient = lone.answer("recovery", "key", *people)["recipient"]
    made = lone.answer("backup", "--out", backup)
    assert made["recipient"] == recipient
    assert backup.stat().st_mode & 0o777 == 0o600
    assert b"0000012343" not in json.dumps(made).encode()
    assert lone.deployment.ledger_key.read_bytes().strip() not in backup.read_bytes()

    lone.new_request(tmp_path / "csr")
    second = lone.answer(*issue)["serial"]
    lone.answer("ca", "revoke", first, "--reason", "key-compromise")
    _sweep(lone)
    before = {serial: lone.answer("ca", "show", serial) for serial in (first, second)}
    shard = Certificate.parse(bytes.fromhex(_der(lone, first))).serial

    words = _lose(lone, request)
    (lone.deployment.home / ".restoring").mkdir()  # as one that was killed leaves it
    lost = (lone.deployment.settings_file, lone.deployment.backup_key)
    before_loss = [path.read_bytes() for path in lost[1:]]
    for path in lost:
        path.unlink()
    restored = _restore(lone, backup, *words, shares=tmp_path / "shares")
    assert restored.status == 0, restored.messages + restored.trace
    assert [path.read_bytes() for path in lost[1:]] == before_loss
    assert json.loads(restored.output)["state"] == "unreconciled"
    assert _health(lone) == "down"
    for refused in (issue, ("ca", "unhold", second), ("ca", "crl"), ("audit", "checkpoint")):
        assert "recovery-pending" in _refused(lone, *refused)
    with _worker(lone) as parts:
        gate = next(gate for gate in gates() if gate.name == "recovery")
        gate.run(parts, 0.0)
        assert gate.failure == "recovery-pending"

    report = lone.answer("reconcile")
    assert report["findings"] == {}, lone.answer("recovery", "show")["what"]
    assert report["certificates_new"] == 1
    assert {serial: lone.answer("ca", "show", serial) for serial in (first, second)} == before
    assert "recovery-pending" in _refused(lone, *issue)
    assert "deployment-exists" in _restore(lone, backup, *words, shares=tmp_path / "shares").messages
    assert not lone.answer("recovery", "release", "--officer", "officer-akbari")["released"]
    assert "four-eyes" in _refused(lone, "recovery", "release", "--officer", "officer-akbari")
    lone.deployment.tls_key.unlink()  # no backup has it
    assert lone.answer("recovery", "release", "--officer", "officer-bahrami")["released"]
    _see_listener_whole(lone)
    assert _health(lone) == "ok"
    lone.new_request(tmp_path / "csr")
    assert lone.answer(*issue)["serial"] not in before
    _sweep(lone)
    assert lone.answer("audit", "verify", "--json")["state"] == "consistent"
    listed = [_text(path) for path in (lone.deployment.public / "crl" / "persons").glob("*.crl")]
    assert any(f"{shard:X}" in text.upper() for text in listed)


def _see_listener_whole(live: LiveDeployment) -> None:
    """See that the listener's key is its certificate's, that a lost key has a successor, and a whole one none."""
    shown = [load_certificates(live.deployment.tls_certificate.read_bytes())[0]]
    for lost in (True, False):
        if lost:
            live.deployment.tls_key.write_bytes(b"cut short")
        live.answerless("ca", "renew-services")
        shown.append(load_certificates(live.deployment.tls_certificate.read_bytes())[0])
        key = UnsafeSoftKey.from_pem(live.deployment.tls_key.read_bytes())
        assert spki_of(key.public_key()) == shown[-1].spki_der
    assert shown[0].spki_der != shown[1].spki_der
    assert shown[1] == shown[2]


def _der(live: LiveDeployment, serial: str) -> str:
    with _worker(live) as parts:
        return str(parts.authority.get(serial).der.hex())


def _text(path: Path) -> str:
    return openssl("crl", "-inform", "DER", "-in", path, "-noout", "-text").stdout
