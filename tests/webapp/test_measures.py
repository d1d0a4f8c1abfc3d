"""What `/metrics` says of a whole deployment, with and without its database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from ca.custody_policy import WORKER
from storage.engine import open_database
from tests.support.clock import FakeClock
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from webapp.checks import check_parts
from webapp.compose import Parts, open_parts
from webapp.measures import measured
from webapp.request_counts import RequestCounts
from webapp.worker import Sweep, Worker

pytestmark = pytest.mark.real


@pytest.fixture
def parts(live: LiveDeployment) -> Iterator[Parts]:  # noqa: F811 - the fixture of that name
    opened = open_parts(live.deployment, WORKER)
    yield opened
    opened.keys.close()
    opened.database.close()


def values(parts: Parts) -> dict[str, float]:
    counts = RequestCounts(None, lambda: 0.0)
    counts.add("/ocsp", 200)
    lines = measured(parts, check_parts(parts), counts).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_ages_ends_and_counts_of_a_deployment_are_told(parts: Parts) -> None:
    worker = Worker(parts, sweeps=(Sweep(name="count", seconds=1, act=lambda parts: parts.statistics.sweep()),))
    worker.sweeps[0].run(parts, 0)
    worker.beat()
    found = values(parts)
    assert 0 <= found['mohr_crl_age_seconds{list="persons/0"}'] < 172_800
    assert 0 < found['mohr_crl_seconds_left{list="persons/0"}'] <= 172_800
    assert found['mohr_ocsp_responder_seconds_left{responder="ocsp-persons"}'] > 0
    assert found['mohr_service_certificate_seconds_left{service="tsa"}'] > 0
    assert found['mohr_sweep_failures_total{sweep="count"}'] == 0
    assert found['mohr_sweep_success_age_seconds{sweep="count"}'] >= 0
    assert 0 < found['mohr_ocsp_answers_seconds_left{authority="persons"}'] <= 86_400
    assert found['mohr_ocsp_answers_waiting{authority="persons"}'] >= 0
    assert found["mohr_status_feed_lag_seconds"] >= 0
    assert found["mohr_checkpoint_age_seconds"] >= 0
    assert found['mohr_part_state{part="database",state="ok"}'] == 1
    assert found['mohr_part_state{part="database",state="down"}'] == 0
    assert found["mohr_certificates_issued_total"] > 0
    assert found["mohr_status_changes_total"] > 0
    assert found['mohr_http_answers_total{route="/ocsp",status="200"}'] == 1


def test_no_value_names_a_person_or_has_one_label_for_each_certificate(parts: Parts) -> None:
    for name in values(parts):
        assert not re.search(r"\d{10}|[0-9A-Fa-f]{16}", name), name
        assert name.isascii()


def test_the_documentation_names_what_is_measured(parts: Parts) -> None:
    worker = Worker(parts, sweeps=(Sweep(name="count", seconds=1, act=lambda parts: parts.statistics.sweep()),))
    worker.sweeps[0].run(parts, 0)
    worker.beat()
    text = Path(__file__).parents[2].joinpath("docs", "freshness.md").read_text(encoding="utf-8")
    deltas = {"mohr_delta_crl_age_seconds", "mohr_delta_crl_seconds_left"}  # there may be none yet
    told = {name.split("{")[0] for name in values(parts)} | deltas
    assert set(re.findall(r"mohr_[a-z_]+", text)) == told


def test_files_are_measured_while_the_database_is_down(parts: Parts) -> None:
    nowhere = open_database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")  # nobody listens there
    known = values(parts)  # and what the register said is remembered
    found = values(replace(parts, database=nowhere))
    nowhere.close()
    assert found.keys() >= {name for name in known if re.match(r"mohr_(crl|ocsp|checkpoint|worker|sweep)_", name)}
    assert "mohr_status_changes_total" not in found
    assert found['mohr_part_state{part="database",state="ok"}'] == 0


def test_a_worker_tells_once_what_is_late(parts: Parts) -> None:
    def late() -> list[tuple[object, ...]]:
        with parts.database.read() as connection:
            rows = connection.execute(text("SELECT subject FROM audit_events WHERE action = 'freshness.late'"))
            return [tuple(row) for row in rows]

    worker = Worker(parts, sweeps=())
    worker.look()
    assert late() == []
    passed = FakeClock(parts.clock.now() + timedelta(days=3))
    worker = Worker(replace(parts, clock=passed), sweeps=())
    worker.look()
    worker.look()
    assert late().count(("lists",)) == 1
