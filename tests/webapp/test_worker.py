from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hsm.client import CustodianClient
from pki.errors import ErrorCode, Unavailable
from pki.notes import open_checkpoint, parse_verifier_key
from tests.support.clock import FakeClock
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from webapp.checks import check_parts
from webapp.compose import Parts, RealClock, open_parts
from webapp.health import PartState
from webapp.worker import Sweep, Worker, refresh_crls, seal

pytestmark = pytest.mark.real


@pytest.fixture
def parts(live: LiveDeployment) -> Iterator[Parts]:  # noqa: F811 - the fixture of that name
    opened = open_parts(live.deployment)
    yield opened
    opened.keys.close()
    opened.database.close()


def _state(parts: Parts, name: str) -> PartState:
    return next(part.state for part in check_parts(parts).parts if part.name == name)


def test_sealing_publishes_a_checkpoint_that_the_published_key_verifies(parts: Parts) -> None:
    seal(parts)
    log = parse_verifier_key(parts.deployment.ledger_key.read_text(encoding="ascii").strip())
    opened = open_checkpoint(parts.deployment.checkpoint.read_text(encoding="utf-8"), log)
    assert opened.size > 0
    assert parts.ledger.verify(log.public_key, log.name, None).intact


def test_a_missing_list_is_put_back_and_a_fresh_one_is_left_alone(parts: Parts) -> None:
    file = parts.deployment.crl_file("persons", 0)
    before = file.read_bytes()
    file.unlink()
    refresh_crls(parts)
    assert file.read_bytes() == before


def test_a_sweep_that_fails_is_told_by_the_heartbeat_and_recovers(parts: Parts) -> None:
    outcome: list[Exception] = [Unavailable(ErrorCode.HSM_UNAVAILABLE)]

    def act(_parts: Parts) -> None:
        if outcome:
            raise outcome.pop()

    worker = Worker(parts, sweeps=(Sweep(name="ledger", seconds=1, act=act),))
    worker.sweeps[0].run(parts, 0.0)
    worker.beat()
    assert _state(parts, "worker") is PartState.DEGRADED
    worker.sweeps[0].run(parts, 1.0)
    worker.beat()
    assert _state(parts, "worker") is PartState.OK


def test_parts_that_do_not_answer_are_told_apart(parts: Parts, tmp_path: Path) -> None:
    Worker(parts, sweeps=()).beat()
    assert check_parts(parts).state is PartState.OK
    later = FakeClock(RealClock().now() + timedelta(minutes=5))
    elsewhere = dataclasses.replace(parts, keys=CustodianClient(tmp_path / "nobody.sock"), clock=later)
    assert _state(elsewhere, "worker") is PartState.SILENT
    assert _state(elsewhere, "custodian") is PartState.DOWN
    assert _state(elsewhere, "database") is PartState.OK
