"""The linter's process: turns, heartbeat, health, and `mohr ca lint`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from ca.linting.desk import LintDesk
from ca.linting.verdicts import Backlog
from pki.errors import ErrorCode, Unavailable
from pki.instants import format_instant
from tests.support.clock import FakeClock
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from webapp.checks import LINT_PATIENCE, linter_part
from webapp.compose import RealClock, opened_linting
from webapp.deployment import Deployment
from webapp.health import PartState
from webapp.linter import CROWDED, IDLE_SECONDS, RETRY_SECONDS, YIELDING_SECONDS, YIELDS_FOR, Linter


class SpokenDesk(LintDesk):
    """A desk whose backlog a test decides."""

    def __init__(self, backlog: Backlog, error: Unavailable | None = None) -> None:
        self._backlog = backlog
        self._error = error

    def sweep(self, limit: int) -> int:
        if self._error is not None:
            raise self._error
        return min(limit, self._backlog.waiting)

    def backlog(self) -> Backlog:
        return self._backlog


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path)
    made.linter_state.parent.mkdir(parents=True)
    return made


def test_a_linter_without_a_heartbeat_is_silent(deployment: Deployment) -> None:
    clock = FakeClock()
    assert linter_part(deployment, clock).state is PartState.SILENT
    for junk in (
        b"",
        b"[]",
        b'{"at": 1}',
        b'{"at": "2026-01-01T00:00:00Z", "failing": "", "waiting": [], "oldest": null}',
    ):
        deployment.linter_state.write_bytes(junk)
        assert linter_part(deployment, clock).state is PartState.SILENT


def test_the_health_page_tells_how_long_a_certificate_waits(deployment: Deployment) -> None:
    clock = FakeClock()
    since = clock.now()
    linter = Linter(deployment, SpokenDesk(Backlog(waiting=40, oldest=since)), clock, monotonic=lambda: 0.0)
    assert linter.turn() == 0.0
    assert linter_part(deployment, clock).state is PartState.OK
    clock.advance(seconds=LINT_PATIENCE.total_seconds() + 10)
    linter.turn()
    part = linter_part(deployment, clock)
    assert (part.state, part.note, part.since) == (PartState.DEGRADED, "40 waiting, the oldest for 70 s", since)
    assert not part.vital


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_burst_is_left_to_a_quieter_moment_but_not_for_long(deployment: Deployment, share: float) -> None:
    clock, ticks = FakeClock(), count()
    desk = SpokenDesk(Backlog(waiting=400, oldest=clock.now()))
    elapsed = count()
    linter = Linter(deployment, desk, clock, monotonic=lambda: next(elapsed), worked=lambda: share * next(ticks))
    assert linter.turn() == (YIELDING_SECONDS if share < CROWDED else 0.0)
    clock.advance(seconds=YIELDS_FOR.total_seconds())
    assert linter.turn() == 0.0


def test_an_idle_linter_waits_and_is_well(deployment: Deployment) -> None:
    clock = FakeClock()
    linter = Linter(deployment, SpokenDesk(Backlog(waiting=0, oldest=None)), clock)
    assert linter.turn() == IDLE_SECONDS
    assert linter_part(deployment, clock).state is PartState.OK
    clock.advance(seconds=LINT_PATIENCE.total_seconds() + 1)
    assert linter_part(deployment, clock).state is PartState.SILENT


def test_a_linter_without_its_database_says_so_and_tries_again(deployment: Deployment) -> None:
    clock = FakeClock()
    error = Unavailable(ErrorCode.DATABASE_UNAVAILABLE)
    linter = Linter(deployment, SpokenDesk(Backlog(waiting=0, oldest=None), error), clock)
    assert linter.turn() == RETRY_SECONDS
    part = linter_part(deployment, clock)
    assert (part.state, part.note) == (PartState.DEGRADED, "database-unavailable")


def new_certificate(live: LiveDeployment, folder: Path, *options: str) -> str:  # noqa: F811 - that fixture
    request = folder / "wish.csr"
    live.new_request(request)
    words = ("ca", "issue", "--profile", "clin-sign", "--file", live.file_id, "--csr", request)
    return str(live.answer(*words, *options)["serial"])


@pytest.mark.real
def test_the_linter_judges_a_deployments_certificates(live: LiveDeployment, tmp_path: Path) -> None:  # noqa: F811 - that fixture
    issued = new_certificate(live, tmp_path)
    with opened_linting(live.deployment) as desk:
        live.deployment.linter_state.parent.mkdir(exist_ok=True)
        linter = Linter(live.deployment, desk, RealClock())
        while desk.backlog().waiting:
            linter.turn()
        assert linter_part(live.deployment, RealClock()).state is PartState.OK
    said = live.answer("ca", "lint", issued)
    assert said["lint"] in ("clean", "noted")
    assert said["judgements"][0]["linter"] == "pkilint"
    assert live.answer("ca", "lint", "--pending")["waiting"] == 0


@pytest.mark.real
def test_two_officers_close_an_alarm_from_the_shell(live: LiveDeployment, tmp_path: Path) -> None:  # noqa: F811 - that fixture
    serial = new_certificate(live, tmp_path, "--lint-first")
    live.mohr("ca", "lint", serial)
    with closing(sqlite3.connect(live.deployment.database_file)) as connection, connection:
        now = format_instant(RealClock().now()).replace("T", " ").replace("Z", ".000000")
        connection.execute(
            "INSERT INTO lint_alarms VALUES ('a1', ?, 'pkilint', '1', 'ERROR', '[\"x\"]', 0, ?, NULL)", (serial, now)
        )
    opened = [json.loads(line) for line in live.mohr("ca", "lint", "--alarms").output.splitlines()]
    assert [(alarm["alarm"], alarm["serial"]) for alarm in opened] == [("a1", serial)]
    words = ("ca", "lint", "--close", "a1", "--note", "looked at", "--officer")
    assert live.answer(*words, "officer-akbari")["closed_at"] is None
    assert live.mohr(*words, "officer-akbari").code == "four-eyes"
    assert live.answer(*words, "officer-bahrami")["officers"] == ["officer-akbari", "officer-bahrami"]
    assert live.mohr("ca", "lint", "--alarms").output == ""
