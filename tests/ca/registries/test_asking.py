from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.registries.answers import (
    Claim,
    Denial,
    No,
    RegistryWord,
    Silence,
    Silent,
    Source,
    Yes,
    denials,
    silences,
)
from ca.registries.asking import Interviewer, weigh
from ca.tokens.lights import Answer
from tests.ca.world import START

YES = Yes(source=Source.CIVIL, at=START, reference="r")
NO = No(source=Source.CIVIL, at=START, why=Denial.NOT_FOUND)


@pytest.fixture
def held() -> Iterator[Callable[[], Any]]:
    """A question that hangs until the test is over."""
    over = threading.Event()

    def hang() -> RegistryWord:
        over.wait()
        return NO

    yield hang
    over.set()


def asked(question: Callable[[], object]) -> RegistryWord:
    (word,) = Interviewer().ask({Source.CIVIL: question}, START)
    return word


def test_words_come_in_the_order_of_the_questions() -> None:
    council = Yes(source=Source.COUNCIL, at=START)
    words = Interviewer().ask({Source.COUNCIL: lambda: council, Source.CIVIL: lambda: NO}, START)
    assert words == (council, NO)
    assert Interviewer().ask({}, START) == ()


def test_a_registry_that_raises_is_silent() -> None:
    def fail() -> object:
        raise RuntimeError("0000012343")

    assert asked(fail) == Silent(source=Source.CIVIL, at=START, why=Silence.FAILED)


def test_a_registry_that_hangs_is_silent_and_holds_no_other_back(held: Callable[[], Any]) -> None:
    clock = iter((0.0, 0.0, 60.0))  # as the questions are put, before the first word, before the second
    interviewer = Interviewer(timedelta(seconds=60), monotonic=lambda: next(clock))
    council = Yes(source=Source.COUNCIL, at=START)
    words = interviewer.ask({Source.CIVIL: held, Source.COUNCIL: lambda: council}, START)
    assert words == (Silent(source=Source.CIVIL, at=START, why=Silence.OVERDUE), council)


def test_registries_that_hang_take_a_bounded_number_of_threads(held: Callable[[], Any]) -> None:
    interviewer = Interviewer(timedelta(0), most_waiting=1)
    assert [word.answer for word in interviewer.ask({Source.CIVIL: held}, START)] == [Answer.SILENT]
    (word,) = interviewer.ask({Source.COUNCIL: held}, START)
    assert word == Silent(source=Source.COUNCIL, at=START, why=Silence.BUSY)


@pytest.mark.parametrize(
    "said",
    [
        None,
        False,
        "no",
        Answer.FAILED,
        No(source=Source.COUNCIL, at=START, why=Denial.NOT_FOUND),
        No(source=Source.CIVIL, at=START.replace(tzinfo=None), why=Denial.NOT_FOUND),
        No(source=Source.CIVIL, at=START + timedelta(hours=1), why=Denial.NOT_FOUND),
        No(source=Source.CIVIL, at=START, why="because"),  # type: ignore[arg-type]
        No(source=Source.CIVIL, at=START, why=Denial.DIFFERS, differs=("0000012343",)),  # type: ignore[arg-type]
        No(source=Source.CIVIL, at=START, why=Denial.DIFFERS, differs=None),  # type: ignore[arg-type]
        Yes(source=Source.CIVIL, at=START, reference="x" * 129),
        Yes(source=Source.CIVIL, at=START, reference="a\nb"),
        Yes(source=Source.CIVIL, at=START, valid_until="tomorrow"),  # type: ignore[arg-type]
        Silent(source=Source.CIVIL, at=START, why=Denial.NOT_FOUND),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_garbage_is_silence(said: object) -> None:
    assert asked(lambda: said) == Silent(source=Source.CIVIL, at=START, why=Silence.GARBLED)


def test_a_yes_whose_own_end_has_come_is_a_no() -> None:
    word = asked(lambda: Yes(source=Source.CIVIL, at=START, valid_until=START))
    assert isinstance(word, No)
    assert word.why is Denial.LAPSED
    assert isinstance(asked(lambda: Yes(source=Source.CIVIL, at=START, valid_until=START + timedelta(1))), Yes)


INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1))  # noqa: DTZ001 - naive is what is wrong
WORDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(Yes, source=st.sampled_from(Source), at=INSTANTS | st.just(START), valid_until=st.none() | INSTANTS),
    st.builds(
        No,
        source=st.sampled_from(Source),
        at=INSTANTS | st.just(START),
        why=st.sampled_from(Denial),
        differs=st.lists(st.sampled_from(Claim), max_size=3).map(tuple),
    ),
    st.builds(Silent, source=st.sampled_from(Source), at=INSTANTS, why=st.sampled_from(Silence)),
    st.none() | st.booleans() | st.text() | st.sampled_from(Answer),
)


@given(said=WORDS)
def test_only_a_sound_no_or_a_yes_that_ended_is_ever_a_no(said: Any) -> None:
    word = weigh(Source.CIVIL, said, START)
    assert word.source is Source.CIVIL
    if isinstance(word, No):
        assert isinstance(said, Yes | No)
        assert said.source is Source.CIVIL
        assert isinstance(said, No) or (said.valid_until is not None and said.valid_until <= START)
    if isinstance(said, Silent):
        assert isinstance(word, Silent)


@given(words=st.lists(st.builds(Silent, source=st.sampled_from(Source), at=INSTANTS, why=st.sampled_from(Silence))))
def test_silence_is_never_a_no(words: list[Silent]) -> None:
    assert denials(words) == ()
    assert silences(words) == tuple(words)


def test_silence_carries_no_facts() -> None:
    word = asked(lambda: None)
    for fact in ("reference", "valid_until", "differs"):
        assert not hasattr(word, fact)


@pytest.mark.parametrize("word", [YES, NO, asked(lambda: None)], ids=repr)
def test_no_word_is_true_or_false(word: RegistryWord) -> None:
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(word)
