"""Codes as they are drawn, typed and compared."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.activation.codes import CODE_SYMBOLS, NAME_SYMBOLS, digest_of, new_code, read_code
from ca.holder_codes.codes import grouped
from pki.crockford import ALPHABET
from pki.errors import ErrorCode, InvalidInput

LENGTHS = st.sampled_from([CODE_SYMBOLS, NAME_SYMBOLS])
OCTETS = st.binary(min_size=NAME_SYMBOLS, max_size=NAME_SYMBOLS)


@given(octets=OCTETS, symbols=LENGTHS)
def test_a_code_is_read_as_it_was_drawn_however_it_is_typed(octets: bytes, symbols: int) -> None:
    code = new_code(symbols, lambda size: octets[:size])
    assert len(code) == symbols
    in_persian = grouped(code).translate({ord("0") + n: 0x06F0 + n for n in range(10)})
    for typed in (code, grouped(code), code.lower(), f" {grouped(code)}\n", in_persian, code.replace("1", "l")):
        assert read_code(typed, symbols) == code


@given(octets=OCTETS, place=st.integers(0, CODE_SYMBOLS - 1), symbol=st.sampled_from(ALPHABET))
def test_one_wrong_symbol_always_shows(octets: bytes, place: int, symbol: str) -> None:
    code = new_code(CODE_SYMBOLS, lambda size: octets[:size])
    typed = code[:place] + symbol + code[place + 1 :]
    if typed == code:
        assert read_code(typed, CODE_SYMBOLS) == code
        return
    with pytest.raises(InvalidInput) as refused:
        read_code(typed, CODE_SYMBOLS)
    assert refused.value.reason == "activation.mistyped"


@given(octets=OCTETS, place=st.integers(0, CODE_SYMBOLS - 2))
def test_two_neighbours_that_changed_places_show(octets: bytes, place: int) -> None:
    code = new_code(CODE_SYMBOLS, lambda size: octets[:size])
    typed = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    if typed != code:
        with pytest.raises(InvalidInput):
            read_code(typed, CODE_SYMBOLS)


@given(text=st.text(max_size=80))
def test_no_text_is_told_back(text: str) -> None:
    try:
        read_code(text, CODE_SYMBOLS)
    except InvalidInput as error:
        assert (error.code, error.detail) == (ErrorCode.INPUT_MALFORMED, "the code is mistyped")


def test_both_codes_and_the_salt_make_the_digest() -> None:
    made = {digest_of(a, b, s, 2) for a in ("A", "B") for b in ("A", "B") for s in (b"1" * 16, b"2" * 16)}
    assert len(made) == 8


def test_codes_hold_seventy_bits_of_chance_together() -> None:
    drawn: list[int] = []

    def count(size: int) -> bytes:
        drawn.append(size)
        return os.urandom(size)

    first, second = new_code(CODE_SYMBOLS, count), new_code(CODE_SYMBOLS, count)
    assert first != second
    assert sum(drawn) * 5 == 70
