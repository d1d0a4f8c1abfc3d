"""A real token whose PIN the keeper holds: away until operators unlock it, and back by itself."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm.device.link import DeviceLink
from hsm.errors import PinIncorrect
from hsm.keeper.config import keeper_socket
from hsm.keeper.protocol import KeeperRole
from hsm.pin import PinTries
from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from tests.hsm.test_keeper import RunningKeeper, made
from tests.support.device_links import Owner, order_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsmToken:
    return create_softhsm_token(tmp_path_factory.mktemp("kept") / "token", "mohr-kept")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKeeper]:
    keeper = made(tmp_path_factory.mktemp("keeper"))
    keeper.start()
    yield keeper
    keeper.stop()


@pytest.fixture
def keeper(running: RunningKeeper) -> RunningKeeper:
    running.operator.forget()
    return running


@pytest.fixture
def owner(token: SoftHsmToken, keeper: RunningKeeper, tmp_path: Path) -> Iterator[Owner]:
    pin = {"keeper": str(keeper_socket(keeper.settings.sockets, KeeperRole.CUSTODIAN))}
    link = DeviceLink(order_for(token, tmp_path, pin=pin), time.monotonic)
    yield Owner(link)
    link.close()


def test_a_token_waits_for_its_pin_and_comes_back_by_itself(
    owner: Owner, keeper: RunningKeeper, token: SoftHsmToken, tmp_path: Path
) -> None:
    owner.link.open()
    owner.run_until(lambda: "waits for its PIN" in owner.link.reason)
    assert not owner.link.available
    assert PinTries(tmp_path / "tries", 2).failed == 0
    keeper.unlock(token.pin.reveal())
    owner.run_until(lambda: owner.link.available)
    assert owner.link.fatal is None


def test_a_wrong_pin_is_tried_no_oftener_than_is_allowed(owner: Owner, keeper: RunningKeeper, tmp_path: Path) -> None:
    keeper.unlock("00000000")
    owner.link.open()
    owner.run_until(lambda: owner.link.fatal)
    assert isinstance(owner.link.fatal, PinIncorrect)
    assert 1 <= PinTries(tmp_path / "tries", 2).failed <= 2


def test_the_device_process_that_is_killed_gets_the_pin_again(
    owner: Owner, keeper: RunningKeeper, token: SoftHsmToken
) -> None:
    keeper.unlock(token.pin.reveal())
    owner.open()
    generation = owner.link.generation
    assert owner.link.pid is not None
    os.kill(owner.link.pid, signal.SIGKILL)
    owner.run_until(lambda: owner.link.available and owner.link.generation > generation)
    keeper.operator.forget()
    os.kill(owner.link.pid, signal.SIGKILL)
    owner.run_until(lambda: "waits for its PIN" in owner.link.reason)
    keeper.unlock(token.pin.reveal())
    owner.run_until(lambda: owner.link.available)
