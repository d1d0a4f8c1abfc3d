"""States of a connection token and the rate limiter beside them: tables and arithmetic."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.tokens.config import TokenSettings
from ca.tokens.life_cycle import TRANSITIONS, TokenAct, TokenState, next_state
from ca.tokens.rate_limit import RateLimiter
from pki.errors import Conflict, InvalidInput

START = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(("state", "act"), list(product(TokenState, TokenAct)))
def test_every_step_is_in_the_table_or_refused(state: TokenState, act: TokenAct) -> None:
    if (state, act) in TRANSITIONS:
        assert next_state(state, act) is TRANSITIONS[state, act]
    else:
        with pytest.raises(Conflict):
            next_state(state, act)


@given(st.lists(st.sampled_from(TokenAct), max_size=20))
def test_nothing_comes_back_from_the_end_and_no_life_skips_approval(acts: list[TokenAct]) -> None:
    state, seen = TokenState.REQUESTED, [TokenState.REQUESTED]
    for act in acts:
        if (state, act) in TRANSITIONS:
            state = next_state(state, act)
            seen.append(state)
    assert TokenState.TERMINATED not in seen[:-1]
    assert TokenState.ACTIVE not in seen or seen.index(TokenState.APPROVED) < seen.index(TokenState.ACTIVE)


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 5), st.integers(1, 120))
def test_no_client_gets_more_than_burst_and_rate_allow(gaps: list[int], burst: int, per_minute: int) -> None:
    limiter, now, allowed = RateLimiter(per_minute=per_minute, burst=burst), START, 0
    for gap in gaps:
        now += timedelta(seconds=gap)
        wait = limiter.take("clinic", now)
        allowed += wait is None
        assert wait is None or wait.seconds >= 1
    assert allowed <= burst + (now - START).total_seconds() * per_minute / 60 + 1e-6


def test_a_client_may_go_on_after_the_wait_it_was_told() -> None:
    limiter = RateLimiter(per_minute=6, burst=1)
    assert limiter.take("clinic", START) is None
    first, again = limiter.take("clinic", START), limiter.take("clinic", START)
    assert first is not None
    assert again is not None
    assert (first.seconds, first.first, again.first) == (10, True, False)
    assert limiter.take("clinic", START + timedelta(seconds=first.seconds)) is None


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    limiter = RateLimiter(per_minute=60, burst=1)
    assert limiter.take("clinic", START) is None
    assert limiter.take("clinic", START - timedelta(hours=1)) is not None


def test_the_client_of_longest_ago_is_forgotten_when_there_are_too_many() -> None:
    limiter = RateLimiter(per_minute=1, burst=1, clients=2)
    for client in ("a", "b", "c"):
        assert limiter.take(client, START) is None
    assert limiter.take("c", START) is not None
    assert limiter.take("a", START) is None


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "mohr.example"},
        {"issuer": "ftp://mohr.example"},
        {"issuer": "https://mohr.example/"},
        {"issuer": "https://mohr.example?x=1"},
        {"issuer": "https://مهر.example"},
        {"exchange_url": "https://"},
        {"assertion_life": timedelta(seconds=301)},
        {"access_life": timedelta()},
        {"access_life": timedelta(hours=2)},
        {"burst": 0},
    ],
    ids=str,
)
def test_settings_out_of_measure_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        TokenSettings(**{"issuer": "https://mohr.example", **change})  # type: ignore[arg-type]  # each case is wrong on purpose
