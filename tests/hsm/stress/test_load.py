"""Many clients at two custodians, one of which is killed every now and then: nobody notices."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random

import pytest

from hsm.client import SIGN_TIMEOUT, CustodianClient
from tests.hsm.stress.callers import Callers, Keys, make_keys
from tests.hsm.stress.fronts import CUSTODIANS, Fronts
from tests.support.patience import PATIENCE
from tests.support.softhsm import CustodianHome

pytestmark = pytest.mark.real
ENDS = 1.5
CALLERS = 16
SAMPLE, WHOLE = 3.0, 600.0
LEAST = 2


@pytest.fixture
def fronts(custodian_factory: Callable[[], CustodianHome]) -> Iterator[tuple[Fronts, Keys]]:
    made = Fronts(custodian_factory())
    with made.running():
        client = CustodianClient(made.sockets)
        yield made, make_keys(made, client)
        client.close()


@pytest.mark.parametrize("seconds", [SAMPLE, pytest.param(WHOLE, marks=pytest.mark.stress)], ids=["short", "long"])
def test_no_request_is_lost_while_custodians_are_killed(
    fronts: tuple[Fronts, Keys], seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    made, keys = fronts
    seed = random.getrandbits(32)
    kills = _kill_now_and_then(made, Random(seed), seconds)  # noqa: S311 - can be told again
    whole = seconds == WHOLE  # a client's own deadline is for a machine that does nothing else
    deadline = SIGN_TIMEOUT if whole else timedelta(seconds=PATIENCE)
    callers = Callers(CALLERS, made.sockets, keys, pause=0.01 if whole else 0.0, timeout=deadline)
    with callers.calling():
        killed = sum(1 for _ in kills)
    report = (
        f"\nseed {seed}: {callers.signatures} signatures for {CALLERS} clients in {seconds:.0f} s, {killed} custodians "
        f"killed, {len(callers.refused)} requests lost; the longest took {callers.slowest:.3f} s\n"
    )
    with capsys.disabled():
        sys.stdout.write(report)
    assert callers.wrong == []
    assert callers.refused == []
    assert killed >= LEAST
    assert sum(made.starts) == CUSTODIANS + killed, "a custodian ended that nobody killed"
    assert callers.slowest < ENDS or not whole
    assert callers.missing_from(made.uses()) == []


def _kill_now_and_then(fronts: Fronts, chance: Random, seconds: float) -> Iterator[int]:
    """Kill one custodian after the other until the time is over and some were killed, never both at once."""
    end, longest, killed = time.monotonic() + seconds, min(5.0, seconds / 6), 0
    while time.monotonic() < end or killed < LEAST:
        time.sleep(chance.uniform(0.1, longest))
        index, starts = chance.randrange(CUSTODIANS), sum(fronts.starts)
        fronts.kill(index)
        killed += 1
        yield index
        fronts.await_started(starts + 1)
        fronts.await_well(index)
