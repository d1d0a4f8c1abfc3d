"""The device link when its device is lost: every call ends in time, and the device is found again by itself."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hsm.device.calls import DeviceAnswer
from hsm.device.contract import device_input
from hsm.device.link import DeviceLink
from hsm.device.wire import NOTICE_PIN_KNOWN, NOTICE_PIN_NEW
from hsm.errors import HsmUnavailable, PinIncorrect
from hsm.pin import PinTries
from hsm.private_files import write_private
from hsm.softhsm import create_softhsm_token, find_module
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm, verify_signature, x509_signature
from tests.support.device_links import Owner, order_for
from tests.support.lost_hsm import LostHsm, needs_p11_kit

ES256 = SignatureAlgorithm.ES256
MESSAGE = b"message"
ANSWERED = 10.0  # every call: 1 s by requirement, which the stress suite holds it to; others' machines may stall
RESUMES = 20.0  # signing, after the device is back: 2 s by requirement

pytestmark = [
    pytest.mark.real,
    needs_p11_kit,
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]


@dataclass(kw_only=True)
class Bench:
    folder: Path
    hsm: LostHsm
    owner: Owner
    pin: str
    reference: bytes = b""
    spki_der: bytes = b""
    slowest: float = 0.0
    answers: list[DeviceAnswer] = field(default_factory=list)

    @property
    def link(self) -> DeviceLink:
        return self.owner.link

    @property
    def tries(self) -> PinTries:
        return PinTries(self.folder / "tries", 2)

    def make_key(self) -> None:
        value: Any = self.owner.value(partial(self.link.generate, "key", ES256, DEFAULT_RSA_BITS))
        self.reference, self.spki_der = value

    def sign(self) -> bool:
        """Make one call, which must end in time; True when it gave a signature, which must hold."""
        began = time.monotonic()
        answer = self.owner.ask(partial(self.link.sign, self.reference, ES256, [device_input(ES256, MESSAGE)]))
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        assert took < ANSWERED
        if answer.error is not None:
            assert isinstance(answer.error, HsmUnavailable), answer.error
            return False
        public_key = load_der_public_key(self.spki_der)
        assert isinstance(public_key, PublicKey)
        verify_signature(public_key, x509_signature(ES256, answer.value[0]), MESSAGE)
        return True

    def refuses_for(self, seconds: float) -> None:
        """See that no call succeeds and each ends in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert not self.sign()
            self.owner.turn(0.01)

    def resumes(self, within: float = RESUMES) -> None:
        """See that signing is there again soon after now."""
        began = time.monotonic()
        while not self.sign():
            assert time.monotonic() - began < within, f"still away: {self.link.reason}"
            self.owner.turn(0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    token = create_softhsm_token(tmp_path / "token", "mohr-lost")
    hsm = LostHsm(token, tmp_path)
    hsm.start()
    device = {"kind": "pkcs11", "module": str(hsm.module_path), "token": "mohr-lost"}
    order = order_for(token, tmp_path, device=device, environment=hsm.environment)
    made = Bench(folder=tmp_path, hsm=hsm, owner=Owner(DeviceLink(order, time.monotonic)), pin=token.pin.reveal())
    yield made
    hsm.kill()
    made.link.close()


@pytest.fixture
def opened(bench: Bench) -> Bench:
    bench.owner.open()
    bench.make_key()
    assert bench.sign()
    return bench


def test_a_killed_device_is_told_at_once_and_found_again(opened: Bench) -> None:
    for _ in range(3):
        generation = opened.link.generation
        opened.hsm.kill()
        opened.refuses_for(0.5)
        opened.hsm.start()
        opened.resumes()
        assert opened.link.generation > generation
    assert opened.tries.failed == 0


def test_a_hung_device_is_told_in_time_and_found_again(opened: Bench) -> None:
    for seconds in (0.3, 3.0):
        opened.hsm.stop()
        if seconds > 1:
            opened.refuses_for(seconds)
        else:
            time.sleep(seconds)
        opened.hsm.cont()
        opened.resumes()
    assert opened.tries.failed == 0


def test_a_device_that_hangs_with_many_calls_under_way_answers_each_in_time(opened: Bench) -> None:
    opened.hsm.stop()
    taken: list[float] = []
    for size in (1, 1, 1, 1):
        began = time.monotonic()
        inputs = [device_input(ES256, MESSAGE)] * size
        opened.link.sign(opened.reference, ES256, inputs, partial(_note, opened.answers, taken, began))
    opened.owner.run_until(lambda: len(taken) == 4)
    assert max(taken) < ANSWERED
    assert {type(answer.error) for answer in opened.answers} == {HsmUnavailable}
    opened.hsm.cont()
    opened.resumes()
    assert len(opened.answers) == 4, "an abandoned call was answered twice"


def _note(answers: list[DeviceAnswer], taken: list[float], began: float, answer: DeviceAnswer) -> None:
    answers.append(answer)
    taken.append(time.monotonic() - began)


@pytest.mark.parametrize("restart", [LostHsm.restart, LostHsm.restart_renumbered], ids=["same", "renumbered"])
def test_a_restarted_device_is_found_by_its_name(opened: Bench, restart: Callable[[LostHsm], None]) -> None:
    restart(opened.hsm)
    opened.resumes()
    assert opened.tries.failed == 0


def test_a_token_that_is_taken_away_is_found_when_it_is_back(opened: Bench) -> None:
    opened.hsm.take_token_away()
    opened.refuses_for(1.5)
    opened.hsm.bring_token_back()
    opened.resumes()
    assert opened.tries.failed == 0


def test_a_wiped_token_signs_nothing_and_does_not_hold_up_the_loop(opened: Bench) -> None:
    opened.hsm.wipe_token()
    opened.refuses_for(1.5)
    assert opened.link.fatal is None


def test_a_swapped_key_does_not_sign_under_the_generation_it_was_proved_in(opened: Bench) -> None:
    generation = opened.link.generation
    opened.hsm.swap_key(opened.reference)
    assert not opened.sign()
    opened.owner.run_until(lambda: opened.link.available)
    assert opened.link.generation > generation
    shown = partial(opened.link.public_key, opened.reference, ES256)
    assert opened.owner.value(shown) != opened.spki_der
    opened.hsm.put_key_back(opened.reference)
    opened.resumes()
    assert opened.owner.value(shown) == opened.spki_der


def test_a_device_process_that_crashes_is_started_again(opened: Bench) -> None:
    for _ in range(3):
        assert opened.link.pid is not None
        os.kill(opened.link.pid, signal.SIGSEGV)
        opened.owner.run_until(lambda: not opened.link.available)
        opened.resumes()
    assert opened.tries.failed == 0


def stop_at(bench: Bench, notice: bytes) -> list[bytes]:
    """Have the device hang when its process says next that it logs in; the notice is kept in what is returned."""
    seen: list[bytes] = []
    take = bench.link._take

    def watch(answer: bytes, now: float) -> None:
        if answer == notice and not seen:
            seen.append(answer)
            bench.hsm.stop()
        take(answer, now)

    bench.link._take = watch  # type: ignore[method-assign]
    return seen


def _replaced(bench: Bench, process: int | None) -> bool:
    if bench.link.available:
        bench.sign()  # the login was done before the device hung: the next call finds out
    return bench.link.pid not in (None, process)


def test_a_device_that_hangs_in_the_login_of_a_good_pin_never_burns_the_tries(opened: Bench) -> None:
    for _ in range(3):
        stops = stop_at(opened, NOTICE_PIN_KNOWN)
        opened.hsm.restart()
        process = opened.link.pid
        assert not opened.sign()
        opened.owner.run_until(partial(_replaced, opened, process))
        assert stops
        opened.hsm.cont()
        opened.resumes()
    assert opened.tries.failed == 0


def test_a_login_with_a_pin_that_was_never_good_is_waited_for(bench: Bench) -> None:
    stops = stop_at(bench, NOTICE_PIN_NEW)
    bench.link.open()
    bench.owner.run_until(lambda: stops)
    process, end = bench.link.pid, time.monotonic() + 2.5
    bench.owner.run_until(lambda: time.monotonic() > end)
    if bench.link.available:
        bench.hsm.cont()
        pytest.skip("the login was done before the device could be stopped")
    assert not bench.sign(), "calls are answered meanwhile"
    bench.hsm.cont()
    bench.owner.run_until(lambda: bench.link.available)
    assert bench.link.pid == process, "a login was cut short"
    assert bench.tries.failed == 0


def test_a_wrong_pin_stops_before_the_device_locks_across_restarts(bench: Bench) -> None:
    for failed in (1, 2, 2):
        write_private(bench.folder / "pin", b"wrong")
        owner = Owner(DeviceLink(bench.link._order, time.monotonic))
        owner.open()
        assert isinstance(owner.link.fatal, PinIncorrect)
        owner.link.close()
        assert bench.tries.failed == failed
    write_private(bench.folder / "pin", bench.pin.encode())
    (bench.folder / "tries").unlink()
    bench.owner.open()
    assert bench.link.available
