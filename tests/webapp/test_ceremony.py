from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ca.ceremony.workshop import MEMORY_FOLDER
from ca.custody_policy import OPERATOR
from ca.profiles import ISSUING_AUTHORITIES
from hsm.client import SIGN_TIMEOUT
from hsm.errors import HsmUnavailable
from hsm.process import CustodianProcess
from hsm.softhsm import find_module
from pki.errors import ErrorCode
from tests.support.deployment import SETTINGS, LiveDeployment, live  # noqa: F401 - a fixture
from tests.support.elsewhere import read_elsewhere
from tests.support.hung import go_on, hang
from tests.support.programs import run_here
from webapp.ceremony import hold_ceremony
from webapp.cli import mohr
from webapp.compose import opened_parts
from webapp.deployment import Deployment

pytestmark = pytest.mark.real


def _folder_of_the_root(deployment: Deployment) -> Path | None:
    """Return where the custodian of this deployment's root has its settings and, for a moment, the PIN."""
    within = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else Path(tempfile.gettempdir())
    for config in within.glob("mohr-ceremony-*/custodian.json"):
        with suppress(FileNotFoundError):
            if str(deployment.root) in config.read_text():
                return config.parent
    return None


def _hears_everything() -> None:
    """Undo what a shell does to programs behind its back: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_ceremony_that_is_asked_to_end_leaves_no_pin_of_the_root(tmp_path: Path, number: signal.Signals) -> None:
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    deployment = Deployment(tmp_path / "h")
    command = [sys.executable, "-m", "webapp", "init", "--home", str(deployment.home), "--public-url", "http://x"]
    with subprocess.Popen(  # in a process of one thread
        command,
        stderr=subprocess.PIPE,
        preexec_fn=_hears_everything,  # noqa: PLW1509
    ) as ceremony:
        end = time.monotonic() + 30
        while (folder := _folder_of_the_root(deployment)) is None:
            assert ceremony.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        ceremony.send_signal(number)
        _, messages = ceremony.communicate(timeout=30)
    assert ceremony.returncode == 130
    assert b"Traceback" not in messages
    assert not folder.exists()
    assert not deployment.exists()


def test_a_ceremony_waits_for_a_custodian_that_stands_still_for_longer_than_a_server_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    begin, still = CustodianProcess.start, list[threading.Timer]()

    def begin_and_stand_still(process: CustodianProcess) -> None:
        begin(process)
        if process.socket_path(OPERATOR).is_relative_to(deployment.custodian_sockets):
            return
        assert process.pid is not None
        hang(process.pid)  # the root's: it is asked at once
        still.append(threading.Timer(1.5 * SIGN_TIMEOUT.total_seconds(), go_on, [process.pid]))
        still[0].start()

    monkeypatch.setattr(CustodianProcess, "start", begin_and_stand_still)
    deployment = Deployment(tmp_path / "h")
    hold_ceremony(deployment, SETTINGS)
    still[0].join()
    assert deployment.exists()


def test_the_pin_that_was_shown_is_in_no_file(live: LiveDeployment) -> None:  # noqa: F811 - the fixture of that name
    pin = live.root_pin.encode()
    files = [path for path in live.deployment.home.rglob("*") if path.is_file()]
    assert files
    assert pin not in read_elsewhere(files)


@pytest.mark.parametrize("act", [("revoke", "--reason", "key-compromise"), ("hold",)])
def test_what_the_root_issued_is_not_revoked_without_the_root(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    act: tuple[str, ...],
) -> None:
    with opened_parts(live.deployment) as parts:
        found = next(each for each in parts.authority.certificates(limit=1000) if each.name in ISSUING_AUTHORITIES)
        ended = live.mohr("ca", act[0], found.serial_hex, *act[1:])
        assert (ended.status, ended.code) == (1, "not-allowed")
        assert parts.authority.get(found.serial_hex).state == found.state


def test_who_began_a_deployment_in_vain_is_told_to_empty_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")

    def fail(*_arguments: object) -> None:
        raise HsmUnavailable("too slow")

    monkeypatch.setattr("webapp.ceremony._make_everything", fail)
    wish = ("init", "--home", str(tmp_path / "home"), "--public-url", "http://127.0.0.1:8440")
    ended = run_here(mohr, *wish)
    assert ended.code == ErrorCode.HSM_UNAVAILABLE
    assert f"empty {tmp_path / 'home'}" in ended.messages
    ended = run_here(mohr, *wish)
    assert ended.code == ErrorCode.DEPLOYMENT_EXISTS
    assert "empty" not in ended.messages
