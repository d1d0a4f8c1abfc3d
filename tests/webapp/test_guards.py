from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from ca.custody_policy import WORKER
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, Unavailable
from storage.ledger_tables import audit_events
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from tests.webapp.test_deployment import SETTINGS
from webapp.checks import check_parts
from webapp.compose import Parts, open_parts
from webapp.deployment import Deployment
from webapp.guards import ClockWatch, clock_guard
from webapp.health import PartState
from webapp.worker import Sweep, Worker

pytestmark = pytest.mark.real


@pytest.fixture
def parts(live: LiveDeployment) -> Iterator[Parts]:  # noqa: F811 - the fixture of that name
    opened = open_parts(live.deployment, WORKER)
    yield opened
    opened.keys.close()
    opened.database.close()


@pytest.fixture
def clock_was_set(parts: Parts) -> Iterator[None]:
    """Have the clock be a year later than what it was held against until now."""
    parts.clock_guard.now()
    file = parts.deployment.clock_reference
    before = file.read_bytes()
    members = json.loads(before)
    started = datetime.fromisoformat(members["started"]) - timedelta(days=365)
    file.write_text(json.dumps(members | {"started": started.isoformat()}))
    yield
    file.write_bytes(before)


def state_of(parts: Parts, name: str) -> PartState:
    return next(part.state for part in check_parts(parts).parts if part.name == name)


def issue(live: LiveDeployment, folder: Path) -> str:  # noqa: F811 - the fixture of that name
    """Try to issue; return the code of the refusal."""
    live.new_request(folder / "csr")
    return live.mohr("ca", "issue", "--profile", "clin-sign", "--file", live.file_id, "--csr", folder / "csr").code


def suspicions(parts: Parts) -> int:
    with parts.database.read() as connection:
        wanted = select(audit_events.c.id).where(audit_events.c.action == AuditAction.CLOCK_SUSPECTED)
        return len(connection.execute(wanted).all())


@pytest.mark.usefixtures("clock_was_set")
def test_nothing_is_issued_while_the_clock_is_suspect_and_health_says_why(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    parts: Parts,
    tmp_path: Path,
) -> None:
    assert issue(live, tmp_path) == ErrorCode.CLOCK_SUSPECT
    assert state_of(parts, "clock") is PartState.DEGRADED


@pytest.mark.usefixtures("clock_was_set")
def test_an_officer_accepts_the_clock_and_it_is_recorded_who_did(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    parts: Parts,
) -> None:
    live.answerless("audit", "accept-clock", "--officer", "officer-akbari", "--reason", "the time server was wrong")
    assert state_of(parts, "clock") is PartState.OK
    with parts.database.read() as connection:
        wanted = select(audit_events.c.actor).where(audit_events.c.action == AuditAction.CLOCK_ACCEPTED)
        assert connection.execute(wanted).scalars().all() == ["officer-akbari"]


@pytest.mark.usefixtures("clock_was_set")
def test_the_worker_sweeps_nothing_by_a_suspect_clock_and_records_the_suspicion_once(parts: Parts) -> None:
    swept, before = list[int](), suspicions(parts)
    worker = Worker(parts, sweeps=(Sweep(name="ledger", seconds=0, act=lambda _parts: swept.append(1)),))
    for now in (0.0, 10.0, 20.0):
        worker._sweep(now)
    assert (swept, suspicions(parts)) == ([], before + 1)


def test_a_believed_clock_is_no_news(parts: Parts) -> None:
    before = suspicions(parts)
    ClockWatch()(parts.clock_guard, parts.database)
    assert suspicions(parts) == before
    assert (state_of(parts, "clock"), state_of(parts, "storage")) == (PartState.OK, PartState.OK)


def test_a_full_disk_is_refused_before_anything_is_signed(
    live: LiveDeployment,  # noqa: F811 - the fixture of that name
    parts: Parts,
    tmp_path: Path,
) -> None:
    file, before = live.deployment.settings_file, live.deployment.settings_file.read_bytes()
    with_file = live.file_id  # approved while there was room
    count = len(parts.authority.certificates(file_id=with_file, limit=1000))
    live.deployment.write_settings(dataclasses.replace(parts.settings, min_free_mb=1 << 40))
    try:
        assert issue(live, tmp_path) == ErrorCode.STORAGE_LOW
    finally:
        file.write_bytes(before)
    assert len(parts.authority.certificates(file_id=with_file, limit=1000)) == count, "not even an intent"
    assert issue(live, tmp_path) == ""


def test_a_guard_of_another_program_sees_the_same_reference(parts: Parts) -> None:
    parts.clock_guard.now()
    other = clock_guard(parts.deployment, parts.database, parts.clock)
    assert other.look().suspicion == ""


@pytest.mark.parametrize("value", ["-1", '"much"', "true", "1.5"])
def test_a_minimum_that_is_no_number_of_megabytes_is_refused(value: str, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.create_folders()
    deployment.write_settings(SETTINGS)
    with deployment.settings_file.open("a", encoding="utf-8") as file:
        file.write(f"min_free_mb = {value}\n")
    with pytest.raises(InvalidInput):
        deployment.settings()


def test_a_watch_that_cannot_ask_the_database_says_so(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE)

    monkeypatch.setattr(parts.clock_guard, "look", gone)
    with pytest.raises(Unavailable):
        ClockWatch()(parts.clock_guard, parts.database)
