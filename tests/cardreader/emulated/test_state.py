import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader.cards.registry import open_card
from cardreader.emulated import layout
from cardreader.emulated.card import EmulatedCard
from cardreader.emulated.layout import create_card
from cardreader.emulated.state import MAX_STATE_OCTETS, StateFile
from cardreader.errors import CardUnsupported, PinFormatRefused, PinIncorrect
from cardreader.pin import Pin
from pki.errors import Conflict
from tests.support.emulated_card import (
    AUTH_PIN,
    PUK,
    SERIAL,
    SIGN_PIN,
    TEST_SCRYPT_COST,
    CardInProcess,
    initial_secrets,
    open_emulated,
    personalised_state,
)


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return create_card(tmp_path / "card.json", initial_secrets(), serial=SERIAL, scrypt_cost=TEST_SCRYPT_COST)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file, state = StateFile(tmp_path / "card.json"), personalised_state()
    file.save(state)
    assert file.load() == state


def test_the_file_is_for_its_owner_alone_and_leaves_nothing_beside_it(file: StateFile) -> None:
    file.save(file.load())
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == ["card.json"]


def test_no_pin_stands_in_the_file(file: StateFile) -> None:
    content = file.path.read_bytes()
    for digits in (AUTH_PIN, SIGN_PIN, PUK):
        assert digits not in content


def test_an_existing_card_is_not_overwritten(file: StateFile) -> None:
    before = file.path.read_bytes()
    with pytest.raises(Conflict):
        create_card(file.path, initial_secrets(), serial=SERIAL)
    assert file.path.read_bytes() == before


def test_first_pins_outside_the_cards_limits_are_refused(tmp_path: Path) -> None:
    short = layout.InitialSecrets(auth_pin=Pin(AUTH_PIN), sign_pin=Pin(b"1234"), puk=Pin(PUK))
    with pytest.raises(PinFormatRefused):
        create_card(tmp_path / "card.json", short, serial=SERIAL)
    assert not list(tmp_path.iterdir())


def test_a_card_is_run_by_one_process_at_a_time(file: StateFile) -> None:
    with file.owned(), pytest.raises(CardUnsupported, match="another process"), file.owned():
        pytest.fail("two processes own one card")
    with file.owned():
        pass


def test_counters_survive_a_power_cycle_and_a_new_process(file: StateFile) -> None:
    card = open_card(CardInProcess(EmulatedCard(file.load(), file.save)))
    with pytest.raises(PinIncorrect):
        card.verify_pin(layout.SIGN_PIN, Pin(b"000000"))
    again, _channel = open_emulated(file.load())
    assert again.pin_status(layout.SIGN_PIN).tries_left == 2


@given(
    st.binary(max_size=200) | st.dictionaries(st.text(max_size=5), st.integers()).map(lambda d: json.dumps(d).encode())
)
def test_no_state_file_raises_anything_but_a_card_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.json"
    path.write_bytes(content)
    with pytest.raises(CardUnsupported):
        StateFile(path).load()


@pytest.mark.parametrize(
    "change", [{"format": "other"}, {"pins": {"x": {}}}, {"keys": 5}, {"pins": {"1": {"salt": ""}}}]
)
def test_a_state_file_of_another_kind_is_refused(file: StateFile, change: dict[str, object]) -> None:
    document = json.loads(file.path.read_text())
    file.path.write_text(json.dumps(document | change))
    with pytest.raises(CardUnsupported):
        file.load()


def test_a_state_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CardUnsupported, match="cannot be written"):
        StateFile(tmp_path / "absent" / "card.json").save(personalised_state())
    (tmp_path / "card.json").mkdir()
    with pytest.raises(CardUnsupported, match="cannot be written"):
        StateFile(tmp_path / "card.json").save(personalised_state())
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


def test_an_absent_or_huge_state_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardUnsupported):
        StateFile(tmp_path / "none.json").load()
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * (MAX_STATE_OCTETS + 1))
    with pytest.raises(CardUnsupported, match="too large"):
        StateFile(huge).load()
