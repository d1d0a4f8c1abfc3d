"""Key custody end to end over a real token: lists, proofs, journals that are taken, and one that was deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ca.custody_policy import WORKER
from hsm.client import CustodianClient
from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from pki.errors import ErrorCode
from pki.journal import parse_line
from pki.keys import SignatureAlgorithm
from storage.engine import Database, open_database
from storage.key_uses import KeyUses
from storage.ledger import Ledger
from storage.migrate import upgrade
from tests.storage.story import ORIGIN, PUBLIC
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from tests.support.softhsm import CustodianHome, custodian_factory  # noqa: F401 - a fixture
from webapp.compose import RealClock, open_parts
from webapp.custody import sockets_for
from webapp.key_inventory import KeyState, check_keys
from webapp.key_journal import JournalTaker, waiting_totals
from webapp.worker import KeyUseSweep

pytestmark = pytest.mark.real


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'mohr.db'}")
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def home(custodian_factory: Callable[[], CustodianHome]) -> Iterator[CustodianHome]:  # noqa: F811
    made = custodian_factory()
    made.process.start()
    yield made
    made.process.stop()


def lines(live: LiveDeployment, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:  # noqa: F811
    ended = live.mohr("hsm", *words)
    assert ended.trace == ""
    found = [json.loads(line) for line in ended.output.splitlines()]
    return ended.status, {key["label"]: key for key in found}


def sweep(database: Database, client: CustodianClient) -> None:
    JournalTaker(KeyUses(database), client, RealClock()).sweep()


def findings(database: Database) -> set[ErrorCode]:
    return {finding.code for finding in Ledger(database).verify(PUBLIC, ORIGIN, None).findings}


def test_keys_are_listed_with_what_the_device_and_the_database_say(live: LiveDeployment) -> None:  # noqa: F811
    status, keys = lines(live, "keys")
    assert status == 0
    assert {"ca-persons", "ocsp-persons", "tsa", "token", "seal"} <= keys.keys()
    authority, seal = keys["ca-persons"], keys["seal"]
    assert (authority["attributes"]["sensitive"], authority["attributes"]["extractable"]) == (True, False)
    assert authority["uri"].startswith("pkcs11:token=mohr-service;object=ca-persons;id=%")
    assert "Persons CA" in authority["certificate"]["subject"]
    assert (authority["algorithm"], authority["age_days"], seal["certificate"]) == ("ES256", 0, None)
    assert authority["uses"] > 0  # the ceremony's lists
    assert authority["last_use"] is not None


def test_uses_are_counted_once_before_and_after_they_are_taken(live: LiveDeployment) -> None:  # noqa: F811
    opened = open_parts(live.deployment, WORKER)
    worker = CustodianClient(sockets_for(live.deployment, WORKER)[:1])  # the one custodian that runs
    parts = replace(opened, keys=worker)

    def uses() -> int:
        return int(lines(live, "keys")[1]["ca-persons"]["uses"])

    try:
        before = uses()
        parts.authority.publish_crl("persons", 3)  # and a delta, where there is a list that it can add to
        after = uses()
        assert after > before
        KeyUseSweep()(parts)
        assert uses() == after
        assert KeyUses(parts.database).totals()["ca-persons"].count == after
        assert worker.journal(0, KeyUses(parts.database).place("custodian-0").sequence, 10).lines == ()
    finally:
        worker.close()
        opened.keys.close()
        opened.database.close()


def test_every_key_of_a_deployment_proves_itself(live: LiveDeployment) -> None:  # noqa: F811
    status, keys = lines(live, "check")
    assert {key["state"] for key in keys.values()} == {"holds"}
    assert status == 0
    assert len(keys["ca-persons"]["certificates"]) == 1


def test_a_key_that_was_only_made_was_not_used(home: CustodianHome, database: Database) -> None:
    home.client.generate("new", SignatureAlgorithm.ES256, KeyPurpose.TOKEN)
    sweep(database, home.client)
    assert "new" not in KeyUses(database).totals()
    assert home.client.prove("new").public_key
    assert waiting_totals(KeyUses(database), home.client)[0]["new"].count == 1


def test_a_refusal_is_in_the_ledger_too(home: CustodianHome, database: Database) -> None:
    label = home.key(SignatureAlgorithm.ES256, KeyPurpose.TIMESTAMP)
    with pytest.raises(PurposeRefused):
        home.client.sign_digests(label, [bytes(32)])
    sweep(database, home.client)
    assert label not in KeyUses(database).totals()
    entries = [parse_line(line).use for line in home.client.journal(0, 0, 1000).lines]
    (use,) = (use for use in entries if use.act == "digest")
    assert (use.key, use.outcome) == (label, ErrorCode.HSM_PURPOSE_REFUSED)
    assert findings(database) == set()


def test_a_journal_that_was_deleted_on_disk_is_an_alarm_until_an_officer_has_looked(
    home: CustodianHome, database: Database
) -> None:
    label = home.key(SignatureAlgorithm.ES256, KeyPurpose.TOKEN)
    home.client.sign_digests(label, [bytes(32)] * 3)
    sweep(database, home.client)
    home.process.stop()
    shutil.rmtree(home.settings.journal_folder(0))
    home.process.start()
    sweep(database, home.client)
    assert findings(database) == {ErrorCode.HSM_JOURNAL_GAP}
    home.client.sign_digests(label, [bytes(32)])
    sweep(database, home.client)
    sweep(database, home.client)
    (gap,) = KeyUses(database).open_gaps()
    KeyUses(database).acknowledge(gap.id, "officer-1", "a test", datetime.now(UTC))
    assert findings(database) == set()
    assert KeyUses(database).totals()[label].count == 4


def test_a_device_that_is_away_says_neither_yes_nor_no_of_its_keys(home: CustodianHome) -> None:
    home.key(SignatureAlgorithm.ES256, KeyPurpose.TOKEN)
    home.key(SignatureAlgorithm.ES256, KeyPurpose.SEAL)
    assert {check.state for check in check_keys(home.client, ())} == {KeyState.HOLDS}
    token = home.folder / "token"
    token.rename(home.folder / "away")
    try:
        assert {check.state for check in check_keys(home.client, ())} == {KeyState.SILENT}
    finally:
        (home.folder / "away").rename(token)
