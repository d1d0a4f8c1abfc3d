from __future__ import annotations

from datetime import timedelta

from tests.support.pki import NOW
from webapp.remembered import LIFE, MOST, Remembered


def test_an_answer_is_asked_for_once_a_second() -> None:
    remembered: Remembered[int] = Remembered()
    asked: list[int] = []

    def ask() -> int:
        asked.append(len(asked))
        return asked[-1]

    def get(seconds: float) -> int:
        return remembered.get("k", NOW + timedelta(seconds=seconds), ask, keep=lambda _answer: True)

    assert [get(0), get(0.5), get(0.999)] == [0, 0, 0]
    assert get(LIFE.total_seconds()) == 1
    assert get(-5) == 2, "a clock that went back makes nothing immortal"


def test_what_may_not_be_kept_is_asked_for_again() -> None:
    remembered: Remembered[str] = Remembered()
    answers = iter(["try later", "good"])
    first = remembered.get("k", NOW, lambda: next(answers), keep=lambda answer: answer == "good")
    second = remembered.get("k", NOW, lambda: next(answers), keep=lambda answer: answer == "good")
    assert (first, second) == ("try later", "good")


def test_memory_is_bounded() -> None:
    remembered: Remembered[int] = Remembered()
    for number in range(3 * MOST):
        remembered.get(str(number), NOW, lambda: 0, keep=lambda _answer: True)
    assert len(remembered._kept) <= MOST
