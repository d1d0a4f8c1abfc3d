from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ca.evidence.store import KEPT
from ca.profiles import HolderKind
from pki.errors import InvalidInput
from tests.support.deployment import SETTINGS
from webapp.deployment import Deployment
from webapp.registration_settings import RegistrationSettings, read_registration_settings

STRICT = RegistrationSettings(
    evidence_required=frozenset({HolderKind.CLINICIAN, HolderKind.CENTRE}),
    province_required=frozenset({HolderKind.CITIZEN}),
    evidence_days=30,
)


def test_what_a_deployer_asks_for_is_written_and_read_again(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(replace(SETTINGS, registration=STRICT))
    assert deployment.settings().registration == STRICT
    assert STRICT.evidence_kept == timedelta(days=30)


def test_a_deployer_who_says_nothing_asks_for_nothing(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(SETTINGS)
    assert "registration" not in deployment.settings_file.read_text()
    assert deployment.settings().registration == RegistrationSettings()
    assert RegistrationSettings().evidence_kept == KEPT


@pytest.mark.parametrize(
    "table",
    [
        [],
        {"evidence": []},
        {"evidence_required": "clinician"},
        {"evidence_required": ["doctor"]},
        {"evidence_required": [1]},
        {"evidence_required": [["clinician"]]},
        {"province_required": ["system"]},
        {"province_required": ["officer"]},
        {"evidence_days": True},
        {"evidence_days": -1},
        {"evidence_days": 36_501},
        {"evidence_days": "90"},
    ],
)
def test_anything_else_is_refused(table: Any) -> None:
    with pytest.raises(InvalidInput, match=r"mohr\.toml: `registration"):
        read_registration_settings(table)
