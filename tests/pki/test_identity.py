import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import identity
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.identity_file import pilot_identities


def _check_digit(nine: str) -> str:
    rest = sum(int(digit) * (10 - index) for index, digit in enumerate(nine)) % 11
    return str(rest if rest < 2 else 11 - rest)


@pytest.mark.parametrize("code", ["0000012343", "0000012351", "12343", "۰۰۰۰۰۱۲۳۴۳"])
def test_known_national_codes(code: str) -> None:
    if len(code) < 8:
        with pytest.raises(InvalidInput):
            identity.parse_national_code(code)
    else:
        assert identity.parse_national_code(code).isascii()


@pytest.mark.parametrize("code", ["0000012344", "1111111111", "1230000001", "12345", "abcdefghij", "", "00000123433"])
def test_wrong_national_codes_are_refused_and_not_repeated(code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        identity.parse_national_code(code)
    assert caught.value.code is ErrorCode.IDENTITY_INVALID
    assert not code or code not in str(caught.value)


@given(st.from_regex(r"[0-9]{9}", fullmatch=True), st.integers(1, 9))
def test_exactly_one_check_digit_is_right(nine: str, shift: int) -> None:
    right = _check_digit(nine)
    wrong = str((int(right) + shift) % 10)
    with pytest.raises(InvalidInput):
        identity.parse_national_code(nine + wrong)


@pytest.mark.parametrize("value", ["10380284790", "11234567890"])
def test_known_legal_ids(value: str) -> None:
    assert identity.parse_legal_id(value) == value
    with pytest.raises(InvalidInput):
        identity.parse_legal_id(value[:-1] + str((int(value[-1]) + 1) % 10))


def test_physicians_have_plain_numbers_and_others_may_have_a_letter() -> None:
    assert pilot_identities().council_number("۱۲۳۴۵۶", "physician") == "123456"
    assert pilot_identities().council_number("د-1234", "pharmacist") == "د-1234"
    with pytest.raises(InvalidInput):
        pilot_identities().council_number("د-1234", "physician")


@pytest.mark.parametrize("name", ["a\u202eb", "سارا\u200b", "x\x00", " ", "a" * 65, "\u200cسارا", "a\u2066b"])
def test_names_that_could_deceive_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        identity.parse_name(name)


def test_arabic_letters_become_persian_and_zwnj_stays() -> None:
    assert identity.parse_name("  علي   كاظمي ") == "علی کاظمی"
    assert identity.parse_name("می\u200cنا") == "می\u200cنا"


@given(st.text(max_size=80))
def test_name_parsing_never_raises_anything_but_ours_and_is_stable(text: str) -> None:
    try:
        name = identity.parse_name(text)
    except ServiceError:
        return
    assert identity.parse_name(name) == name
