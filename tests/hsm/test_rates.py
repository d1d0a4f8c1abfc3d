import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian import rates as rates_module
from hsm.custodian.policy import Grant, KeyNames
from hsm.custodian.rates import Rates
from hsm.errors import RateExceeded
from pki.errors import ErrorCode


class Ticks:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def grant(per_second: int | None = 10, burst: int | None = 20, act: str = "token") -> Grant:
    return Grant(keys=KeyNames(("*",)), acts=frozenset({act}), per_second=per_second, burst=burst)


def test_a_burst_is_allowed_and_no_more() -> None:
    rates = Rates(Ticks())
    for _ in range(20):
        rates.take("server", "token", grant(), 1)
    with pytest.raises(RateExceeded) as refused:
        rates.take("server", "token", grant(), 1)
    assert refused.value.code is ErrorCode.HSM_RATE_EXCEEDED
    assert refused.value.retryable


def test_a_bucket_fills_with_time_and_never_beyond_its_burst() -> None:
    ticks = Ticks()
    rates = Rates(ticks)
    rates.take("server", "token", grant(), 20)
    ticks.now += 0.5
    rates.take("server", "token", grant(), 5)
    with pytest.raises(RateExceeded):
        rates.take("server", "token", grant(), 1)
    ticks.now += 1000
    rates.take("server", "token", grant(), 20)
    with pytest.raises(RateExceeded):
        rates.take("server", "token", grant(), 1)


def test_a_batch_larger_than_the_burst_is_owed() -> None:
    ticks = Ticks()
    rates = Rates(ticks)
    rates.take("server", "token", grant(), 100)
    ticks.now += 8
    with pytest.raises(RateExceeded):
        rates.take("server", "token", grant(), 1)
    ticks.now += 0.2
    rates.take("server", "token", grant(), 1)


def test_roles_keys_and_grants_are_counted_apart() -> None:
    rates = Rates(Ticks())
    for role, label, counted in (
        ("server", "token", grant()),
        ("worker", "token", grant()),
        ("server", "seal", grant()),
        ("server", "token", grant(act="digest")),
    ):
        rates.take(role, label, counted, 20)


def test_a_grant_without_a_rate_is_not_counted() -> None:
    rates = Rates(Ticks())
    for _ in range(1000):
        rates.take("server", "token", grant(None, None), 1000)


def test_names_beyond_a_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "MAX_BUCKETS", 3)
    rates = Rates(Ticks())
    for number in range(3):
        rates.take("server", f"key-{number}", grant(), 1)
    with pytest.raises(RateExceeded):
        rates.take("server", "key-3", grant(), 1)
    rates.take("server", "key-0", grant(), 1)


@given(
    per_second=st.integers(1, 100),
    burst=st.integers(1, 100),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=60),
)
def test_never_more_than_the_rate_and_one_burst_and_one_batch(
    per_second: int, burst: int, steps: list[tuple[float, int]]
) -> None:
    ticks = Ticks()
    rates, counted = Rates(ticks), grant(per_second, burst)
    begun, taken, largest = ticks.now, 0, 0
    for seconds, count in steps:
        ticks.now += seconds
        try:
            rates.take("server", "token", counted, count)
        except RateExceeded:
            continue
        taken += count
        largest = max(largest, count - burst)
        assert taken <= burst + max(0, largest) + (ticks.now - begun) * per_second + 1e-6
