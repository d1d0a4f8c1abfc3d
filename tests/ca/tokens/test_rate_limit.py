"""How often one client may ask: never more than burst and rate, and never at the cost of others."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ca.tokens.rate_limit import RateLimiter

START = datetime(2026, 11, 22, tzinfo=UTC)


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
