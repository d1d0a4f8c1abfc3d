"""A gap in a journal of key uses, as people meet it: on the status page, in the audit, and after an officer looked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ca.officers.identity import Role
from hsm.provider import Health, HealthState
from pki.errors import ErrorCode
from pki.journal import START
from storage.engine import Database, open_database
from storage.key_uses import KeyUses
from storage.ledger import Ledger
from storage.migrate import upgrade
from tests.storage.story import KEY, LOG, NOW, ORIGIN
from tests.support.deployment import SETTINGS
from tests.support.journals import MemoryJournal
from tests.support.officers import plant_officer
from tests.support.programs import Ended, run_here
from webapp.checks import custodian_parts, custody
from webapp.cli import mohr
from webapp.compose import RealClock
from webapp.deployment import Deployment
from webapp.health import PartState


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """What `mohr audit` needs of a deployment, with one gap in a journal."""
    made = Deployment(tmp_path / "home")
    made.create_folders()
    made.write_settings(SETTINGS)
    made.ledger_key.write_text(f"{LOG}\n")
    database = opened(made)
    upgrade(database)
    uses, anew = KeyUses(database), MemoryJournal()
    anew.write_many(2)
    uses.begin_chain("custodian-1", uses.place("custodian-1"), (0, START), anew.lines, NOW)
    Ledger(database).sequence()
    Ledger(database).checkpoint(KEY, ORIGIN, NOW)
    plant_officer(made, database, "officer-akbari", (Role.AUDITOR,), RealClock())
    database.close()
    return made


def opened(deployment: Deployment) -> Database:
    return open_database(deployment.database_url(SETTINGS))


def run(deployment: Deployment, *words: str) -> Ended:
    return run_here(mohr, "audit", *words, "--home", str(deployment.home))


def report(deployment: Deployment) -> tuple[int, list[dict[str, Any]]]:
    ended = run(deployment, "verify", "--json")
    return ended.status, json.loads(ended.output)["findings"]


def test_a_gap_stays_an_alarm_until_an_officer_says_what_it_was(deployment: Deployment) -> None:
    database = opened(deployment)
    part = custody(database)
    assert (part.state, part.since, part.vital) == (PartState.DEGRADED, NOW, False)
    assert "custodian-1" in part.note

    status, (finding,) = report(deployment)
    assert (status, finding["code"]) == (1, ErrorCode.HSM_JOURNAL_GAP)
    assert finding["event"] in run(deployment, "verify").messages

    words = ("acknowledge-gap", finding["event"], "--officer", "officer-akbari", "--reason", "the disk was replaced")
    assert run(deployment, *words).status == 0
    assert report(deployment) == (0, [])
    assert custody(database).state is PartState.OK
    again = run(deployment, *words)
    assert again.status != 0
    assert "conflict" in again.messages
    database.close()


def test_a_database_that_does_not_answer_says_nothing_about_gaps(tmp_path: Path) -> None:
    empty = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    assert custody(empty).state is PartState.SILENT
    empty.close()


@pytest.mark.parametrize(
    ("signing", "states"),
    [
        ((True,), {"custodian": "ok"}),
        ((False,), {"custodian": "down"}),
        ((True, True), {"custodian": "ok", "custodian-0": "ok", "custodian-1": "ok"}),
        ((True, False), {"custodian": "degraded", "custodian-0": "ok", "custodian-1": "down"}),
        ((False, False), {"custodian": "down", "custodian-0": "down", "custodian-1": "down"}),
    ],
)
def test_one_custodian_that_signs_is_enough_and_one_that_is_away_shows(
    signing: tuple[bool, ...], states: dict[str, str]
) -> None:
    parts = custodian_parts([Health(state=HealthState.OK if one else HealthState.DOWN) for one in signing])
    assert {part.name: part.state.value for part in parts} == states
    assert not any(part.vital for part in parts)
