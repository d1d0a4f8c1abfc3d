"""Suspension codes as people say them."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.holder_codes.codes import grouped
from ca.status.acts.codes import DIGITS, check_digit, code_of, digest_of, new_digits, read_code
from pki.errors import InvalidInput

CODES = st.text("0123456789", min_size=DIGITS - 1, max_size=DIGITS - 1).map(lambda drawn: drawn + check_digit(drawn))


@given(CODES, st.integers(0, DIGITS - 1), st.integers(1, 9))
def test_every_wrong_digit_shows(code: str, place: int, by: int) -> None:
    wrong = code[:place] + str((int(code[place]) + by) % 10) + code[place + 1 :]
    with pytest.raises(InvalidInput):
        read_code(wrong)


@given(CODES, st.integers(0, DIGITS - 2))
def test_every_two_neighbours_that_changed_places_show(code: str, place: int) -> None:
    wrong = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    if wrong != code:
        with pytest.raises(InvalidInput):
            read_code(wrong)


@given(CODES)
def test_a_code_is_read_as_people_write_it(code: str) -> None:
    persian = "".join("۰۱۲۳۴۵۶۷۸۹"[int(digit)] for digit in code)
    arabic = "".join("٠١٢٣٤٥٦٧٨٩"[int(digit)] for digit in code)
    for typed in (code, grouped(code), f" {code[:5]} {code[5:]} ", persian, grouped(arabic)):
        assert read_code(typed) == code


@pytest.mark.parametrize("typed", ["", "1", "0" * 17, "O" * 16, "0" * 70, "²" * 16, "\ud800" * 16, "十" * 16])
def test_what_is_no_code_is_refused_without_being_repeated(typed: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_code(typed)
    assert not typed or typed not in str(error.value)


def test_codes_are_drawn_evenly_and_their_secrets_digested_alone() -> None:
    drawn = new_digits(20_000, secrets.token_bytes)
    assert all(1700 < drawn.count(digit) < 2300 for digit in "0123456789")
    code = code_of("00000000", secrets.token_bytes)
    assert read_code(code) == code
    assert digest_of(code, b"salt", 2) == digest_of("9" * 8 + code[8:], b"salt", 2)
