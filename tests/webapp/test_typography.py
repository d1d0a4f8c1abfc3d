from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, g
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webapp.addresses import Language
from webapp.typography import (
    MAX_SHOWN,
    age,
    code,
    distinguished,
    file_size,
    jalali,
    number,
    person,
    spoken,
    utc,
    visible,
)

AT = datetime(2026, 11, 22, 21, 5, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_request() -> Iterator[None]:
    with Flask("probe").test_request_context():
        yield


def in_english() -> None:
    g.language = Language.EN


def test_hostile_characters_are_shown_not_obeyed() -> None:
    shown = visible("report\u202efdp.exe\u2066\x00\u200b\ufeff")
    for mark in ("⟦U+202E⟧", "⟦U+2066⟧", "⟦U+0000⟧", "⟦U+200B⟧", "⟦U+FEFF⟧"):
        assert mark in shown


def test_a_joiner_that_is_spelling_stays_and_another_is_shown() -> None:
    assert visible("می‌خورم") == "می‌خورم"
    assert "⟦U+200C⟧" in visible("a\u200cb")
    assert "⟦U+200C⟧" in visible("\u200cمی")


def test_markup_in_a_value_is_text() -> None:
    for show in (code, person, spoken):
        assert "<script>" not in show("<script>alert(1)</script>")
        assert "&lt;script&gt;" in show("<script>alert(1)</script>")


def test_long_values_are_cut_for_display() -> None:
    assert len(visible("x" * 10_000)) == MAX_SHOWN + 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_nothing_invisible_passes(text: str) -> None:
    for index, char in enumerate(shown := str(visible(text))):
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            assert char == "\u200c", hex(ord(char))
            assert unicodedata.bidirectional(shown[index - 1]) in ("AL", "NSM")


def test_codes_keep_latin_digits_and_spoken_numbers_take_the_page_s() -> None:
    assert code("ab12") == '<bdi dir="ltr" lang="en" class="code">ab12</bdi>'
    assert "۱۲۳۴۵۶" in spoken("123456")
    assert spoken("1-HBA-883") == code("1-HBA-883")
    in_english()
    assert "123456" in spoken("123456")


def test_a_certificate_s_name_is_isolated_by_attribute() -> None:
    shown = distinguished("C=IR, O=a, b, CN=مریم کریمی<b>")
    assert shown.count('class="attribute"') == 3
    assert "O=<bdi>a, b</bdi>" in shown
    assert "CN=<bdi>مریم کریمی&lt;b&gt;</bdi>" in shown
    assert distinguished("(unreadable name)")


def test_numbers_and_sizes_are_one_isolate() -> None:
    assert number(1234567) == "<bdi>۱٬۲۳۴٬۵۶۷</bdi>"
    assert file_size(9612) == "<bdi>۹٫۴ کیلوبایت</bdi>"
    assert file_size(52428800) == "<bdi>۵۰ مگابایت</bdi>"
    assert file_size(7) == "<bdi>۷ بایت</bdi>"
    in_english()
    assert number(1234567) == "<bdi>1,234,567</bdi>"
    assert file_size(9612) == "<bdi>9.4 KB</bdi>"


def test_the_day_is_tehran_s_and_the_calendar_the_page_s() -> None:
    # 21:05 UTC is already the next day at Tehran.
    assert "۲ آذر ۱۴۰۵، ساعت ۰۰:۳۵" in jalali(AT)
    assert "2026-11-22 21:05:07 UTC" in utc(AT)
    assert 'datetime="2026-11-22T21:05:07Z"' in utc(AT)
    in_english()
    assert "23 November 2026, 00:35 Tehran time" in jalali(AT)
    assert "(2 Azar 1405)" in jalali(AT)


def test_leap_days_of_the_official_calendar_are_right() -> None:
    assert "۳۰ اسفند ۱۴۰۳" in jalali(datetime(2025, 3, 20, 8, tzinfo=UTC))
    assert "۱ فروردین ۱۴۰۴" in jalali(datetime(2025, 3, 21, 8, tzinfo=UTC))


def test_ages_are_told_in_the_largest_whole_unit() -> None:
    assert age(timedelta(seconds=59)) == "<bdi>کمتر از یک دقیقه</bdi>"
    assert age(timedelta(minutes=34, seconds=59)) == "<bdi>۳۴ دقیقه</bdi>"
    assert age(timedelta(hours=25)) == "<bdi>۱ روز</bdi>"
    assert age(timedelta(hours=-3)) == "<bdi>کمتر از یک دقیقه</bdi>"
    in_english()
    assert age(timedelta(hours=1)) == "<bdi>1 hour</bdi>"
    assert age(timedelta(days=1200)) == "<bdi>1,200 days</bdi>"


@pytest.mark.parametrize("year", [1, 600, 1950, 9999])
def test_no_instant_is_too_odd_to_show(year: int) -> None:
    assert jalali(datetime(year, 12, 31, 23, 59, tzinfo=UTC))
    assert utc(datetime(year, 1, 1, tzinfo=UTC))
