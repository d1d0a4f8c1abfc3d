import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.jose import b64url, canonical_json, compact_json, exact_json, strict_json, unb64url

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=100))
def test_base64url_has_one_spelling(data: bytes) -> None:
    assert unb64url(b64url(data)) == data


@given(st.text(alphabet="ABab01-_=+/ \n", max_size=12))
def test_only_the_canonical_spelling_is_read(text: str) -> None:
    try:
        data = unb64url(text)
    except InvalidInput as error:
        assert error.code is ErrorCode.JSON_MALFORMED
    else:
        assert b64url(data) == text


@given(json_values)
def test_written_json_is_read_back(value: object) -> None:
    assert strict_json(compact_json(value)) == value
    assert strict_json(canonical_json(value)) == value


@given(st.binary(max_size=60))
def test_random_bytes_never_raise_anything_but_ours(data: bytes) -> None:
    try:
        strict_json(data)
    except ServiceError as error:
        assert error.code is ErrorCode.JSON_MALFORMED


def test_a_byte_order_mark_is_named() -> None:
    with pytest.raises(InvalidInput, match="byte order mark"):
        strict_json(b'\xef\xbb\xbf{"a":1}')


@pytest.mark.parametrize(
    "attack",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":NaN}',
        b'{"a":1} x',
        b'{"a":\xff}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b"1" + b"0" * 5000,
        b"",
    ],
    ids=[
        "duplicate",
        "inner-duplicate",
        "bom",
        "nan",
        "trailing",
        "not-utf8",
        "half-a-character",
        "deep-array",
        "deep-object",
        "huge-number",
        "empty",
    ],
)
def test_ambiguous_json_is_refused(attack: bytes) -> None:
    with pytest.raises(InvalidInput):
        strict_json(attack)


def test_depth_inside_strings_does_not_count() -> None:
    value = {"text": "[{" * 500}
    assert strict_json(json.dumps(value).encode()) == value


def test_numbers_keep_their_digits_when_asked() -> None:
    value = exact_json(b'{"a":1.50,"b":[-0,1e2,12345678901234567890],"c":"1.50"}')
    assert value == {"a": "1.50", "b": ["-0", "1e2", "12345678901234567890"], "c": "1.50"}
    assert type(value["a"]) is not type(value["c"])


def test_a_pair_of_escaped_halves_is_one_character() -> None:
    assert strict_json(b'"\\ud83d\\ude00"') == "\U0001f600"
