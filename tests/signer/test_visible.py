import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer import visible
from signer.visible import mark_hidden, mixes_digits


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Amoxi\u202ecillin", "Amoxi⟦U+202E⟧cillin"),
        ("\u2066x\u2069", "⟦U+2066⟧x⟦U+2069⟧"),
        ("a\u200bb", "a⟦U+200B⟧b"),
        ("a\u200cb", "a⟦U+200C⟧b"),
        ("\u200cسلام", "⟦U+200C⟧سلام"),
        ("x\x00y\x1b[2J", "x⟦U+0000⟧y⟦U+001B⟧[2J"),
        ("a\u3164b", "a⟦U+3164⟧b"),
        ("a\ufe0fb", "a⟦U+FE0F⟧b"),
        ("a\u00adb", "a⟦U+00AD⟧b"),
        ("a\u2028b", "a⟦U+2028⟧b"),
        ("a\rb", "a⟦U+000D⟧b"),
        ("\U000e0041", "⟦U+E0041⟧"),
    ],
)
def test_what_cannot_be_seen_gets_a_mark(text: str, shown: str) -> None:
    assert mark_hidden(text) == (shown, True)


@pytest.mark.parametrize("text", ["می‌خورم", "نسخهٔ‌ها", "Überdosis 1½", "آموکسی‌سیلین ۵۰۰", "", "a b"])
def test_ordinary_spelling_stays(text: str) -> None:
    assert mark_hidden(text) == (text, False)


def test_a_value_stays_on_its_line() -> None:
    assert mark_hidden("one\r\n  Prescriber: someone else\tx") == ("one ⏎   Prescriber: someone else x", False)


def test_the_quick_way_and_the_careful_way_agree_on_every_character() -> None:
    for code in range(0x11000):
        if visible._PLAIN.fullmatch(chr(code)):
            assert not visible._is_hidden(chr(code), 0), hex(code)


@given(st.text(alphabet="اآیکمٔ\u200cab ", max_size=6))
def test_the_quick_way_and_the_careful_way_agree_on_joiners(text: str) -> None:
    careful = any(visible._is_hidden(text, index) for index in range(len(text)))
    assert mark_hidden(text)[1] is careful
    if visible._PLAIN.fullmatch(text):
        assert not careful


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    shown, _ = mark_hidden(text)
    assert mark_hidden(shown) == (shown, False)
    assert "\n" not in shown


@pytest.mark.parametrize("text", ["5۰0 mg", "1٫٥", "５００ mg", "٤ و ۴", "𝟝 mg", "۱,5"])
def test_mixed_digits_are_told(text: str) -> None:
    assert mixes_digits(text)


@pytest.mark.parametrize("text", ["500 mg", "۵۰۰ میلی‌گرم", "٥٠٠", "500 mg ۳ بار", "m² 5", "۱٫۵", ""])
def test_numbers_of_one_script_are_not(text: str) -> None:
    assert not mixes_digits(text)
