"""When holders are reminded is the deployer's: read from mohr.toml, written back, refused where it is no days."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ca.notices import REMINDER_DAYS
from pki.errors import ErrorCode, InvalidInput
from tests.support.deployment import SETTINGS
from webapp.deployment import Deployment


def test_without_a_word_it_is_three_times(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(SETTINGS)
    assert deployment.settings().reminder_days == REMINDER_DAYS
    assert "reminder_days" not in deployment.settings_file.read_text()


def test_other_days_are_read_back(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(replace(SETTINGS, reminder_days=(60, 14)))
    assert deployment.settings().reminder_days == (60, 14)


def test_days_are_put_in_order(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(replace(SETTINGS, reminder_days=(7, 60)))
    assert deployment.settings().reminder_days == (60, 7)


@pytest.mark.parametrize("days", ['"90"', "[]", "[true]", "[7, 7]", "[0]", "[400]", "[1.5]", '["7"]'])
def test_what_is_no_days_is_refused(tmp_path: Path, days: str) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(SETTINGS)
    text = deployment.settings_file.read_text()
    deployment.settings_file.write_text(f"reminder_days = {days}\n{text}")
    with pytest.raises(InvalidInput) as refusal:
        deployment.settings()
    assert refusal.value.code is ErrorCode.INPUT_MALFORMED
