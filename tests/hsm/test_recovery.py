from collections.abc import Mapping, Sequence

import pytest

from hsm.device import Generated
from hsm.errors import ConfigurationInvalid, DeviceLost, HsmUnavailable, PinIncorrect, PurposeRefused, SessionLost
from hsm.recovery import LONGEST_DELAY_SECONDS, Lifeline
from pki.keys import PublicKey, SignatureAlgorithm


class ScriptedDevice:
    """A device that opens, or fails to, as told; it holds no keys."""

    def __init__(self) -> None:
        self.opened = 0
        self.failure: Exception | None = None

    def open(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.opened += 1

    def close(self) -> None:
        self.failure = DeviceLost("closed")

    def public_key(self, reference: bytes, algorithm: SignatureAlgorithm) -> PublicKey:
        raise NotImplementedError

    def sign(self, reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes]) -> list[bytes]:
        raise NotImplementedError

    def generate(self, label: str, algorithm: SignatureAlgorithm, rsa_bits: int) -> Generated:
        raise NotImplementedError

    def attributes(self, reference: bytes) -> Mapping[str, str | int | bool]:
        raise NotImplementedError


class ManualTime:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Work:
    """Work that fails with the given errors, one a time, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.done = 0

    def __call__(self) -> str:
        self.done += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def device() -> ScriptedDevice:
    return ScriptedDevice()


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


@pytest.fixture
def lifeline(device: ScriptedDevice, time: ManualTime) -> Lifeline:
    return Lifeline(device, time)


def test_the_first_work_connects(lifeline: Lifeline, device: ScriptedDevice) -> None:
    assert lifeline.run(Work()) == "done"
    assert lifeline.run(Work()) == "done"
    assert (device.opened, lifeline.generation) == (1, 1)


def test_a_lost_session_is_opened_again_and_the_work_done_once_more(lifeline: Lifeline, device: ScriptedDevice) -> None:
    work = Work(SessionLost())
    assert lifeline.run(work) == "done"
    assert (work.done, device.opened, lifeline.generation) == (2, 2, 2)


def test_a_session_lost_twice_is_a_lost_device(lifeline: Lifeline) -> None:
    with pytest.raises(SessionLost):
        lifeline.run(Work(SessionLost(), SessionLost()))
    with pytest.raises(HsmUnavailable, match="away"):
        lifeline.run(Work())


def test_after_a_loss_work_is_refused_at_once_until_the_delay_is_over(
    lifeline: Lifeline, device: ScriptedDevice, time: ManualTime
) -> None:
    with pytest.raises(DeviceLost):
        lifeline.run(Work(DeviceLost("gone")))
    untouched = Work()
    with pytest.raises(HsmUnavailable, match="gone"):
        lifeline.run(untouched)
    assert (untouched.done, device.opened) == (0, 1)
    time.seconds += 0.05
    assert lifeline.run(Work()) == "done"
    assert lifeline.generation == 2


def test_the_delay_doubles_to_two_seconds_and_starts_again_after_a_success(
    lifeline: Lifeline, device: ScriptedDevice, time: ManualTime
) -> None:
    device.failure = DeviceLost("gone")
    delays = []
    for _ in range(8):
        with pytest.raises(DeviceLost):
            lifeline.connect()
        before = time.seconds
        while True:
            time.seconds = round(time.seconds + 0.01, 2)
            try:
                lifeline.connect()
            except DeviceLost:
                break
            except HsmUnavailable:
                continue
        delays.append(round(time.seconds - before, 2))
        time.seconds += 10
    assert delays[0] == 0.05
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY_SECONDS
    device.failure = None
    lifeline.connect()
    with pytest.raises(DeviceLost):
        lifeline.run(Work(DeviceLost("again")))
    time.seconds += 0.05
    assert lifeline.run(Work()) == "done"


def test_a_refusal_is_no_loss(lifeline: Lifeline, device: ScriptedDevice) -> None:
    with pytest.raises(PurposeRefused):
        lifeline.run(Work(PurposeRefused("no")))
    assert lifeline.run(Work()) == "done"
    assert device.opened == 1


def test_a_refused_pin_comes_through(lifeline: Lifeline, device: ScriptedDevice) -> None:
    device.failure = PinIncorrect("no")
    with pytest.raises(PinIncorrect):
        lifeline.run(Work())


def test_settings_that_went_bad_are_no_fault_of_who_asks_for_work(lifeline: Lifeline, device: ScriptedDevice) -> None:
    device.failure = ConfigurationInvalid("pin: No such file")
    with pytest.raises(ConfigurationInvalid):
        lifeline.connect()
    with pytest.raises(HsmUnavailable, match="No such file"):
        lifeline.run(Work())


def test_settings_that_are_mended_are_used_again(lifeline: Lifeline, device: ScriptedDevice, time: ManualTime) -> None:
    device.failure = ConfigurationInvalid("pin: No such file")
    with pytest.raises(HsmUnavailable, match="cannot be opened"):
        lifeline.run(Work())
    device.failure = None
    time.seconds += 0.05
    assert lifeline.run(Work()) == "done"
