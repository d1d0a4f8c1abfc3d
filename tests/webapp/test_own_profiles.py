"""A deployer's own profile set: `profiles.toml` beside `mohr.toml`, and the commands that show and check it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ca.custody_policy import OPERATOR, SERVER, WORKER, follow_profiles, service_policy
from ca.profile_file import pilot_profiles
from ca.profile_register import ProfileRegister
from hsm.custodian.policy import load_policy, write_policy
from pki.errors import ErrorCode, ServiceError
from storage.engine import open_database
from storage.migrate import upgrade
from tests.ca.profile_documents import KIOSK, kiosk, with_change
from webapp.cli import mohr
from webapp.compose import RealClock, authority_settings, token_settings
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.profile_limits import follow_profile_limits

SETTINGS = DeploymentSettings(
    public_url="http://127.0.0.1:8440",
    exchange_url="https://127.0.0.1:8441",
    organization="مرکز آزمایشی",
    oid_arc="1.3.6.1.4.1.32473.364",
    database_url=None,
    production=False,
)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path / "home")
    made.create_folders()
    database = open_database(made.database_url(SETTINGS))
    upgrade(database)
    ProfileRegister(database, RealClock()).adopt(pilot_profiles(), "mohr")
    database.close()
    made.write_settings(SETTINGS)
    return made


def run(*words: str | Path) -> list[dict[str, Any]]:
    ended = CliRunner().invoke(mohr, ["ca", "profiles", *map(str, words)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return [json.loads(line) for line in ended.stdout.splitlines()]


def refused(*words: str | Path) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        CliRunner().invoke(mohr, ["ca", "profiles", *map(str, words)], catch_exceptions=False)
    return caught.value


def test_a_deployment_without_a_set_of_its_own_has_the_pilots(deployment: Deployment) -> None:
    assert deployment.settings() == SETTINGS
    assert authority_settings(deployment.settings()).profiles is pilot_profiles()


def test_a_deployers_set_is_what_the_authority_issues_by(deployment: Deployment) -> None:
    deployment.profiles_file.write_bytes(kiosk())
    assert deployment.settings() == replace(SETTINGS, profiles=kiosk())
    assert authority_settings(deployment.settings()).profiles.get("kiosk").version == 1


def test_a_wrong_set_is_refused_before_anything_is_issued(deployment: Deployment) -> None:
    deployment.profiles_file.write_bytes(kiosk(type=[4, 1]))
    with pytest.raises(ServiceError) as caught:
        authority_settings(deployment.settings())
    assert caught.value.code is ErrorCode.PROFILE_INVALID


def test_a_set_that_cannot_be_read_is_not_passed_over(deployment: Deployment) -> None:
    deployment.profiles_file.mkdir()
    with pytest.raises(ServiceError) as caught:
        deployment.settings()
    assert caught.value.code is ErrorCode.FILE_UNREADABLE


def test_profiles_are_listed_with_and_without_a_deployment(deployment: Deployment, tmp_path: Path) -> None:
    pilots = [str(profile.name) for profile in pilot_profiles()]
    assert [line["profile"] for line in run("--home", tmp_path / "nowhere")] == pilots
    deployment.profiles_file.write_bytes(kiosk())
    lines = run("--home", deployment.home)
    assert [line["profile"] for line in lines] == [*pilots, "kiosk"]
    assert lines[-1] == {
        "profile": "kiosk",
        "version": 1,
        "status": "experimental",
        "issuer": "systems",
        "holder": "system",
        "key_usage": ["digitalSignature"],
    }


def test_one_profile_is_shown_whole(deployment: Deployment) -> None:
    deployment.profiles_file.write_bytes(kiosk())
    (shown,) = run("show", "kiosk", "--home", deployment.home)
    assert {name: shown[name] for name in KIOSK} == KIOSK | {"type": "1.3.6.1.4.1.32473.364.2.4.9"}
    assert len(shown["sha256"]) == 64
    assert refused("show", "nonsense", "--home", deployment.home).code is ErrorCode.PROFILE_UNKNOWN


def test_a_check_says_what_would_be_recorded(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "wish.toml"
    file.write_bytes(kiosk())
    (answer,) = run("check", file, "--home", deployment.home)
    assert (answer["profiles"], answer["new"]) == (len(pilot_profiles().profiles) + 1, ["kiosk 1"])
    (answer,) = run("check", file, "--home", tmp_path / "nowhere")
    assert len(answer["new"]) == answer["profiles"]
    file.write_bytes(with_change("cit-sign", validity_days=30, renewal_days=1))
    assert refused("check", file, "--home", deployment.home).code is ErrorCode.PROFILE_INVALID
    run("check", file, "--home", tmp_path / "nowhere")
    file.write_bytes(kiosk(extended_key_usage=["any"]))
    assert refused("check", file, "--home", deployment.home).detail.startswith("profiles.kiosk.extended_key_usage: ")


def test_a_policy_file_is_written_anew_only_when_the_profiles_changed(deployment: Deployment, tmp_path: Path) -> None:
    file, now = tmp_path / "policy.json", authority_settings(SETTINGS)
    written = service_policy(now, token_settings(SETTINGS), dict.fromkeys((SERVER, WORKER, OPERATOR), os.getuid()))
    write_policy(written, file)
    file.chmod(0o640)
    deployment.profiles_file.write_bytes(with_change("clin-sign", hc_role=True, version=2))
    wider = authority_settings(deployment.settings())
    assert not follow_profile_limits(file, now)
    assert follow_profile_limits(file, wider)
    assert load_policy(file) == follow_profiles(written, wider)
    assert load_policy(file) != written
    assert file.stat().st_mode & 0o777 == 0o640
    assert not follow_profile_limits(file, wider)
    file.write_text("{")
    assert not follow_profile_limits(file, wider)
    assert file.read_text() == "{"
