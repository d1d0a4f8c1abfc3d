"""CBOR is read strictly and written in one way: RFC 8949 appendix A, what is refused, and any octets."""

import math
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import base45, cbor
from pki.errors import InvalidInput

# RFC 8949 appendix A, those that have one deterministic spelling
EXAMPLES: dict[str, cbor.Value] = {
    "00": 0,
    "17": 23,
    "1818": 24,
    "1903e8": 1000,
    "1a000f4240": 1_000_000,
    "1bffffffffffffffff": 2**64 - 1,
    "3bffffffffffffffff": -(2**64),
    "20": -1,
    "3863": -100,
    "f4": False,
    "f5": True,
    "f6": None,
    "c11a514b67b0": cbor.Tag(1, 1_363_896_240),
    "d74401020304": cbor.Tag(23, bytes.fromhex("01020304")),
    "40": b"",
    "4401020304": bytes.fromhex("01020304"),
    "62225c": '"\\',
    "64f0908591": "\U00010151",
    "8301820203820405": [1, [2, 3], [4, 5]],
    "a26161016162820203": {"a": 1, "b": [2, 3]},
    "a201020304": {1: 2, 3: 4},
}
FLOATS = {"f93c00": 1.0, "f97bff": 65504.0, "fa47c35000": 100000.0, "fb3ff199999999999a": 1.1, "f97c00": math.inf}
LONGER = ("1817", "190017", "1b0000000000000001", "5801ff", "a202010102", "fa3fc00000", "fb3ff8000000000000", "d81201")
REFUSED = {
    "indefinite-map": "bf0102ff",
    "indefinite-array": "9f01ff",
    "indefinite-bytes": "5f4101ff",
    "indefinite-text": "7f6161ff",
    "a-break-alone": "ff",
    "equal-keys": "a201020102",
    "equal-keys-of-two-spellings": "a20102180102",
    "keys-of-another-kind": "a1f501",
    "reserved-length": "1c",
    "octets-after-the-item": "0000",
    "nothing": "",
    "text-not-utf-8": "61ff",
    "undefined": "f7",
    "simple-value": "f820",
    "an-array-longer-than-its-octets": "9affffffff",
    "a-map-longer-than-its-octets": "bbffffffffffffffff",
    "octets-that-end-early": "5affffffff00",
    "nested-too-deep": "81" * cbor.MAX_DEPTH + "00",
    "tags-nested-too-deep": "c0" * 5000 + "00",
}

leaves = st.one_of(
    st.integers(-(2**64), 2**64 - 1), st.booleans(), st.none(), st.binary(max_size=40), st.text(max_size=20)
)
keys = st.one_of(st.integers(-(2**64), 2**64 - 1), st.binary(max_size=8), st.text(max_size=8))


def values_of(tags: st.SearchStrategy[int]) -> st.SearchStrategy[cbor.Value]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(keys, inner, max_size=4),
            st.builds(cbor.Tag, tags, inner),
        ),
        max_leaves=12,
    )


values = values_of(st.integers(0, 2**64 - 1))


@pytest.mark.parametrize("spelling", EXAMPLES)
def test_an_example_of_the_standard_reads_and_is_written_back(spelling: str) -> None:
    assert cbor.decode(bytes.fromhex(spelling)) == (EXAMPLES[spelling], True)
    assert cbor.encode(EXAMPLES[spelling]).hex() == spelling


def test_floats_read_and_only_their_shortest_spelling_is_deterministic() -> None:
    for spelling, number in FLOATS.items():
        assert cbor.decode(bytes.fromhex(spelling)) == (number, True)
    value, deterministic = cbor.decode(bytes.fromhex("fa7fc00000"))
    assert isinstance(value, float)
    assert math.isnan(value)
    assert not deterministic


def test_what_could_be_shorter_or_in_order_is_read_and_told() -> None:
    for spelling in LONGER:
        _, deterministic = cbor.decode(bytes.fromhex(spelling))
        assert not deterministic, spelling


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_or_reads_in_two_ways_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        cbor.decode(bytes.fromhex(REFUSED[name]))


@given(value=values)
def test_any_value_written_reads_back_in_its_one_spelling_property(value: cbor.Value) -> None:
    written = cbor.encode(value)
    assert cbor.decode(written) == (value, True)


@given(data=st.binary(max_size=60))
def test_any_octets_read_or_are_refused_property(data: bytes) -> None:
    try:
        value, deterministic = cbor.decode(data)
    except InvalidInput:
        return
    try:
        written = cbor.encode(value)
    except ValueError:
        return  # a float is read only
    assert (written == data) is deterministic


def plain(value: cbor.Value) -> Any:
    """Spell tags as the other library does; the numbers that it knows are left out by the caller."""
    if isinstance(value, cbor.Tag):
        return cbor2.CBORTag(value.number, plain(value.value))
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(value=values_of(st.integers(40_000, 50_000)))
def test_another_library_reads_what_is_written_property(value: cbor.Value) -> None:
    assert cbor2.loads(cbor.encode(value)) == plain(value)


def test_integers_above_64_bits_and_floats_are_not_written() -> None:
    wrong: tuple[cbor.Value, ...] = (2**64, -(2**64) - 1, 1.5, [1.5])
    for value in wrong:
        with pytest.raises(ValueError, match=r"not written|64 bits"):
            cbor.encode(value)


@given(data=st.binary(max_size=60))
def test_base45_reads_back_what_it_wrote_property(data: bytes) -> None:
    assert base45.decode(base45.encode(data)) == data


def test_base45_is_that_of_its_standard_and_refuses_everything_else() -> None:
    for said, text in ((b"AB", b"BB8"), (b"Hello!!", b"%69 VD92EX0"), (b"base-45", b"UJCLQE7W581"), (b"", b"")):
        assert base45.encode(said) == text
        assert base45.decode(text) == said
    for wrong in (b"B", b"BB8B", b"bb8", b"BB\n", b":::", b"GGW", b"U6"):
        with pytest.raises(InvalidInput):
            base45.decode(wrong)
