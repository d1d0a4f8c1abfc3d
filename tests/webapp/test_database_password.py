from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pki.errors import InvalidInput, Unavailable
from tests.webapp.test_deployment import SETTINGS
from webapp.database_password import read_password, with_password, without_password
from webapp.deployment import Deployment


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("postgresql://mohr:p%40ss%2Fword@db.example:5433/mohr", "postgresql://mohr@db.example:5433/mohr", "p@ss/word"),
        ("postgresql://mohr:x@/mohr?host=/run/pg", "postgresql://mohr@/mohr?host=/run/pg", "x"),
    ],
)
def test_a_password_is_taken_out_of_a_url_and_put_back(url: str, bare: str, password: str) -> None:
    assert without_password(url) == (bare, password)
    assert with_password(bare, password) == url


@pytest.mark.parametrize("url", ["postgresql://mohr@db/mohr", "postgresql:///mohr", "sqlite:////data/mohr.db"])
def test_a_url_without_a_password_stays_as_it_is(url: str) -> None:
    assert without_password(url) == (url, None)
    assert with_password(url, None) == url


def test_a_deployer_who_wrote_the_password_into_the_settings_is_heard() -> None:
    assert with_password("postgresql://mohr:own@db/mohr", "kept") == "postgresql://mohr:own@db/mohr"


def test_a_malformed_url_is_refused() -> None:
    with pytest.raises(InvalidInput):
        without_password("postgresql://mohr:x@[::1/mohr")


def test_the_kept_password_reaches_the_database_and_no_settings_file(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.create_folders()
    settings = dataclasses.replace(SETTINGS, database_url="postgresql://mohr@db/mohr")
    deployment.write_settings(settings)
    deployment.database_password.write_text("kept-apart\n")
    assert deployment.database_url(settings) == "postgresql://mohr:kept-apart@db/mohr"
    assert "kept-apart" not in deployment.settings_file.read_text()


def test_a_password_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        read_password(tmp_path)
