"""The order in which mixed text is seen (UAX #9), and where lines are broken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signer.validation.report_bidi import base_level, levels, visual_order
from signer.validation.report_lines import broken
from signer.validation.report_page import Language, Span, Way
from signer.validation.report_shape import typeface

WORDS = st.text(alphabet=st.sampled_from("ab cد ر۱٢3+-,.%()[]«»:/\u0654"), max_size=30)


def seen(text: str, base: int | None = None) -> str:
    """Return the characters as they stand from left to right."""
    found = levels(text, base_level(text) if base is None else base)
    return "".join(text[place] for place in visual_order(found))


def test_a_paragraph_runs_as_its_first_strong_character() -> None:
    assert base_level("12 abc دار") == 0
    assert base_level("12 (دار abc") == 1
    assert base_level("") == 0


def test_words_of_two_directions_stand_in_the_order_of_the_line() -> None:
    assert seen("car دار") == "car راد"
    assert seen("car دار", 1) == "راد car"
    assert seen("دار car دود") == "دود car راد"


def test_numbers_are_read_from_the_left_wherever_they_stand() -> None:
    assert seen("در ۱۲ روز") == "زور ۱۲ رد"
    assert seen("در 12/34 روز") == "زور 12/34 رد"
    assert seen("در 12-34 روز") == "زور 34-12 رد"  # after Arabic letters a hyphen parts two numbers (W2, W4)
    assert seen("کد 12:34") == "12:34 دک"
    assert seen("5% off") == "5% off"
    assert seen("تا 5%") == "%5 ات"


def test_brackets_go_with_what_they_enclose() -> None:
    assert seen("دار (abc)") == ")abc( راد"
    assert levels("دار (abc)", 1)[4] == levels("دار (abc)", 1)[8] == 1
    assert levels("abc (دار) d", 0)[4] == levels("abc (دار) d", 0)[8] == 0
    assert levels("a (b [c) d] دار", 0)[2] == 0


def test_a_mark_goes_with_its_letter_and_space_at_the_end_with_the_line() -> None:
    assert levels("ه\u0654", 0) == [1, 1]
    assert levels("دار ", 0) == [1, 1, 1, 0]
    assert levels("abc ", 1)[-1] == 1


@given(text=WORDS, base=st.integers(0, 1))
def test_every_character_is_seen_once_and_a_line_of_one_direction_stays(text: str, base: int) -> None:
    found = levels(text, base)
    assert len(found) == len(text)
    assert all(base <= level <= base + 2 for level in found)
    assert sorted(visual_order(found)) == list(range(len(text)))
    latin = "".join(char for char in text if char.isascii() and char.isalpha())
    assert seen(latin, 0) == latin


@given(texts=st.lists(st.tuples(WORDS, st.sampled_from(Way), st.booleans()), max_size=5), room=st.floats(3, 30))
def test_a_broken_line_loses_nothing_and_fits(texts: list[tuple[str, Way, bool]], room: float) -> None:
    line = tuple(Span(*one) for one in texts)
    for language in Language:
        lines = broken(line, room, language)
        kept = "".join(span.text for one in lines for span in one).replace(" ", "")
        assert kept == "".join(text for text, _, _ in texts).replace(" ", "")
        for one in lines:
            said = "".join(glyph.text for glyph in typeface().shape(one, language))
            assert sorted(said) == sorted("".join(span.text for span in one))
            wide = sum(glyph.advance for glyph in typeface().shape(one, language))
            assert wide <= room + 1 or len(said) <= 2
