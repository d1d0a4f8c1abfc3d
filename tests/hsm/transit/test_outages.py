"""A real OpenBao server is sealed, killed, stopped, a standby, or busy, and comes back."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from hsm.errors import (
    DeviceLost,
    HsmUnavailable,
    PinIncorrect,
)
from hsm.transit.settings import TransitSettings
from hsm.vault import TransitDevice
from tests.hsm.transit.bench import DIGEST, ES256, MESSAGES, Bench, how_it_fails, sign_messages, verify_all
from tests.support.hung import go_on, hang
from tests.support.openbao import MOUNT, BaoServer

pytestmark = pytest.mark.real


def test_a_sealed_server_is_unavailable_and_signs_again_once_unsealed(
    bao: BaoServer, device: TransitDevice, key: bytes
) -> None:
    public_key = device.public_key(key, ES256)
    bao.seal()
    for call in (
        lambda: device.sign(key, ES256, [DIGEST]),
        lambda: device.public_key(key, ES256),
        lambda: device.attributes(key),
        lambda: device.generate("sealed", ES256, 3072),
        device.open,
    ):
        with pytest.raises(DeviceLost):
            call()
    bao.unseal()
    device.open()
    verify_all(public_key, sign_messages(device, key, ES256, MESSAGES), MESSAGES, ES256)


def test_a_killed_server_is_unavailable_and_signs_again_once_restarted(
    bao: BaoServer, device: TransitDevice, key: bytes
) -> None:
    public_key = device.public_key(key, ES256)
    bao.kill()
    with pytest.raises(DeviceLost):
        device.sign(key, ES256, [DIGEST])
    with pytest.raises(DeviceLost):
        device.open()
    bao.restart()
    device.open()
    verify_all(public_key, sign_messages(device, key, ES256, MESSAGES), MESSAGES, ES256)


def test_a_server_that_hangs_is_given_up_in_time(bao: BaoServer, device: TransitDevice, key: bytes) -> None:
    assert bao.process is not None
    hang(bao.process.pid)
    try:
        began = time.monotonic()
        with pytest.raises(DeviceLost, match="in time"):
            device.sign(key, ES256, [DIGEST])
        device.close()
        assert time.monotonic() - began < 30
    finally:
        go_on(bao.process.pid)
    device.open()
    assert len(device.sign(key, ES256, [DIGEST])) == 1


def test_a_closed_device_says_so(device: TransitDevice, key: bytes) -> None:
    device.close()
    device.close()
    with pytest.raises(DeviceLost):
        device.sign(key, ES256, [DIGEST])


def _opened_once_it_knows(bench: Bench, settings: TransitSettings) -> TransitDevice:
    """Open a device at a standby, to which a credential made a moment ago may be on its way."""
    until = time.monotonic() + 20
    while True:
        try:
            return bench.opened(settings)
        except PinIncorrect:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_a_standby_signs_on_without_its_leader_but_takes_no_login(
    bench: Bench, bao_node: Callable[[], BaoServer]
) -> None:
    leader, standby = bao_node(), bao_node()
    leader.start()
    leader.initialise()
    leader.make_key("led")
    standby.start()
    standby.join(leader)
    role = leader.approle()
    device = _opened_once_it_knows(bench, replace(role.settings, url=standby.url))
    made = device.generate("by-standby", ES256, 3072)
    verify_all(
        made.public_key, sign_messages(bench.opened(role.settings), made.reference, ES256, MESSAGES), MESSAGES, ES256
    )
    public_key = device.public_key(b"led:1", ES256)
    leader.kill()
    verify_all(public_key, sign_messages(device, b"led:1", ES256, MESSAGES), MESSAGES, ES256)
    with pytest.raises(DeviceLost, match="standby"):
        device.generate("by-nobody", ES256, 3072)
    with pytest.raises(DeviceLost, match="standby"):
        device.open()
    standby.kill()


def test_a_server_that_limits_the_rate_is_unavailable(bao: BaoServer, device: TransitDevice, key: bytes) -> None:
    bao.call("POST", "sys/quotas/rate-limit/narrow", {"path": MOUNT, "rate": 1})
    try:
        failed = [failure for failure in (how_it_fails(device, key) for _ in range(20)) if failure is not None]
        assert failed
        assert all("rate" in failure.detail and type(failure) is HsmUnavailable for failure in failed)
    finally:
        bao.call("DELETE", "sys/quotas/rate-limit/narrow")
    assert len(device.sign(key, ES256, [DIGEST])) == 1
