import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader import tlv
from cardreader.errors import CardProtocolError
from pki.errors import ServiceError

tags = st.one_of(
    st.integers(1, 0xFE).filter(lambda tag: tag & 0x1F != 0x1F),
    st.sampled_from([0x7F49, 0x5F20, 0x7F48, 0x5F8101, 0xBF8A01]),
)
values = st.binary(max_size=300)


@given(st.lists(st.tuples(tags, values), max_size=6))
def test_data_objects_read_back_are_those_that_were_written(objects: list[tuple[int, bytes]]) -> None:
    encoded = b"".join(tlv.encode(tag, value) for tag, value in objects)
    read = tlv.parse_tlvs(encoded)
    assert [(each.tag, each.value) for each in read] == objects
    assert b"".join(each.raw for each in read) == encoded


@given(st.lists(st.tuples(tags, values), max_size=4), st.sampled_from([0x00, 0xFF]), st.integers(0, 40))
def test_reading_stops_at_the_padding_of_a_file(objects: list[tuple[int, bytes]], pad: int, size: int) -> None:
    encoded = b"".join(tlv.encode(tag, value) for tag, value in objects)
    read = tlv.parse_tlvs(encoded + bytes((pad,)) * size, padded=True)
    assert [(each.tag, each.value) for each in read] == objects


@given(st.lists(st.tuples(tags, values), max_size=4), st.data())
def test_padding_is_seen_only_where_all_objects_are_complete(
    objects: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    encoded = b"".join(tlv.encode(tag, value) for tag, value in objects)
    assert tlv.ends_in_padding(encoded + bytes(tlv.MAX_HEADER))
    cut = data.draw(st.integers(0, len(encoded)))
    assert not tlv.ends_in_padding(encoded[:cut])


@given(st.binary(max_size=400), st.booleans())
def test_the_parser_never_raises_anything_but_a_service_error(data: bytes, padded: bool) -> None:
    for read in (lambda: tlv.parse_tlvs(data, padded=padded), lambda: tlv.ends_in_padding(data)):
        try:
            read()
        except ServiceError:
            continue


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("3080020100", "indefinite length"),
        ("308400000001 00", "length longer than two octets"),
        ("30830000 0100", "length longer than two octets"),
        ("300502", "longer than its container"),
        ("30", "truncated length"),
        ("3082", "truncated length"),
        ("7f", "truncated tag"),
        ("7f8181818101", "tag longer"),
    ],
)
def test_malformed_data_objects_are_refused(data: str, reason: str) -> None:
    with pytest.raises(CardProtocolError, match=reason):
        tlv.parse_tlvs(bytes.fromhex(data))


def test_lengths_that_are_not_minimal_are_read_as_cards_write_them() -> None:
    (read,) = tlv.parse_tlvs(bytes.fromhex("04820002aabb"))
    assert read.value == b"\xaa\xbb"


def test_a_tag_that_appears_twice_is_refused_rather_than_chosen_from() -> None:
    objects = tlv.parse_tlvs(bytes.fromhex("810101810102"))
    with pytest.raises(CardProtocolError, match="twice"):
        tlv.find(objects, 0x81)
    assert tlv.find(objects, 0x82) is None


def test_one_object_is_expected_to_be_one_object() -> None:
    with pytest.raises(CardProtocolError):
        tlv.parse_tlv(bytes.fromhex("810101810102"))
    with pytest.raises(CardProtocolError):
        tlv.parse_tlv(b"")


def test_what_cards_cannot_hold_is_refused() -> None:
    with pytest.raises(CardProtocolError):
        tlv.parse_tlvs(bytes(0x10000), padded=True)
    with pytest.raises(CardProtocolError):
        tlv.encode(0x04, bytes(0x10000))
