"""Which officer a command acts by: the one named, in a pilot one whose key it keeps, and nobody else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.deployment import LiveDeployment
from tests.support.programs import Ended, run_here
from webapp.cli import mohr
from webapp.compose import opened_database

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def serial(live: LiveDeployment, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate of the deployment."""
    request = tmp_path_factory.mktemp("acting") / "csr"
    live.new_request(request)
    issued = live.answer("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", request)
    live.activate(live.file_id)
    return str(issued["serial"])


def actor_of_last(live: LiveDeployment, serial: str) -> str:
    """Who the ledger says acted on a certificate last."""
    with opened_database(live.deployment) as (database, _ledger), database.read() as connection:
        statement = "SELECT actor FROM audit_events WHERE subject = ? ORDER BY rowid DESC LIMIT 1"
        return str(connection.exec_driver_sql(statement, (serial,)).scalar_one())


def test_in_a_pilot_the_first_officer_with_the_role_signs_and_it_is_told(live: LiveDeployment, serial: str) -> None:
    ended = live.mohr("ca", "hold", serial)
    assert ended.status == 0, ended.messages
    assert "officer-akbari signs: certificate.hold" in ended.messages
    assert actor_of_last(live, serial) == "officer-akbari"
    ended = live.mohr("ca", "unhold", serial, "--officer", "officer-bahrami")
    assert (ended.status, ended.messages) == (0, "")
    assert actor_of_last(live, serial) == "officer-bahrami"


def test_an_issuer_signs_the_order_and_is_who_asked_for_it(live: LiveDeployment, tmp_path: Path) -> None:
    live.new_request(tmp_path / "csr")
    order = ("ca", "issue", "--profile", "clin-auth", "--file", live.file_id, "--csr", tmp_path / "csr")
    refused = live.mohr(*order, "--officer", "officer-akbari")
    assert (refused.status, "not-allowed" in refused.messages) == (1, True)
    ended = live.mohr(*order)
    assert ended.status == 0, ended.messages
    assert "clerk-parsa signs: certificate.issue" in ended.messages
    assert actor_of_last(live, json.loads(ended.output)["serial"]) == "clerk-parsa"


def test_a_suspended_officer_signs_nothing_by_default(live: LiveDeployment, serial: str) -> None:
    reason = ("--reason", "on leave", "--officer", "officer-bahrami")
    live.answer("ca", "officer", "suspend", "officer-akbari", *reason)
    try:
        ended = live.mohr("ca", "hold", serial)
    finally:
        live.answer("ca", "officer", "restore", "officer-akbari", "--officer", "officer-bahrami")
    assert "officer-bahrami signs: certificate.hold" in ended.messages
    live.answer("ca", "unhold", serial)


def test_an_officer_without_the_role_is_refused(live: LiveDeployment, serial: str) -> None:
    ended = live.mohr("ca", "revoke", serial, "--reason", "superseded", "--officer", "clerk-parsa")
    assert ended.status == 1
    assert "not-allowed" in ended.messages
    assert live.answer("ca", "show", serial)["state"] == "good"


UNNAMED = (
    ("ca", "issue", "--profile", "clin-sign", "--file", "ab", "--csr", "absent"),
    ("ca", "revoke", "ab", "--reason", "superseded"),
    ("ca", "hold", "ab"),
    ("ca", "unhold", "ab"),
    ("token", "activate", "ab", "--csr", "absent"),
)


@pytest.mark.parametrize("words", UNNAMED, ids=lambda words: " ".join(words[:2]))
def test_in_production_nobody_acts_unnamed(live: LiveDeployment, tmp_path: Path, words: tuple[str, ...]) -> None:
    settings = live.deployment.settings_file.read_text(encoding="utf-8")
    assert "production = false" in settings
    (tmp_path / "mohr.toml").write_text(settings.replace("production = false", "production = true"), encoding="utf-8")
    ended: Ended = run_here(mohr, *words, "--home", str(tmp_path))
    assert (ended.status, "name the --officer" in ended.messages) == (3, True)


def test_where_no_key_is_kept_an_officer_must_be_named(live: LiveDeployment, serial: str) -> None:
    officers = live.deployment.officers
    aside = officers.with_name("officers.aside")
    shutil.move(officers, aside)
    try:
        ended = live.mohr("ca", "hold", serial)
    finally:
        shutil.move(aside, officers)
    assert ended.status == 1
    assert "officer-unknown" in ended.messages
