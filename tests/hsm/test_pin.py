import copy
import pickle
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ConfigurationInvalid, DeviceLost, PinIncorrect
from hsm.pin import Pin, PinFile, PinTries
from hsm.private_files import write_private


def test_a_pin_shows_itself_only_when_asked_and_is_wiped_with_its_block() -> None:
    with Pin(b"271828") as pin:
        assert pin.reveal() == "271828"
        assert "271828" not in f"{pin!r} {pin}"
    assert pin.reveal() == ""


def test_a_pin_cannot_be_copied_or_pickled() -> None:
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            leak(Pin(b"271828"))


@pytest.mark.parametrize("content", [b"271828", b"271828\n", b"271828\r\n"])
def test_a_pin_is_one_line_of_its_file(tmp_path: Path, content: bytes) -> None:
    write_private(tmp_path / "pin", content)
    assert PinFile(tmp_path / "pin").read().reveal() == "271828"


@pytest.mark.parametrize("content", [b"", b"\n", b"27\n18\n", b"27\x0018", "۱۲۳۴".encode(), b"1" * 129])
def test_a_file_that_holds_no_pin_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    write_private(tmp_path / "pin", content)
    with pytest.raises(ConfigurationInvalid) as refused:
        PinFile(tmp_path / "pin").read()
    assert "27" not in str(refused.value)


def test_a_pin_file_is_known_again_until_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    write_private(path, b"271828")
    first = PinFile(path).read().identity
    assert first != ""
    assert PinFile(path).read().identity == first
    write_private(path, b"271828")
    assert PinFile(path).read().identity != first


def test_a_pin_says_nothing_of_itself_in_its_identity(tmp_path: Path) -> None:
    write_private(tmp_path / "pin", b"271828")
    assert "271828" not in PinFile(tmp_path / "pin").read().identity


REFUSED = b'{"failed":0,"known_good":"","refused":1}'


class DeviceHung(Exception):
    """Stands for a process that was killed inside a login."""


def attempt(path: Path, identity: str = "", outcome: Exception | None = None, allowed: int = 2) -> None:
    with PinTries(path, allowed).attempt(identity):
        if outcome is not None:
            raise outcome


@pytest.mark.parametrize("outcome", [PinIncorrect(), DeviceLost("gone"), DeviceHung()])
def test_failed_and_undecided_tries_are_counted_across_restarts_until_no_more_may_be_made(
    tmp_path: Path, outcome: Exception
) -> None:
    for identity in ("file:1", "file:2"):
        with pytest.raises(type(outcome)):
            attempt(tmp_path / "tries", identity, outcome)
    with pytest.raises(PinIncorrect, match="2 tries failed"):
        attempt(tmp_path / "tries", "file:1")
    assert PinTries(tmp_path / "tries", 2).failed == 2


def test_a_pin_that_was_refused_is_not_tried_again_and_the_right_one_is(tmp_path: Path) -> None:
    with pytest.raises(PinIncorrect):
        attempt(tmp_path / "tries", "keeper:mistyped", PinIncorrect())
    for _ in range(5):  # each custodian, and each after each of its restarts
        with pytest.raises(PinIncorrect, match="not tried again"):
            attempt(tmp_path / "tries", "keeper:mistyped")
    assert PinTries(tmp_path / "tries", 2).failed == 1
    attempt(tmp_path / "tries", "keeper:right")
    assert PinTries(tmp_path / "tries", 2).failed == 0


def test_the_count_is_on_disk_before_the_device_sees_the_pin(tmp_path: Path) -> None:
    seen: list[tuple[bool, int]] = []
    tries = PinTries(tmp_path / "tries", 2, lambda known: seen.append((known, PinTries(tmp_path / "tries", 2).failed)))
    for _ in range(2):
        with tries.attempt("file:1"):
            pass
    assert seen == [(False, 1), (True, 0)]


def test_a_success_forgets_the_failures(tmp_path: Path) -> None:
    with pytest.raises(PinIncorrect):
        attempt(tmp_path / "tries", "file:1", PinIncorrect())
    attempt(tmp_path / "tries", "file:2")
    assert PinTries(tmp_path / "tries", 2).failed == 0


@pytest.mark.parametrize("outcome", [DeviceLost("gone"), DeviceHung()])
def test_an_undecided_try_with_the_pin_that_last_succeeded_is_not_counted(tmp_path: Path, outcome: Exception) -> None:
    attempt(tmp_path / "tries", "file:1")
    for _ in range(10):
        with pytest.raises(type(outcome)):
            attempt(tmp_path / "tries", "file:1", outcome)
    assert PinTries(tmp_path / "tries", 2).failed == 0


def test_a_refusal_of_the_pin_that_last_succeeded_counts_and_it_is_good_no_more(tmp_path: Path) -> None:
    attempt(tmp_path / "tries", "file:1")
    with pytest.raises(PinIncorrect):
        attempt(tmp_path / "tries", "file:1", PinIncorrect())
    with pytest.raises(DeviceHung):
        attempt(tmp_path / "tries", "file:1", DeviceHung())
    assert PinTries(tmp_path / "tries", 2).failed == 2


def test_a_pin_without_identity_is_never_known_to_be_good(tmp_path: Path) -> None:
    attempt(tmp_path / "tries")
    for _ in range(2):
        with pytest.raises(DeviceHung):
            attempt(tmp_path / "tries", "", DeviceHung())
    with pytest.raises(PinIncorrect):
        attempt(tmp_path / "tries")


def test_two_custodians_log_in_one_after_the_other(tmp_path: Path) -> None:
    order: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with PinTries(tmp_path / "tries", 1).attempt("file:1"):
            order.append("second")

    with PinTries(tmp_path / "tries", 1).attempt("file:1"):
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_count_of_an_earlier_version_is_kept(tmp_path: Path) -> None:
    write_private(tmp_path / "tries", b"1\n")
    assert PinTries(tmp_path / "tries", 2).failed == 1


@given(st.binary(max_size=200))
def test_a_spoilt_counter_stops_every_try(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("tries") / "tries"
    write_private(path, content)
    if content.strip().isdigit():
        return
    with pytest.raises(ConfigurationInvalid):
        attempt(path)


@pytest.mark.parametrize(
    "content", [b'{"failed":-1,"known_good":""}', b'{"failed":true,"known_good":""}', b"[]", REFUSED]
)
def test_a_count_of_another_form_is_refused(tmp_path: Path, content: bytes) -> None:
    write_private(tmp_path / "tries", content)
    with pytest.raises(ConfigurationInvalid):
        attempt(tmp_path / "tries")
