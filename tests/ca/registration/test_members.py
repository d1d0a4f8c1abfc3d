from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.officers.scopes import Scope
from ca.registration import parse_registration, registration_json
from pki.errors import ErrorCode, InvalidInput
from pki.identity_file import pilot_identities
from tests.ca.world import CENTRE, CITIZEN, CLINICIAN, SYSTEM, file_json, national_code


@pytest.mark.parametrize("members", [CLINICIAN, CITIZEN, SYSTEM], ids=lambda members: members["kind"])
def test_a_file_may_say_its_province_and_realm(members: dict[str, Any]) -> None:
    read = parse_registration(file_json({**members, "province": " فارس ", "realm": "shiraz-univ"}), pilot_identities())
    assert (read.province, read.realm) == ("فارس", "shiraz-univ")
    assert parse_registration(registration_json(read), pilot_identities()) == read
    assert (read.scope.provinces, read.marks.province) == (frozenset({"فارس"}), "فارس")


def test_a_file_that_says_no_province_is_about_all_of_them() -> None:
    read = parse_registration(file_json(CLINICIAN), pilot_identities())
    assert (read.province, read.realm) == (None, None)
    assert read.scope == Scope(professions=frozenset({"physician"}))


def test_a_centres_province_is_where_it_is() -> None:
    read = parse_registration(file_json({**CENTRE, "realm": "tehran"}), pilot_identities())
    assert (read.province, read.scope.provinces) == ("تهران", frozenset({"تهران"}))
    assert parse_registration(registration_json(read), pilot_identities()) == read


@pytest.mark.parametrize("realm", ["", "-a", "A", "a_b", "x" * 37, "تهران", 7])
def test_a_realm_is_an_id(realm: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_registration(file_json({**CITIZEN, "realm": realm}), pilot_identities())
    assert caught.value.code is ErrorCode.INPUT_MALFORMED


VECTORS: list[tuple[dict[str, Any], str, str, bool]] = [
    (CITIZEN, "national_code", "0000012343", True),
    (CITIZEN, "national_code", "0000012351", True),
    (CITIZEN, "national_code", "0000012344", False),
    (CITIZEN, "national_code", "1111111111", False),
    (CITIZEN, "national_code", "1230000001", False),
    (CENTRE, "legal_id", "10380284790", True),
    (CENTRE, "legal_id", "11234567890", True),
    (CENTRE, "legal_id", "11234567891", False),
    (CLINICIAN, "council_number", "1234", True),
    (CLINICIAN, "council_number", "123456", True),
    (CLINICIAN, "council_number", "123", False),
    (CLINICIAN, "council_number", "A-1234", False),
    ({**CLINICIAN, "profession": "midwife"}, "council_number", "A-1234", True),
    (CENTRE, "siam_id", "d9428888-122b-11e1-b85c-61cd3cbb3210", True),
    (CENTRE, "siam_id", "c-1", False),
]


@pytest.mark.parametrize(("members", "name", "value", "good"), VECTORS)
def test_identifiers_carry_their_check(members: dict[str, Any], name: str, value: str, *, good: bool) -> None:
    data = file_json({**members, name: value})
    if good:
        parse_registration(data, pilot_identities())
        return
    with pytest.raises(InvalidInput) as caught:
        parse_registration(data, pilot_identities())
    assert caught.value.code is ErrorCode.IDENTITY_INVALID
    assert value not in str(caught.value)


@given(number=st.integers(0, 800_000_000), place=st.integers(0, 9), step=st.integers(1, 9))
def test_a_wrong_digit_of_a_national_code_is_seen_but_where_two_remainders_share_a_digit(
    number: int, place: int, step: int
) -> None:
    good = national_code(number)
    wrong = good[:place] + str((int(good[place]) + step) % 10) + good[place + 1 :]
    total = sum(int(digit) * (10 - index) for index, digit in enumerate(wrong))
    try:
        parse_registration(file_json({**CITIZEN, "national_code": wrong}), pilot_identities())
    except InvalidInput:
        return
    # Remainders 1 and 10 both have the check digit 1.
    assert wrong[9] == good[9] == "1"
    assert total % 11 in (0, 2)
