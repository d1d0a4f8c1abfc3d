"""Alarms about late promises: told once, once more when worse, closed when cured, also while the ledger is silent."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pki.audit import AuditEvent
from pki.errors import ErrorCode, Unavailable
from tests.support.pki import NOW
from webapp.health import PartHealth, PartState
from webapp.late_watch import LateWatch


class Ledger:
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.silent = False

    def record(self, event: AuditEvent) -> None:
        if self.silent:
            raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE)
        self.events.append(event)

    @property
    def told(self) -> list[tuple[str, str, object]]:
        return [(event.action.value, event.subject, event.facts.get("state")) for event in self.events]


def look(file: Path, ledger: Ledger, state: PartState, name: str = "lists") -> None:
    LateWatch(file, ledger.record).look([PartHealth(name=name, state=state, note="persons/0", vital=False)], NOW)


LATE, OVER, CURED = (
    ("freshness.late", "lists", "degraded"),
    ("freshness.late", "lists", "down"),
    ("freshness.restored", "lists", None),
)


def test_an_alarm_is_raised_once_worsens_once_and_is_closed_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, file = Ledger(), tmp_path / "alarms.json"
    with caplog.at_level(logging.ERROR, "mohr.worker"):
        for state in ("ok", "degraded", "degraded", "silent", "down", "down", "ok", "ok", "degraded"):
            look(file, ledger, PartState(state))
    assert ledger.told == [LATE, OVER, CURED, LATE]
    assert len(caplog.records) == 4
    assert ledger.events[0].facts["note"] == "persons/0"


def test_an_alarm_of_a_silent_ledger_is_logged_at_once_and_recorded_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, file = Ledger(), tmp_path / "alarms.json"
    ledger.silent = True
    with caplog.at_level(logging.ERROR, "mohr.worker"):
        look(file, ledger, PartState.DEGRADED)
        look(file, ledger, PartState.DEGRADED)
    assert len(caplog.records) == 1
    assert ledger.told == []
    ledger.silent = False
    look(file, ledger, PartState.DEGRADED)
    assert ledger.told == [LATE]
    ledger.silent = True
    look(file, ledger, PartState.OK)
    ledger.silent = False
    look(file, ledger, PartState.OK)
    assert ledger.told == [LATE, CURED]
    assert json.loads(file.read_bytes()) == {}


def test_what_came_and_went_while_the_ledger_was_silent_leaves_no_half_story(tmp_path: Path) -> None:
    ledger, file = Ledger(), tmp_path / "alarms.json"
    ledger.silent = True
    look(file, ledger, PartState.DOWN)
    look(file, ledger, PartState.OK)
    ledger.silent = False
    look(file, ledger, PartState.OK)
    assert ledger.told == []
    assert json.loads(file.read_bytes()) == {}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"lists": 7}', b"\xff"])
def test_a_damaged_memory_says_it_once_more(tmp_path: Path, data: bytes) -> None:
    ledger, file = Ledger(), tmp_path / "alarms.json"
    file.write_bytes(data)
    look(file, ledger, PartState.DEGRADED)
    look(file, ledger, PartState.DEGRADED)
    assert ledger.told == [LATE]
