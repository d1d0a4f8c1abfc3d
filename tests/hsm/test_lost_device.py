"""A network HSM that dies and returns: `p11-kit server` in front of SoftHSM2."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import pytest

from hsm.errors import HsmUnavailable
from hsm.pin import PinTries
from hsm.provider import KeyPurpose
from pki.errors import ErrorCode
from pki.journal import DONE
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.lost_hsm import LostHsm, needs_p11_kit
from tests.support.softhsm import CustodianHome

pytestmark = [pytest.mark.real, needs_p11_kit]


@pytest.fixture
def hsm(custodian_factory: Callable[[], CustodianHome]) -> Iterator[tuple[LostHsm, CustodianHome]]:
    home = custodian_factory()
    device = LostHsm(home.token, home.folder)
    device.start()
    home.use_module(device.module_path, **device.environment)
    home.process.start()
    yield device, home
    home.process.stop()
    device.kill()


def test_signatures_fail_at_once_while_the_device_is_away_and_return_with_it(
    hsm: tuple[LostHsm, CustodianHome],
) -> None:
    device, home = hsm
    label = home.key(SignatureAlgorithm.ES256, KeyPurpose.SEAL)
    key = home.client.signing_key(label)
    for _ in range(2):
        verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE)
        device.kill()
        for _ in range(20):
            with pytest.raises(HsmUnavailable):
                key.sign(m.NOTE)
            time.sleep(0.01)
        device.start()
        returned = time.monotonic()
        while not home.client.health().ok:
            assert time.monotonic() - returned < 20, "the device was not found again"
            time.sleep(0.01)
    verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE)
    assert PinTries(home.settings.tries_file, 2).failed == 0
    assert len(home.client.keys()) == 1


def test_a_use_that_the_lost_device_was_asked_for_has_a_second_entry_that_says_what_came_of_it(
    hsm: tuple[LostHsm, CustodianHome],
) -> None:
    device, home = hsm
    label = home.key(SignatureAlgorithm.ES256, KeyPurpose.SEAL)
    home.client.sign(label, m.NOTE)
    device.kill()
    lost = b"asked in vain\n"
    with pytest.raises(HsmUnavailable):
        home.client.sign(label, lost)
    uses = [use for use in home.journal() if use.digest == sha256(lost).digest()]
    assert [(use.key, use.outcome) for use in uses] == [(label, DONE), (label, ErrorCode.HSM_UNAVAILABLE)]
    assert len({replace(use, at=uses[0].at, outcome=DONE) for use in uses}) == 1
