"""Turns that many threads share: nobody waits alone, nobody fails for another, nobody waits for the dead."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.gathering import Gathering


class Turns:
    """Doubles numbers; the first turn waits until it is let go."""

    def __init__(self, limit: int = 8) -> None:
        self.turns: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.gathering = Gathering(self.act, limit=limit)

    def act(self, items: list[int]) -> list[int]:
        self.turns.append(items)
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(10)
        if any(item < 0 for item in items):
            raise LookupError(str(min(items)))
        if 0 in items:
            raise KeyboardInterrupt
        return [2 * item for item in items]

    def together(self, pool: ThreadPoolExecutor, items: list[int]) -> list[object]:
        first = pool.submit(self.gathering.run, 1)
        assert self.begun.wait(10)
        others = [pool.submit(self.gathering.run, item) for item in items]
        while len(self.gathering._waiting) < len(items):
            threading.Event().wait(0.001)
        self.go_on.set()
        assert first.result() == 2
        return [other.exception() or other.result() for other in others]


def test_what_waits_goes_into_the_next_turn_and_no_turn_is_too_large() -> None:
    turns = Turns(limit=3)
    with ThreadPoolExecutor(6) as pool:
        assert turns.together(pool, [2, 3, 4, 5]) == [4, 6, 8, 10]
    assert [len(turn) for turn in turns.turns] == [1, 3, 1]


def test_a_turn_that_fails_is_taken_again_for_each_alone() -> None:
    turns = Turns()
    with ThreadPoolExecutor(6) as pool:
        found = turns.together(pool, [2, -3, 4])
    assert (found[0], found[2]) == (4, 8)
    assert isinstance(found[1], LookupError)


def test_nobody_waits_for_a_thread_that_is_told_to_end() -> None:
    turns = Turns()
    with ThreadPoolExecutor(6) as pool:
        found = turns.together(pool, [2, 0, 4])
        assert pool.submit(turns.gathering.run, 5).result() == 10
    assert sorted(type(one).__name__ for one in found) == ["KeyboardInterrupt", "Unavailable", "Unavailable"]


def test_the_error_of_a_lone_caller_is_its_own() -> None:
    turns = Turns()
    turns.go_on.set()
    with pytest.raises(LookupError, match="7"):
        turns.gathering.run(-7)
