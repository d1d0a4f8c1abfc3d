"""The races of linting on the other engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ca.lint.findings import Severity
from storage.engine import Database
from tests.ca.conftest import WorldMaker
from tests.ca.linting.judges import SpokenJudge, desk_of, finding, settle
from tests.ca.world import FIRST, SECOND, World

pytestmark = pytest.mark.real


@pytest.fixture
def world(postgresql: Database, make_world: WorldMaker) -> World:
    made = make_world(postgresql)
    settle(made)
    return made


def test_linters_at_once_leave_one_verdict_and_one_alarm_that_officers_at_once_close_once(world: World) -> None:
    serials = [world.issue("hix-tls").serial_hex for _ in range(8)]  # good at once
    desks = [desk_of(world, SpokenJudge(words=(finding(Severity.ERROR),))) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda desk: desk.sweep(10), desks))
    assert {len(desks[0].verdict_of(serial).judgements) for serial in serials} == {1}
    alarms = desks[0].alarms()
    assert sorted(alarm.serial_hex for alarm in alarms) == sorted(serials)
    for alarm in alarms:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda o, a=alarm: desks[0].close_alarm(a.id, o, "seen"), (FIRST, SECOND)))
        assert sorted(item.closed_at is None for item in found) == [False, True]
    assert desks[0].backlog().waiting == 0
