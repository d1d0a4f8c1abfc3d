"""A network HSM that dies and returns: `p11-kit server` in front of SoftHSM2."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm.errors import HsmUnavailable
from hsm.pin import PinTries
from hsm.provider import KeyPurpose
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.softhsm import CustodianHome

CLIENT_MODULE = Path("/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not CLIENT_MODULE.exists() or not shutil.which("p11-kit"), reason="p11-kit is not installed"),
]


class KillableHsm:
    """SoftHSM2 behind a socket of its own, in a process group that can be killed."""

    def __init__(self, home: CustodianHome) -> None:
        self._home = home
        self._socket = home.folder / "p11.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix:path={self._socket}"

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["p11-kit", "server", "--provider", str(self._home.token.module_path), "-f", "-n", self.address, "pkcs11:"],
            env=self._home.token.environment | {"PATH": os.defpath},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 5
        while not self._socket.exists():
            assert time.monotonic() < deadline, "p11-kit server did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def hsm(custodian_factory: Callable[[], CustodianHome]) -> Iterator[tuple[KillableHsm, CustodianHome]]:
    home = custodian_factory()
    device = KillableHsm(home)
    device.start()
    home.reconfigure(module_path=CLIENT_MODULE, environment={"P11_KIT_SERVER_ADDRESS": device.address})
    home.process.start()
    yield device, home
    home.process.stop()
    device.kill()


def test_signatures_fail_at_once_while_the_device_is_away_and_return_with_it(
    hsm: tuple[KillableHsm, CustodianHome],
) -> None:
    device, home = hsm
    label = home.key(SignatureAlgorithm.ES256, KeyPurpose.SEAL)
    key = home.client.signing_key(label)
    for _ in range(2):
        verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE)
        device.kill()
        for _ in range(20):
            started = time.monotonic()
            with pytest.raises(HsmUnavailable):
                key.sign(m.NOTE)
            assert time.monotonic() - started < 1
            time.sleep(0.01)
        device.start()
        returned = time.monotonic()
        while not home.client.health().ok:
            assert time.monotonic() - returned < 2.5, "the device was not found again"
            time.sleep(0.01)
    verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE)
    assert PinTries(home.settings.tries_file, 2).failed == 0
    assert len(home.client.keys()) == 1
