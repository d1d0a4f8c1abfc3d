import json

from cardreader.apdu import Instruction
from tests.desk.workplace import AUTH, SIGN, Workplace
from tests.support.emulated_card import PUK


def test_the_status_takes_no_try(place: Workplace) -> None:
    for _ in range(5):
        ended = place.agent("pin", "status", "--usage", "sign")
    assert json.loads(ended.output) == {"usage": "sign", "tries_left": 3, "blocked": False}


def test_a_changed_pin_is_the_one_that_counts(place: Workplace) -> None:
    ended = place.agent("pin", "change", pins=(SIGN, "999999"))
    assert ended.status == 0, ended.messages
    assert SIGN not in ended.messages + ended.output
    assert "999999" not in ended.messages + ended.output
    assert place.agent("pin", "change", pins=(SIGN, "111111")).code == "pin-incorrect"
    assert place.agent("pin", "change", pins=("999999", SIGN)).status == 0


def test_the_two_pins_are_changed_apart(place: Workplace) -> None:
    assert place.agent("pin", "change", "--usage", "auth", pins=(AUTH, "4321")).status == 0
    assert place.agent("pin", "change", "--usage", "sign", pins=(SIGN, "999999")).status == 0


def test_a_wrong_pin_says_how_many_tries_are_left(place: Workplace) -> None:
    ended = place.agent("pin", "change", pins=("000000", "999999"))
    assert (ended.status, ended.code) == (1, "pin-incorrect")
    assert "2 tries left" in ended.messages


def test_a_new_pin_of_a_wrong_length_costs_no_try(place: Workplace) -> None:
    ended = place.agent("pin", "change", pins=("000000", "12345"))
    assert ended.code == "pin-format"
    assert place.tries_left() == 3
    assert place.sent(Instruction.CHANGE_REFERENCE_DATA) == 0


def test_a_missing_second_secret_costs_no_try(place: Workplace) -> None:
    assert place.agent("pin", "change", pins=("000000",)).code == "pin-required"
    assert place.tries_left() == 3


def test_the_last_try_wants_to_be_meant(place: Workplace) -> None:
    for _ in range(2):
        place.agent("pin", "change", pins=("000000", "999999"))
    assert place.agent("pin", "change", pins=(SIGN, "999999")).code == "pin-last-try"
    assert place.tries_left() == 1
    assert place.agent("pin", "change", "--last-try", pins=(SIGN, "999999")).status == 0


def test_a_blocked_pin_is_freed_by_the_puk(place: Workplace) -> None:
    for _ in range(3):
        place.agent("pin", "change", "--last-try", pins=("000000", "999999"))
    assert json.loads(place.agent("pin", "status").output)["blocked"] is True
    assert place.agent("pin", "change", "--last-try", pins=(SIGN, "999999")).code == "pin-blocked"
    wrong = place.agent("pin", "unblock", pins=("00000000", "777777"))
    assert (wrong.code, "2 tries left" in wrong.messages) == ("pin-incorrect", True)
    assert place.agent("pin", "unblock", pins=(PUK.decode(), "777777")).status == 0
    assert place.agent("pin", "change", pins=("777777", SIGN)).status == 0


def test_without_a_terminal_and_without_a_descriptor_nothing_is_tried(place: Workplace) -> None:
    ended = place.agent("pin", "change", "--pin-fd", "65535")
    assert (ended.status, ended.code) == (1, "pin-required")
    assert place.tries_left() == 3
