from __future__ import annotations

from datetime import timedelta

import pytest

from tests.webapp.conftest import NOW, Client, FixedClock, healthy
from webapp.health import CachedHealth, HealthReport, PartHealth, PartState


def report(*parts: PartHealth) -> HealthReport:
    return HealthReport(at=NOW, parts=parts)


@pytest.mark.parametrize(
    ("state", "vital", "whole"),
    [
        (PartState.OK, True, PartState.OK),
        (PartState.DEGRADED, True, PartState.DEGRADED),
        (PartState.DOWN, True, PartState.DOWN),
        (PartState.SILENT, True, PartState.DOWN),
        (PartState.DOWN, False, PartState.DEGRADED),
        (PartState.SILENT, False, PartState.DEGRADED),
    ],
)
def test_the_whole_is_down_only_with_a_vital_part(state: PartState, vital: bool, whole: PartState) -> None:
    parts = report(PartHealth(name="a", state=PartState.OK), PartHealth(name="b", state=state, vital=vital))
    assert parts.state is whole


def test_silent_and_down_stay_different_words(client_of: Client) -> None:
    parts = report(
        PartHealth(name="custodian", state=PartState.SILENT, since=NOW),
        PartHealth(name="worker", state=PartState.DOWN, vital=False, note="41 min"),
    )
    answer = client_of(health=lambda: parts).get("/healthz")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["parts"]["custodian"] == {"state": "silent", "since": "2026-11-22T09:05:00Z", "vital": True}
    assert answer.json["parts"]["worker"]["note"] == "41 min"


def test_health_is_200_while_care_can_go_on(client_of: Client) -> None:
    parts = report(PartHealth(name="worker", state=PartState.SILENT, vital=False))
    assert client_of(health=lambda: parts).get("/healthz").status_code == 200


def test_the_parts_are_asked_once_a_second() -> None:
    clock, asked = FixedClock(), []

    def check() -> HealthReport:
        asked.append(clock.now())
        return HealthReport(at=clock.now(), parts=healthy().parts)

    cached = CachedHealth(check, clock)
    assert cached() is cached()
    clock.at += timedelta(milliseconds=999)
    cached()
    assert len(asked) == 1
    clock.at += timedelta(milliseconds=1)
    cached()
    assert len(asked) == 2
    clock.at -= timedelta(hours=1)  # a clock set back must not freeze the answer
    cached()
    assert len(asked) == 3
