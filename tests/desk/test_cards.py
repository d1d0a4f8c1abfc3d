import json

import pytest

from cardreader.errors import ReaderServiceDown
from tests.desk.workplace import READER, Workplace
from tests.support.emulated_card import SERIAL, new_state


def test_readers_cards_keys_and_certificates_are_listed(place: Workplace) -> None:
    ended = place.agent("cards", "--json")
    assert ended.status == 0, ended.messages
    first, second = json.loads(ended.output)["readers"]
    assert second == {"reader": "Empty reader", "card": None, "error": None}
    card = first["card"]
    assert (first["reader"], card["label"], card["serial"]) == (READER, "Test card", SERIAL.hex())
    assert (card["profile"], card["verified"]) == ("mohr-emulated", True)
    sign = next(key for key in card["keys"] if key["usage"] == "sign")
    assert sign["algorithm"] == "ES256"
    assert sign["serial"] == place.certificate().serial_hex
    assert "CN=نمونهٔ پزشک" in sign["subject"]


def test_a_blank_card_has_no_keys(place: Workplace) -> None:
    place.state = new_state()
    assert json.loads(place.agent("cards", "--json").output)["readers"][0]["card"]["keys"] == []


def test_people_get_lines(place: Workplace) -> None:
    ended = place.agent("cards")
    assert "Test card" in ended.output
    assert place.certificate().serial_hex in ended.output
    assert "empty" in ended.output


def test_a_card_of_an_unknown_kind_takes_no_other_reader_off_the_list(place: Workplace) -> None:
    place.known = False
    ended = place.agent("cards", "--json")
    assert ended.status == 0
    assert [each["error"] for each in json.loads(ended.output)["readers"]] == ["card-unsupported", None]
    assert "card-unsupported" in place.agent("cards").output


def test_no_reader_is_an_empty_list(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "list", tuple)
    assert json.loads(place.agent("cards", "--json").output) == {"readers": []}
    assert place.agent("pin", "status").code == "reader-not-found"


def test_a_service_that_is_off_is_told_as_such(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        raise ReaderServiceDown("list readers")

    monkeypatch.setattr(place, "list", down)
    ended = place.agent("cards", "--json")
    assert (ended.status, ended.code, ended.output) == (2, "reader-service-down", "")


@pytest.mark.parametrize(("reader", "code"), [("Empty reader", "card-absent"), ("No such reader", "reader-not-found")])
def test_a_reader_asked_for_by_name_is_not_replaced_by_another(place: Workplace, reader: str, code: str) -> None:
    ended = place.agent("pin", "status", "--reader", reader)
    assert (ended.status, ended.code) == (1, code)


def test_an_empty_reader_says_so(place: Workplace) -> None:
    place.inserted = False
    assert place.agent("pin", "status").code == "card-absent"
