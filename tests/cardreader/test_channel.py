from itertools import repeat

import pytest

from cardreader.apdu import CommandApdu, Instruction
from cardreader.channel import MAX_RESPONSE_ROUNDS, CommandChaining, ResponseChaining
from cardreader.errors import CardProtocolError
from tests.support.apdu_script import ScriptedChannel

READ = CommandApdu(ins=Instruction.READ_BINARY, ne=256)


def test_long_data_goes_in_a_chain_whose_last_link_asks_for_the_answer() -> None:
    script = ScriptedChannel(
        ("10 2a 9e 9a ff" + "aa" * 255, "9000"),
        ("10 2a 9e 9a ff" + "aa" * 255, "9000"),
        ("00 2a 9e 9a 01 aa 00", "beef9000"),
    )
    command = CommandApdu(ins=0x2A, p1=0x9E, p2=0x9A, data=b"\xaa" * 511, ne=256)
    assert CommandChaining(script).transmit(command).data == b"\xbe\xef"
    script.assert_played()


def test_a_refused_link_ends_the_chain() -> None:
    script = ScriptedChannel(("10 2a 9e 9a ff" + "aa" * 255, "6884"))
    command = CommandApdu(ins=0x2A, p1=0x9E, p2=0x9A, data=b"\xaa" * 600)
    assert CommandChaining(script).transmit(command).sw == 0x6884
    script.assert_played()


def test_data_that_fits_is_sent_as_it_is() -> None:
    script = ScriptedChannel(("00 d6 00 00 ff" + "aa" * 255, "9000"))
    assert CommandChaining(script).transmit(CommandApdu(ins=0xD6, data=b"\xaa" * 255)).ok


def test_a_long_answer_is_collected_by_get_response() -> None:
    script = ScriptedChannel(
        ("00 b0 00 00 00", "aa" * 256 + "6100"),
        ("00 c0 00 00 00", "bb" * 256 + "6102"),
        ("00 c0 00 00 02", "cccc9000"),
    )
    response = ResponseChaining(script).transmit(READ)
    assert response.data == b"\xaa" * 256 + b"\xbb" * 256 + b"\xcc\xcc"
    assert response.ok
    script.assert_played()


def test_the_last_status_word_of_a_chain_is_the_answers() -> None:
    script = ScriptedChannel(("00 b0 00 00 00", "6104"), ("00 c0 00 00 04", "aabbccdd6282"))
    assert ResponseChaining(script).transmit(READ).sw == 0x6282


def test_a_wrong_length_is_asked_again_once_with_the_length_the_card_names() -> None:
    script = ScriptedChannel(("00 b0 00 00 00", "6c04"), ("00 b0 00 00 04", "aabbccdd9000"))
    assert ResponseChaining(script).transmit(READ).data == b"\xaa\xbb\xcc\xdd"
    script.assert_played()


def test_a_card_that_repeats_6cxx_is_not_asked_a_third_time() -> None:
    script = ScriptedChannel(("00 b0 00 00 00", "6c04"), ("00 b0 00 00 04", "6c04"))
    with pytest.raises(CardProtocolError, match="refuses the length"):
        ResponseChaining(script).transmit(READ)
    script.assert_played()


def test_a_pin_is_never_sent_again_for_a_length() -> None:
    script = ScriptedChannel(("00 20 00 02 06 313335373930", "6c00"))
    with pytest.raises(CardProtocolError):
        ResponseChaining(script).transmit(CommandApdu(ins=Instruction.VERIFY, p2=2, data=b"135790"))
    assert len(script.sent) == 1


def test_an_answer_without_an_end_is_cut_off() -> None:
    rounds = MAX_RESPONSE_ROUNDS + 1
    script = ScriptedChannel(("00 b0 00 00 00", "6101"), *repeat(("00 c0 00 00 01", "aa6101"), rounds))
    with pytest.raises(CardProtocolError, match="no end"):
        ResponseChaining(script).transmit(READ)
    assert len(script.sent) == rounds


def test_get_response_that_brings_nothing_ends_at_once() -> None:
    script = ScriptedChannel(("00 b0 00 00 00", "6110"), ("00 c0 00 00 10", "6110"))
    with pytest.raises(CardProtocolError, match="brought nothing"):
        ResponseChaining(script).transmit(READ)


def test_more_data_than_was_asked_is_refused() -> None:
    script = ScriptedChannel(("00 b0 00 00 02", "aabbcc9000"))
    with pytest.raises(CardProtocolError, match="more than was asked"):
        ResponseChaining(script).transmit(CommandApdu(ins=Instruction.READ_BINARY, ne=2))


def test_wrappers_hand_on_the_rest_of_the_channel() -> None:
    script = ScriptedChannel()
    channel = ResponseChaining(CommandChaining(script))
    assert channel.atr == script.atr
    with channel.transaction() as was_reset:
        assert script.in_transaction
        assert not was_reset
    channel.close(reset=True)
    assert script.closed == "reset"
