from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.bulk import format as bulk_format
from ca.bulk.csv_rows import split_csv
from ca.bulk.format import MAX_ROW_OCTETS, parse_row, split_rows
from ca.profile_file import pilot_profiles
from ca.registration import parse_registration
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.identity_file import pilot_identities
from tests.ca.world import CITIZEN, CLINICIAN, file_json, new_csr

PROFILES = pilot_profiles()


def pem_csr() -> str:
    from pki.certificates import pem

    return pem(new_csr()).replace("CERTIFICATE", "CERTIFICATE REQUEST")


def test_a_file_is_split_into_its_lines() -> None:
    rows = [file_json(CITIZEN), file_json(CLINICIAN)]
    assert split_rows(b"\n".join(rows)) == tuple(rows)
    assert split_rows(b"\n".join(rows) + b"\n") == tuple(rows)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "line 1 is empty"),
        (b"\n", "line 1 is empty"),
        (b"{}\n\n{}", "line 2 is empty"),
        (b"{}\n{}\n\n", "line 3 is empty"),
        (b"[]", "line 1 is not a JSON object"),
        (b"\xef\xbb\xbf{}", "line 1 is not a JSON object"),
        (b"{}\n{" + b" " * MAX_ROW_OCTETS + b"}", "line 2 is longer than 32 KiB"),
        (b"kind,national_code\n", "line 1 is not a JSON object"),
    ],
    ids=repr,
)
def test_a_file_whose_lines_are_uncertain_is_refused_by_the_line(data: bytes, detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_rows(data)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.BULK_MALFORMED, detail)


def test_too_many_rows_and_octets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_format, "MAX_ROWS", 2)
    monkeypatch.setattr(bulk_format, "MAX_OCTETS", 12)
    for data in (b"{}\n{}\n{}", b"{            }"):
        with pytest.raises(InvalidInput) as caught:
            split_rows(data)
        assert caught.value.code is ErrorCode.INPUT_TOO_LARGE


def test_a_row_is_a_registration_and_perhaps_a_wish_for_a_certificate() -> None:
    row = parse_row(file_json(CITIZEN), PROFILES)
    assert (row.profile, row.csr) == (None, None)
    assert parse_registration(row.registration, pilot_identities()) == parse_registration(
        file_json(CITIZEN), pilot_identities()
    )
    csr = pem_csr()
    wish = parse_row(file_json({**CITIZEN, "profile": "cit-sign", "csr": csr}), PROFILES)
    assert (wish.profile, wish.csr, wish.registration) == ("cit-sign", csr.encode(), row.registration)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"profile": "cit-sign"}, ErrorCode.INPUT_MALFORMED),
        ({"csr": "x"}, ErrorCode.INPUT_MALFORMED),
        ({"profile": 7, "csr": "x"}, ErrorCode.INPUT_MALFORMED),
        ({"profile": "cit-sign", "csr": "x"}, ErrorCode.CSR_MALFORMED),
        ({"profile": "nonsense", "csr": "x"}, ErrorCode.PROFILE_UNKNOWN),
    ],
)
def test_a_wish_is_checked_with_its_row(more: dict[str, object], code: ErrorCode) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_row(file_json({**CITIZEN, **more}), PROFILES)
    assert caught.value.code is code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(row=st.binary(max_size=80).map(lambda data: b"{" + data) | st.dictionaries(st.text(), JSON).map(json.dumps))
def test_any_row_is_read_or_refused(row: bytes | str) -> None:
    data = row.encode() if isinstance(row, str) else row
    try:
        parse_registration(parse_row(data, PROFILES).registration, pilot_identities())
    except ServiceError as error:
        assert error.code


@pytest.mark.parametrize(
    ("split", "data"),
    [
        (split_rows, b"\n" * 4_000_000),
        (split_rows, b"{}\n" * 1_500_000),
        (split_csv, b"," * 4_000_000),
        (split_csv, b'"\n",' * 1_000_000),
        (split_csv, b"kind\n" + b"a," * 2_000_000),
    ],
)
def test_what_is_refused_for_its_size_takes_no_more_memory_than_it_has(
    split: Callable[[bytes], tuple[bytes, ...]], data: bytes
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput):
            split(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000
