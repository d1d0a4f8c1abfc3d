"""The portal's verifier: workers of its own that start again, trust that follows the folder, and a bound on waiting."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pki.errors import Unavailable
from tests.e2e.world import make_world
from tests.support.clock import FakeClock
from tests.support.pki import NOW
from webapp.deployment import Deployment
from webapp.verification import WAITING, DeploymentVerifier

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verification")
    make_world(folder / "home", folder / "files")
    return folder


@pytest.fixture(scope="module")
def verifier(world: Path) -> Iterator[DeploymentVerifier]:
    made = DeploymentVerifier(Deployment(world / "home"), FakeClock(NOW), workers=1)
    yield made
    made.close()


def good(world: Path) -> bytes:
    return (world / "files" / "valid.json").read_bytes()


def test_a_file_is_judged_by_the_deployments_own_trust(world: Path, verifier: DeploymentVerifier) -> None:
    verdict = verifier(good(world), content=None, name="valid.json")
    assert (verdict["indication"], verdict["file"]) == ("TOTAL-PASSED", "valid.json")
    assert verdict["validated_at"].startswith(f"{NOW:%Y-%m-%d}")


def test_a_worker_that_was_killed_is_started_again(world: Path, verifier: DeploymentVerifier) -> None:
    verifier(good(world), content=None, name="x")
    (worker,) = list(verifier._idle.queue)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert verifier(good(world), content=None, name="x")["indication"] == "TOTAL-PASSED"


def test_a_worker_that_cannot_start_makes_no_verdict_but_that_it_could_not(tmp_path: Path) -> None:
    verifier = DeploymentVerifier(Deployment(tmp_path), FakeClock(NOW), workers=1)
    verdict = verifier(b"anything", content=None, name="x")
    verifier.close()
    assert verdict["indication"] == "INDETERMINATE"
    assert [reason["code"] for reason in verdict["reasons"]] == ["verification-aborted"]


def test_more_files_than_may_wait_are_refused_at_once(world: Path, verifier: DeploymentVerifier) -> None:
    worker = verifier._idle.get()
    with ThreadPoolExecutor(WAITING) as pool:
        waiting = [pool.submit(verifier, good(world), content=None, name="x") for _ in range(WAITING)]
        while verifier._places._free._value:
            pass
        with pytest.raises(Unavailable):
            verifier(good(world), content=None, name="x")
        verifier._idle.put(worker)
        assert all(one.result()["indication"] == "TOTAL-PASSED" for one in waiting)
