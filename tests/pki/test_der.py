from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import ber, der
from pki.errors import InvalidInput, ServiceError

moments = st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2400, 1, 1)).map(  # noqa: DTZ001 - made aware here
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(st.integers(-(2**200), 2**200))
def test_integers_survive_a_round_trip(value: int) -> None:
    assert der.parse(der.integer(value)).integer() == value


@given(moments)
def test_times_survive_a_round_trip_in_whole_seconds(moment: datetime) -> None:
    assert der.parse(der.time(moment)).time() == moment.replace(microsecond=0)


@given(moments)
def test_fractions_survive_in_milliseconds(moment: datetime) -> None:
    read = der.parse(der.generalized_time(moment, fraction=True)).time()
    assert moment - read < timedelta(milliseconds=1)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=8))
def test_oids_survive_a_round_trip(arcs: list[int]) -> None:
    dotted = ".".join(["1", "3", *map(str, arcs)])
    assert der.parse(der.oid(dotted)).oid() == dotted


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_sequences_survive_a_round_trip(values: list[bytes]) -> None:
    node = der.parse(der.sequence(*map(der.octet_string, values)))
    assert [child.octets() for child in node.sequence()] == values


def _walk(node: der.Node, depth: int = 0) -> None:
    for read in (node.integer, node.boolean, node.oid, node.octets, node.bits, node.bit_set, node.time):
        try:
            read()
        except ServiceError:
            continue
    node.text()
    if node.tag & 0x20 and depth < der.MAX_DEPTH:
        for child in node.children():
            _walk(child, depth + 1)


@given(st.binary(max_size=200))
def test_reading_random_bytes_never_raises_anything_but_ours(data: bytes) -> None:
    for read in (lambda: _walk(der.parse(data)), lambda: ber.normalise(data)):
        try:
            read()
        except ServiceError as error:
            assert error.code


@pytest.mark.parametrize(
    "attack",
    [
        "30800000",
        "3081020500",
        "30820002 0500",
        "02020001",
        "0202ff80",
        "0202007f",
        "010101",
        "1f8101 00",
        "0500 00",
        "3003 0202 01",
    ],
)
def test_what_is_not_der_is_refused(attack: str) -> None:
    with pytest.raises(InvalidInput):
        _strict(bytes.fromhex(attack))


def _strict(data: bytes) -> object:
    node = der.parse(data)
    if node.tag == der.INTEGER:
        return node.integer()
    if node.tag == der.BOOLEAN:
        return node.boolean()
    return [child.tag for child in node.children()]


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        ("3080020101 0000", "3003020101"),
        ("308103020101", "3003020101"),
        ("2480 0401aa 0401bb 0000", "0402aabb"),
        ("a080 2480 0401aa 0000 0000", "a003 0401aa"),
    ],
)
def test_ber_becomes_der(foreign: str, expected: str) -> None:
    encoded, changed = ber.normalise(bytes.fromhex(foreign))
    assert encoded == bytes.fromhex(expected)
    assert changed


def test_der_stays_as_it_is() -> None:
    data = der.sequence(der.integer(5), der.context(0, der.oid("1.2.3")))
    assert ber.normalise(data) == (data, False)


def test_deep_nesting_is_refused_quickly() -> None:
    data = b"\x30\x80" * 5000
    with pytest.raises(InvalidInput):
        ber.normalise(data)


@pytest.mark.parametrize("bits", ["030207ff", "03020181", "030107", "030108", "0300", "03020880"])
def test_bits_that_others_would_not_see_are_refused(bits: str) -> None:
    with pytest.raises(InvalidInput):
        der.parse(bytes.fromhex(bits)).bit_set()


def test_bits_are_numbered_from_the_left() -> None:
    assert der.parse(bytes.fromhex("03020106")).bit_set() == {5, 6}
    assert der.parse(bytes.fromhex("030100")).bit_set() == frozenset()
