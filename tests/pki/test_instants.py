"""Instants as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import InvalidInput
from pki.instants import format_instant, parse_instant


@given(st.datetimes(min_value=datetime(1000, 1, 2), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis wants a naive bound
def test_whole_seconds_read_back(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant.replace(microsecond=0)


def test_an_offset_is_turned_into_utc() -> None:
    tehran = timezone(timedelta(hours=3, minutes=30))
    assert parse_instant("2026-11-22T12:30:00.5+03:30") == datetime(2026, 11, 22, 12, 30, 0, 500_000, tehran)
    assert format_instant(datetime(2026, 11, 22, 12, 30, tzinfo=tehran)) == "2026-11-22T09:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T09:00:00",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-22T09:00:60Z",
        "20261122T090000Z",
        "2026-11-22T09:00:00Z ",
        "0001-01-01T00:00:00+23:59",
        "۲۰۲۶-11-22T09:00:00Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_instant(text)
