"""The disk under a served deployment is full: refused before anything is signed, nothing lost, and it goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from pki.errors import ErrorCode
from tests.e2e.faults.conftest import MIN_FREE_MEGABYTES, OnSmallDisk
from tests.e2e.faults.small_disk import filled
from tests.support.separated import until

pytestmark = pytest.mark.real
MEGABYTE = 1_000_000


@pytest.fixture
def deployment(on_small_disk: OnSmallDisk) -> OnSmallDisk:
    if on_small_disk.no_disk:
        pytest.skip(f"this machine mounts no disk for us: {on_small_disk.no_disk}")
    until(on_small_disk._is_well, "every part is well before", lambda: on_small_disk.trouble)
    return on_small_disk


def rows(served: OnSmallDisk) -> dict[str, list[str]]:
    """Return the serial numbers in the register by their states."""
    with closing(sqlite3.connect(served.deployment.database_file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found: dict[str, list[str]] = {}
        for state, serial in database.execute("SELECT state, serial FROM certificates"):
            found.setdefault(state, []).append(serial)
        return found


def test_a_full_disk_refuses_before_signing_and_goes_on_once_there_is_room(deployment: OnSmallDisk) -> None:
    assert deployment.issue()[0] == 201
    before = rows(deployment)
    with filled(deployment.disk, (MIN_FREE_MEGABYTES - 8) * MEGABYTE):
        for _ in range(3):
            assert deployment.issue() == (503, ErrorCode.STORAGE_LOW)
        until(lambda: deployment.states().get("storage") == "degraded", "health says so")
        assert deployment.ask("GET", "/crl/persons/0.crl")[0] == 200
    assert rows(deployment) == before, "not even an intent"
    assert deployment.issue()[0] == 201
    until(deployment._is_well, "every part is well again", lambda: deployment.trouble)
    assert deployment.mohr("audit", "verify").status == 0


@contextmanager
def _no_reserve(served: OnSmallDisk) -> Iterator[None]:
    """Serve without any headroom, as a deployer may wish."""
    settings = served.deployment.settings()
    served.deployment.write_settings(replace(settings, min_free_mb=0))
    try:
        _start_anew(served)
        yield
    finally:
        served.deployment.write_settings(settings)
        _start_anew(served)


def _start_anew(served: OnSmallDisk) -> None:
    served.deployment.worker_state.unlink(missing_ok=True)
    served.kill("")
    until(served._is_well, "every part is well again", lambda: served.trouble)


@pytest.mark.stress
def test_a_disk_that_is_full_in_the_middle_loses_nothing_either(deployment: OnSmallDisk) -> None:
    before, answered = set(rows(deployment).get("issued", ())), set[str]()
    with _no_reserve(deployment):
        refused = 0
        for leave in (2 * MEGABYTE, MEGABYTE // 4, 0):
            with filled(deployment.disk, leave):
                for _ in range(12):
                    status, said = deployment.issue()
                    assert status in (201, 500, 503), said
                    answered |= {said} if status == 201 else set()
                    refused += status != 201
            until(lambda: deployment.issue()[0] == 201, "it issues again", lambda: deployment.trouble)
        assert refused, "nothing is kept on a disk that is full"
        until(deployment._is_well, "every part is well again", lambda: deployment.trouble)
    found = rows(deployment)
    assert answered <= set(found["issued"]) - before
    assert set(found) <= {"issued", "good", "abandoned"}, "what was cut off is told as abandoned"
    assert deployment.mohr("audit", "verify").status == 0
