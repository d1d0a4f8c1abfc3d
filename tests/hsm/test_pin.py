import copy
import pickle
from pathlib import Path

import pytest

from hsm.errors import ConfigurationInvalid, PinIncorrect
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


def test_failed_tries_are_counted_across_restarts_until_no_more_may_be_made(tmp_path: Path) -> None:
    for _ in range(2):
        PinTries(tmp_path / "tries", 2).begin()
    with pytest.raises(PinIncorrect):
        PinTries(tmp_path / "tries", 2).begin()
    assert PinTries(tmp_path / "tries", 2).failed == 2


def test_a_success_forgets_the_failures(tmp_path: Path) -> None:
    tries = PinTries(tmp_path / "tries", 2)
    tries.begin()
    tries.begin()
    tries.succeeded()
    assert tries.failed == 0


def test_a_try_that_the_device_did_not_judge_is_not_counted(tmp_path: Path) -> None:
    tries = PinTries(tmp_path / "tries", 2)
    tries.begin()
    tries.begin()
    tries.undecided()
    assert tries.failed == 1


def test_a_spoilt_counter_stops_every_try(tmp_path: Path) -> None:
    write_private(tmp_path / "tries", b"none")
    with pytest.raises(ConfigurationInvalid):
        PinTries(tmp_path / "tries", 2).begin()
