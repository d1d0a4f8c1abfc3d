"""The service token's PIN leaves its file; from then on custodians sign only once people have unlocked it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ca.custody_policy import OPERATOR
from ca.hierarchy import CHECKPOINT_KEY
from hsm.child_process import child_environment, module_command
from hsm.client import CustodianClient
from hsm.keeper.config import load_keeper_settings
from hsm.process import CustodianProcess
from hsm.softhsm import find_module
from pki.errors import ErrorCode
from pki.keys import verify_signature
from tests.support.deployment import SETTINGS
from tests.support.programs import Ended, run_here
from tests.webapp.test_second_site import NOTE, written_shares
from tests.webapp.test_serve import APART
from webapp.ceremony import hold_ceremony
from webapp.cli import mohr
from webapp.commands.serve import programs
from webapp.custody import sockets_for
from webapp.deployment import Deployment
from webapp.pin_keeping import keeps_pin, prepare_keeper

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]

DEADLINE_SECONDS = 60


@pytest.fixture(scope="module")
def made() -> Iterator[Deployment]:
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))  # short enough for a unix socket's path
    try:
        deployment = Deployment(folder / "made")
        hold_ceremony(deployment, SETTINGS)
        yield deployment
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def deployment(made: Deployment) -> Iterator[Deployment]:
    """Return the deployment as it was made."""
    kept = made.home.with_name("kept")
    shutil.copytree(made.home, kept)
    yield made
    shutil.rmtree(made.home)
    kept.rename(made.home)


def run(deployment: Deployment, *arguments: str, typed: tuple[str, ...] = ()) -> Ended:
    lines = "".join(f"{line}\n" for line in typed)
    return run_here(mohr, "hsm", *arguments, "--home", str(deployment.home), answers=lines)


@contextmanager
def started(deployment: Deployment, log: Path) -> Iterator[CustodianClient]:
    """Run keeper and custodian as `mohr serve` does."""
    prepare_keeper(deployment, os.geteuid(), os.geteuid())
    with log.open("wb") as said:
        keeper = subprocess.Popen(
            module_command("hsm.keeper", str(deployment.keeper_config)), env=child_environment(), stderr=said
        )
    try:
        wait_until(lambda: b"ready" in log.read_bytes())
        with CustodianProcess(deployment.custodian_config, log_path=log.with_name("custodian.log")):
            client = CustodianClient(sockets_for(deployment, OPERATOR))
            yield client
            client.close()
    finally:
        keeper.terminate()
        keeper.wait(DEADLINE_SECONDS)


def wait_until(met: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not met():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_custodian_signs_once_people_have_given_their_shares(deployment: Deployment, tmp_path: Path) -> None:
    pin = deployment.pin_file.read_bytes().strip()
    ended = run(deployment, "keep-pin", "--shares", "3", "--threshold", "2", "--share-files", str(tmp_path / "shares"))
    assert ended.status == 0, ended.messages + ended.trace
    assert keeps_pin(deployment)
    assert not [path for path in deployment.home.rglob("*") if path.is_file() and pin in path.read_bytes()]
    shares = written_shares(tmp_path / "shares")
    with started(deployment, tmp_path / "keeper.log") as client:
        assert "waits for its PIN" in client.health().detail
        assert run(deployment, "unlock", typed=(shares[0], shares[2])).status == 0
        assert "--forget" in run(deployment, "unlock").messages
        wait_until(lambda: client.health().ok)
        verify_signature(client.signing_key(CHECKPOINT_KEY).public_key(), client.sign(CHECKPOINT_KEY, NOTE), NOTE)
    said = (tmp_path / "keeper.log").read_bytes() + (tmp_path / "custodian.log").read_bytes()
    assert pin not in said
    assert run(deployment, "keep-pin", "--by-hand", typed=("x",)).code == ErrorCode.CONFLICT


def test_a_pin_that_is_typed_is_known_before_its_file_goes(deployment: Deployment, tmp_path: Path) -> None:
    pin = deployment.pin_file.read_text().strip()
    assert run(deployment, "keep-pin", "--by-hand", typed=("00000000",)).code == ErrorCode.HSM_PIN_INCORRECT
    assert deployment.pin_file.exists()
    assert not keeps_pin(deployment)
    ended = run(deployment, "keep-pin", "--by-hand", typed=(pin,))
    assert ended.status == 0, ended.messages + ended.trace
    assert not deployment.pin_file.exists()
    with started(deployment, tmp_path / "keeper.log") as client:
        assert run(deployment, "unlock", typed=(pin,)).status == 0
        wait_until(lambda: client.health().ok)


def test_shares_that_could_not_be_delivered_change_nothing(deployment: Deployment) -> None:
    for options in ((), ("--shares", "2", "--custodian", "A"), ("--share-files", str(deployment.home))):
        assert run(deployment, "keep-pin", *options).status != 0
    assert deployment.pin_file.exists()
    assert not keeps_pin(deployment)


def test_a_keeper_runs_where_the_pin_is_kept_as_the_custodians_user(deployment: Deployment, tmp_path: Path) -> None:
    assert "keeper" not in [each.name for each in programs(deployment, SETTINGS, "h:8440", APART)]
    assert run(deployment, "keep-pin", "--share-files", str(tmp_path / "shares")).status == 0
    with deployment.serving():  # by a server that was started before
        assert "next start" in run(deployment, "unlock").messages
    prepare_keeper(deployment, 11, 12)
    keeper = programs(deployment, SETTINGS, "h:8440", APART)[0]
    assert keeper.arguments[-2:] == ("hsm.keeper", str(deployment.keeper_config))
    assert keeper.run_as == APART.custodian()
    settings = load_keeper_settings(deployment.keeper_config)
    assert (settings.custodian_uids, settings.operator_uids) == (frozenset({11}), frozenset({12}))
    assert settings.share_set == deployment.pin_shares


def test_settings_that_cannot_be_read_keep_no_pin(tmp_path: Path) -> None:
    assert not keeps_pin(Deployment(tmp_path))
