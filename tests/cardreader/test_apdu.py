import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader.apdu import CommandApdu, Instruction, ResponseApdu, StatusWord, parse_command, parse_response
from cardreader.errors import CardProtocolError
from pki.errors import ServiceError

octets = st.integers(0, 255)


@given(octets, octets, octets, octets, st.binary(max_size=700), st.integers(0, 65536))
def test_a_command_read_back_is_the_command_that_was_written(
    cla: int, ins: int, p1: int, p2: int, data: bytes, ne: int
) -> None:
    command = CommandApdu(cla=cla, ins=ins, p1=p1, p2=p2, data=data, ne=ne)
    assert parse_command(bytes(command.encode())) == command


@pytest.mark.parametrize(
    ("data", "ne", "encoded"),
    [
        (b"", 0, "00a40400"),
        (b"", 256, "00a4040000"),
        (b"", 16, "00a4040010"),
        (b"\x01\x02", 0, "00a40400020102"),
        (b"\x01\x02", 256, "00a4040002010200"),
        (b"", 257, "00a40400000101"),
        (b"", 65536, "00a40400000000"),
        (b"\xaa" * 256, 0, "00a40400000100" + "aa" * 256),
        (b"\xaa" * 256, 65536, "00a40400000100" + "aa" * 256 + "0000"),
        (b"\x01", 300, "00a4040000000101012c"),
    ],
)
def test_the_seven_cases_of_the_standard_are_encoded_to_the_octet(data: bytes, ne: int, encoded: str) -> None:
    command = CommandApdu(ins=Instruction.SELECT, p1=0x04, data=data, ne=ne)
    assert bytes(command.encode()).hex() == encoded


@given(st.binary(max_size=600))
def test_the_command_parser_never_raises_anything_but_a_service_error(raw: bytes) -> None:
    try:
        command = parse_command(raw)
    except ServiceError:
        return
    assert parse_command(bytes(command.encode())) == command


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "00a404",
        "00a4040003aabb",
        "00a4040002aabb0000",
        "00a4040000000000",
        "00a404000000",
        "00a40400000003aabb",
        "00a40400000002aabb00",
    ],
)
def test_a_command_whose_lengths_contradict_its_data_is_refused(raw: str) -> None:
    with pytest.raises(CardProtocolError):
        parse_command(bytes.fromhex(raw))


@given(st.binary(max_size=600))
def test_the_response_parser_never_raises_anything_but_a_service_error(raw: bytes) -> None:
    try:
        response = parse_response(raw)
    except ServiceError:
        assert len(raw) < 2
    else:
        assert response.encode() == raw


@pytest.mark.parametrize("raw", [b"", b"\x90"])
def test_a_response_without_a_status_word_is_refused(raw: bytes) -> None:
    with pytest.raises(CardProtocolError):
        parse_response(raw)


def test_an_octet_or_length_out_of_range_is_refused_before_encoding() -> None:
    for wrong in ({"ins": 256}, {"ins": 0, "p1": -1}, {"ins": 0, "ne": 65537}, {"ins": 0, "data": bytes(65536)}):
        with pytest.raises(CardProtocolError):
            CommandApdu(**wrong)


def test_neither_commands_nor_responses_show_their_data() -> None:
    command = CommandApdu(ins=Instruction.VERIFY, p2=2, data=b"135790")
    response = ResponseApdu(data=b"person", sw=StatusWord.OK)
    assert repr(command) == "CommandApdu(00 20 00 02, 6 octets, ne=0)"
    assert repr(response) == "ResponseApdu(6 octets, 9000)"
    assert command.carries_secret


@pytest.mark.parametrize(("sw", "tries"), [(0x63C3, 3), (0x63C0, 0), (0x63CF, 15), (0x6300, None), (0x9000, None)])
def test_the_retry_counter_is_read_from_63cx_alone(sw: int, tries: int | None) -> None:
    assert ResponseApdu(sw=sw).tries_left == tries
