"""The link's own decisions, with a scripted process and a clock that is turned by hand."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hsm.device import link as device_link
from hsm.device.calls import DeviceAnswer
from hsm.device.child import DeviceOrder
from hsm.device.link import DeviceLink
from hsm.device.wire import (
    NOTICE_PIN_KNOWN,
    NOTICE_PIN_NEW,
    DeviceOperation,
    encode_done,
    encode_failure,
    encode_generated,
    encode_values,
    read_inputs,
    read_key,
)
from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    MechanismRefused,
    PinIncorrect,
    SessionLost,
)
from pki.errors import ServiceError
from pki.keys import SignatureAlgorithm

ES256 = SignatureAlgorithm.ES256
ORDER = DeviceOrder(device={"kind": "none"}, pin={}, tries_file=Path("/nowhere"), pin_tries=1)


class ScriptedChild:
    """A device process of which the test is the other side."""

    made: list["ScriptedChild"]

    def __init__(self, order: DeviceOrder) -> None:
        self.made.append(self)
        self.asked: list[bytes] = []
        self.arrived: list[bytes] = []
        self.killed = self.gone = False
        self.socket = None
        self.wants_writing = False
        self.pid = len(self.made)

    def send(self, payload: bytes, *, later: bool = False) -> None:
        self.asked.append(payload)

    def flush(self) -> None:
        pass

    def receive(self) -> list[bytes]:
        if self.gone:
            raise ConnectionResetError
        arrived, self.arrived = self.arrived, []
        return arrived

    def kill(self) -> None:
        self.killed = True

    def reap(self) -> bool:
        return self.killed

    def stop(self) -> None:
        self.killed = True


class Scene:
    """A link and its processes so far."""

    def __init__(self, children: list[ScriptedChild]) -> None:
        self.now = 100.0
        self.children = children
        self.link = DeviceLink(ORDER, lambda: self.now)
        self.answers: list[DeviceAnswer] = []

    @property
    def child(self) -> ScriptedChild:
        return self.children[-1]

    def arrive(self, *answers: bytes) -> None:
        self.child.arrived.extend(answers)
        self.link.on_readable()

    def later(self, seconds: float) -> float:
        """Let time pass and tell in how many seconds the link wants to be called again."""
        self.now += seconds
        return self.link.tick()

    def opened(self) -> "Scene":
        self.link.open()
        self.arrive(encode_done())
        self.arrive(encode_done())
        assert self.link.available
        return self

    def sign(self, count: int = 1) -> None:
        self.link.sign(b"key", ES256, [bytes(32)] * count, self.answers.append)

    def look(self) -> None:
        self.link.public_key(b"key", ES256, self.answers.append)

    def errors(self) -> list[type[ServiceError] | None]:
        return [None if answer.error is None else type(answer.error) for answer in self.answers]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    children: list[ScriptedChild] = []
    monkeypatch.setattr(ScriptedChild, "made", children, raising=False)
    monkeypatch.setattr(device_link, "DeviceChild", ScriptedChild)
    scene = Scene(children)
    yield scene
    scene.link.close()
    assert all(child.killed for child in children)


def test_away_every_call_fails_at_once_and_from_inside(scene: Scene) -> None:
    scene.sign()
    assert scene.errors() == [HsmUnavailable]


def test_a_call_that_takes_too_long_fails_and_the_process_is_replaced(scene: Scene) -> None:
    scene.opened().sign()
    assert scene.later(0.79) <= 0.011
    assert scene.answers == []
    scene.later(0.02)
    assert scene.errors() == [HsmUnavailable]
    assert scene.child.killed
    scene.later(0.06)
    assert len(scene.children) == 2


def test_a_call_behind_a_slow_one_fails_in_its_own_time_and_its_answer_is_not_heard(scene: Scene) -> None:
    scene.opened().link.generate("slow", ES256, 3072, scene.answers.append)
    scene.sign()
    scene.later(0.9)
    assert scene.errors() == [HsmUnavailable]
    scene.later(20)
    assert not scene.child.killed
    scene.arrive(encode_generated(b"ref", b"spki"), encode_values([b"v" * 64]))
    assert scene.errors() == [HsmUnavailable, None]
    assert scene.answers[1].value == (b"ref", b"spki")


def test_each_call_has_its_time_from_when_the_device_comes_to_it(scene: Scene) -> None:
    scene.opened().link.generate("slow", ES256, 3072, scene.answers.append)
    scene.link.generate("slow", ES256, 3072, scene.answers.append)
    scene.later(50)
    scene.arrive(encode_generated(b"ref", b"spki"))
    scene.later(9)
    assert not scene.child.killed
    scene.later(2)
    assert scene.errors() == [None, HsmUnavailable], "a caller waits no longer than it was told"
    scene.later(50)
    assert scene.child.killed


def test_a_large_call_is_cut_and_has_time_for_all_of_it(scene: Scene) -> None:
    scene.opened().sign(100)
    sizes = [len(read_inputs(request, read_key(request)[2])) for request in scene.child.asked if request[0] == 2]
    assert sizes == [32, 32, 32, 4]
    for size in sizes:
        scene.later(0.6)
        scene.arrive(encode_values([bytes([size]) * 64] * size))
    (answer,) = scene.answers
    assert [value[0] for value in answer.value] == [32] * 96 + [4] * 4


@pytest.mark.parametrize("error", [DeviceLost("gone"), SessionLost("forgot")])
def test_a_lost_device_is_opened_again_at_once_in_the_same_process(scene: Scene, error: ServiceError) -> None:
    scene.opened()
    scene.later(5)
    scene.sign()
    scene.arrive(encode_failure(error))
    assert scene.errors() == [type(error)]
    scene.sign()
    assert scene.errors()[1:] == [HsmUnavailable]
    scene.later(0)
    assert scene.child.asked[-1] == bytes((DeviceOperation.OPEN,))
    scene.arrive(encode_done())
    assert (scene.link.available, scene.link.generation, len(scene.children)) == (True, 2, 1)


def test_a_device_that_is_lost_again_and_again_is_opened_less_and_less_often(scene: Scene) -> None:
    scene.opened()
    waits = []
    for _ in range(6):
        scene.sign()
        scene.arrive(encode_failure(DeviceLost("gone")))
        waits.append(round(scene.later(0), 2))
        scene.later(waits[-1] + 0.001)
        scene.arrive(encode_done())
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]


def test_openings_that_fail_wait_longer_each_time_and_then_get_a_process_of_their_own(scene: Scene) -> None:
    scene.link.open()
    scene.arrive(encode_done())
    for wait in (0.05, 0.1, 0.2):
        scene.arrive(encode_failure(DeviceLost("not there")))
        assert scene.link.tick() == pytest.approx(wait, abs=0.051)
        scene.later(wait + 0.001)
    assert len(scene.children) == 2
    assert scene.link.fatal is None


OPEN = bytes((DeviceOperation.OPEN,))
ABSENT = encode_failure(KeyAbsent("not there"))


def test_a_missing_key_reopens_the_device_twice_in_a_second_at_most(scene: Scene) -> None:
    """Twice, since another process may have made the key while the device was opened."""
    scene.opened()
    for wait, openings in ((0.0, 2), (0.3, 2), (0.3, 2), (1.1, 3), (0.3, 4), (0.3, 4), (1.1, 5)):
        scene.later(wait)
        scene.sign()
        scene.arrive(ABSENT)
        if scene.child.asked[-1] == OPEN:
            scene.arrive(encode_done())
        assert scene.child.asked.count(OPEN) == openings
    assert set(scene.errors()) == {KeyAbsent}


@pytest.mark.parametrize("found_after", [1, 2, None], ids=["once", "twice", "never"])
def test_a_key_that_is_absent_is_looked_for_twice_more_behind_fresh_openings(
    scene: Scene, found_after: int | None
) -> None:
    scene.opened().later(5)
    scene.look()
    for opening in (1, 2):
        scene.arrive(ABSENT)
        *_, asked, opened, asked_again = scene.child.asked
        assert (opened, asked_again, scene.answers) == (OPEN, asked, [])
        assert scene.link.available
        assert scene.link.generation == opening + 1, "calls from now on follow the opening"
        scene.arrive(encode_done())
        if opening == found_after:
            break
    scene.arrive(ABSENT if found_after is None else encode_done(b"spki"))
    assert scene.errors() == [KeyAbsent if found_after is None else None]
    assert scene.answers[0].value == (None if found_after is None else b"spki")
    assert scene.child.asked[-1] == asked_again


def test_a_device_that_made_a_key_is_opened_again_for_an_absent_one_however_young(scene: Scene) -> None:
    scene.opened().link.generate("mine", ES256, 3072, scene.answers.append)
    scene.arrive(encode_generated(b"ref", b"spki"))
    scene.look()
    scene.arrive(ABSENT)
    scene.arrive(encode_done(), encode_done(b"theirs"))
    assert [answer.value for answer in scene.answers] == [(b"ref", b"spki"), b"theirs"]
    scene.look()
    scene.arrive(ABSENT)
    scene.arrive(encode_done())
    asked = len(scene.child.asked)
    scene.arrive(ABSENT)
    assert len(scene.child.asked) == asked, "opened a moment ago, and no key made since"
    assert scene.errors() == [None, None, KeyAbsent]


def test_two_absent_keys_are_looked_for_behind_one_opening(scene: Scene) -> None:
    scene.opened().later(5)
    for _ in range(2):
        scene.look()
    scene.arrive(ABSENT, ABSENT)
    assert scene.child.asked.count(OPEN) == 2, "the first, and one for both"
    scene.arrive(encode_done(), encode_done(b"one"), encode_done(b"other"))
    assert [answer.value for answer in scene.answers] == [b"one", b"other"]


def test_a_device_that_does_not_open_again_for_an_absent_key_is_away(scene: Scene) -> None:
    scene.opened().later(5)
    scene.look()
    scene.sign()
    scene.arrive(ABSENT, encode_values([b"v" * 64]))
    gone = encode_failure(DeviceLost("gone"))
    scene.arrive(gone, gone)
    assert scene.errors() == [None, DeviceLost]
    assert not scene.link.available
    assert scene.later(0) == pytest.approx(0.05)


def test_a_device_that_hangs_as_it_is_opened_again_keeps_nobody_longer_than_it_may(scene: Scene) -> None:
    scene.opened().later(5)
    scene.look()
    scene.later(0.5)
    scene.arrive(ABSENT)
    scene.later(0.31)
    assert scene.errors() == [HsmUnavailable]
    scene.later(0.9)
    assert scene.child.killed
    assert scene.errors() == [HsmUnavailable]


@pytest.mark.parametrize("error", [KeyMismatch("two"), MechanismRefused("no"), HsmUnavailable("sealed")])
def test_what_is_said_of_a_key_does_not_close_the_device(scene: Scene, error: ServiceError) -> None:
    scene.opened()
    scene.later(5)
    scene.sign()
    scene.arrive(encode_failure(error))
    assert scene.errors() == [type(error)]
    assert scene.link.available


def test_a_login_with_a_good_pin_is_killed_when_it_hangs(scene: Scene) -> None:
    scene.link.open()
    scene.arrive(encode_done(), NOTICE_PIN_KNOWN)
    scene.later(1.3)
    assert scene.child.killed


def test_a_login_with_a_new_pin_is_waited_for(scene: Scene) -> None:
    scene.link.open()
    scene.arrive(encode_done(), NOTICE_PIN_NEW)
    assert scene.later(600) == device_link.IDLE_SECONDS
    assert not scene.child.killed
    scene.sign()
    assert scene.errors() == [HsmUnavailable]
    scene.arrive(encode_done())
    assert scene.link.available
    scene.sign()
    scene.later(1)
    assert scene.child.killed, "signing is not a login"


@pytest.mark.parametrize("notices", [[], [NOTICE_PIN_NEW]])
def test_a_refused_pin_is_fatal(scene: Scene, notices: list[bytes]) -> None:
    scene.link.open()
    scene.arrive(encode_done(), *notices, encode_failure(PinIncorrect("wrong")))
    assert isinstance(scene.link.fatal, PinIncorrect)
    assert scene.child.killed
    scene.later(600)
    assert len(scene.children) == 1


def test_settings_that_went_bad_later_are_a_device_that_is_away(scene: Scene) -> None:
    scene.opened()
    scene.later(5)
    scene.sign()
    scene.arrive(encode_failure(DeviceLost("gone")))
    scene.later(0)
    scene.arrive(encode_failure(ConfigurationInvalid("the PIN file is gone")))
    assert scene.link.fatal is None
    assert scene.link.reason == "the PIN file is gone"


@pytest.mark.parametrize("answer", [b"", b"\x09", b"\x01", b"\x01\xff", encode_values([b"v" * 64, b"w"]), b"\x00"])
def test_an_answer_of_another_form_ends_the_process_and_fails_its_calls(scene: Scene, answer: bytes) -> None:
    scene.opened().sign(2)
    scene.sign()
    scene.arrive(answer)
    assert scene.errors() == [HsmUnavailable, HsmUnavailable]
    assert scene.child.killed


def test_an_answer_that_nobody_asked_for_ends_the_process(scene: Scene) -> None:
    scene.opened().arrive(encode_done())
    assert scene.child.killed


def test_a_call_made_inside_an_answer_that_ends_the_process_is_answered_too(scene: Scene) -> None:
    scene.opened()
    again = partial(scene.link.sign, b"key", ES256, [bytes(32)], scene.answers.append)
    scene.link.sign(b"key", ES256, [bytes(32)], lambda _answer: again())
    scene.child.gone = True
    scene.link.on_readable()
    assert scene.errors() == [HsmUnavailable]
