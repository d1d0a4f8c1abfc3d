"""A deployer's own identity scheme: `identities.toml` beside `mohr.toml`, and the commands that show and check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ca.identity_register import IdentityRegister
from pki.errors import ErrorCode, ServiceError
from pki.identity_file import pilot_identities
from storage.engine import open_database
from tests.ca.profile_documents import kiosk
from tests.ca.test_own_professions import OWN
from tests.webapp.test_own_profiles import SETTINGS, deployment
from webapp.cli import mohr
from webapp.compose import RealClock, authority_settings
from webapp.deployment import Deployment

__all__ = ["deployment"]
_PAGE = Path(__file__).resolve().parents[2] / "docs/identities.md"


def run(*words: str | Path) -> list[dict[str, Any]]:
    ended = CliRunner().invoke(mohr, ["ca", *map(str, words)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return [json.loads(line) for line in ended.stdout.splitlines()]


def refused(*words: str | Path) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        CliRunner().invoke(mohr, ["ca", *map(str, words)], catch_exceptions=False)
    return caught.value


def test_a_deployment_without_a_scheme_of_its_own_has_the_pilots(deployment: Deployment) -> None:
    assert authority_settings(deployment.settings()).identities is pilot_identities()
    listed = run("identities", "--home", deployment.home)
    assert listed == run("identities", "--home", deployment.home / "nowhere")
    physician = {"kind": "profession", "name": "physician", "identifier": f"{SETTINGS.oid_arc}.3.1", "retired": False}
    assert listed[0] == physician


def test_a_deployers_scheme_is_what_the_authority_knows(deployment: Deployment) -> None:
    deployment.identities_file.write_text(OWN, encoding="utf-8")
    assert "optometrist" in authority_settings(deployment.settings()).identities.professions
    (shown,) = run("identities", "show", "optometrist", "--home", deployment.home)
    assert (shown["identifier"], shown["council_number"]) == (f"{SETTINGS.oid_arc}.3.21", "OP-[0-9]{5}")
    assert (shown["scheme"], shown["version"]) == ("eye hospital", 1)
    assert refused("identities", "show", "healer", "--home", deployment.home).code is ErrorCode.NOT_FOUND


def test_a_wrong_scheme_is_refused_before_anything_is_issued(deployment: Deployment) -> None:
    deployment.identities_file.write_text(OWN.replace("number = 21", "number = 1"), encoding="utf-8")
    with pytest.raises(ServiceError) as caught:
        authority_settings(deployment.settings())
    assert caught.value.code is ErrorCode.IDENTITIES_INVALID
    deployment.identities_file.unlink()
    deployment.identities_file.mkdir()
    assert refused("identities", "--home", deployment.home).code is ErrorCode.FILE_UNREADABLE


def test_a_check_says_whether_it_would_be_recorded(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "wish.toml"
    file.write_text(OWN, encoding="utf-8")
    (answer,) = run("identities", "check", file, "--home", deployment.home)
    assert (answer["scheme"], answer["professions"], answer["new"]) == ("eye hospital", 8, True)
    database = open_database(deployment.database_url(deployment.settings()))
    deployment.identities_file.write_text(OWN, encoding="utf-8")
    IdentityRegister(database, RealClock()).adopt(authority_settings(deployment.settings()).identities, "mohr")
    database.close()
    assert not run("identities", "check", file, "--home", deployment.home)[0]["new"]
    file.write_text(OWN.replace("Optometrist", "Eyes"), encoding="utf-8")
    assert refused("identities", "check", file, "--home", deployment.home).detail.startswith("version: ")
    run("identities", "check", file, "--home", tmp_path / "nowhere")


def test_profiles_are_checked_against_the_deployments_own_roles(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "wish.toml"
    file.write_bytes(kiosk(admission=True, technical_role="kiosk"))
    wrong = refused("profiles", "check", file, "--home", deployment.home)
    assert wrong.detail.startswith("profiles.kiosk.technical_role: ")
    role = '\n[technical_roles.kiosk]\nnumber = 9\ntitle_fa = "کیوسک"\ntitle_en = "Kiosk"\n'
    deployment.identities_file.write_text(OWN + role, encoding="utf-8")
    assert "kiosk 1" in run("profiles", "check", file, "--home", deployment.home)[0]["new"]


def test_the_page_shows_a_scheme_that_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(_PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0], encoding="utf-8")
    (answer,) = run("identities", "check", file, "--home", tmp_path / "nowhere")
    assert answer["professions"] > len(pilot_identities().professions)
