from datetime import UTC, datetime, timedelta

import pytest

from hsm.custodian.steady_clock import SteadyClock
from hsm.errors import HsmUnavailable
from pki.errors import InvalidInput

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


class Times:
    """A wall clock and a monotonic one that tests move."""

    def __init__(self) -> None:
        self.wall, self.ticks = NOW, 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def pass_seconds(self, seconds: float, *, wall: float | None = None) -> None:
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds if wall is None else wall)


def steady(times: Times, written: datetime | None = None) -> SteadyClock:
    return SteadyClock(times, times.monotonic, written)


def test_a_clock_that_goes_on_is_believed() -> None:
    times = Times()
    clock = steady(times)
    times.pass_seconds(3600)
    assert clock.now() == times.wall
    times.pass_seconds(10, wall=12)
    assert clock.now() == times.wall


def test_a_little_slewing_back_is_believed() -> None:
    times = Times()
    clock = steady(times)
    times.pass_seconds(10, wall=8.5)
    assert clock.now() == times.wall


def test_a_clock_set_back_signs_nothing_until_it_has_caught_up() -> None:
    times = Times()
    clock = steady(times)
    times.pass_seconds(10, wall=-60)
    for _ in range(3):
        with pytest.raises(HsmUnavailable, match="ran backwards"):
            clock.now()
        times.pass_seconds(1)
    times.pass_seconds(0, wall=69)
    assert clock.now() == times.wall


def test_small_steps_back_add_up() -> None:
    times = Times()
    clock = steady(times)
    times.pass_seconds(10, wall=9)
    clock.now()
    times.pass_seconds(10, wall=9)
    clock.now()
    times.pass_seconds(10, wall=9)
    with pytest.raises(HsmUnavailable):
        clock.now()


def test_a_clock_behind_what_was_written_signs_nothing() -> None:
    times = Times()
    clock = steady(times, NOW + timedelta(minutes=1))
    with pytest.raises(HsmUnavailable, match="behind the journal"):
        clock.now()
    times.pass_seconds(60)
    assert clock.now() == times.wall


def test_a_clock_that_agrees_with_what_was_written_is_believed() -> None:
    assert steady(Times(), NOW + timedelta(seconds=1)).now() == NOW


def test_an_accepted_clock_goes_on_from_where_it_is() -> None:
    times = Times()
    clock = steady(times, NOW + timedelta(days=1))
    with pytest.raises(InvalidInput):  # somebody read another clock, or long ago
        clock.accept(NOW - timedelta(minutes=1))
    with pytest.raises(HsmUnavailable):
        clock.now()
    assert clock.accept(NOW - timedelta(seconds=3)) == clock.now() == NOW
    times.pass_seconds(5)
    assert clock.now() == times.wall
    times.pass_seconds(5, wall=-5)
    with pytest.raises(HsmUnavailable, match="ran backwards"):
        clock.now()
    assert clock.accept(times.wall) == clock.now() == times.wall
