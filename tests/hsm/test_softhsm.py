import subprocess
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import ConfigurationInvalid
from hsm.softhsm import create_softhsm_token, find_module

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed"),
]


def test_a_token_is_made_with_its_own_random_pins_in_a_private_folder(tmp_path: Path) -> None:
    token = create_softhsm_token(tmp_path / "token", "mohr-root")
    assert len({token.pin.reveal(), token.so_pin.reveal()}) == 2
    assert len(token.pin.reveal()) >= 16
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o700
    listed = subprocess.run(
        ["softhsm2-util", "--show-slots"], env=token.environment, capture_output=True, text=True, check=True
    )
    assert "mohr-root" in listed.stdout


def test_the_pins_are_in_no_command_line_and_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    run = subprocess.run

    def watched(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        seen.append(f"{command} {options['env']}")
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    token = create_softhsm_token(tmp_path / "token", "mohr-root")
    assert len(seen) == 1
    assert token.pin.reveal() not in seen[0]
    assert token.so_pin.reveal() not in seen[0]
    assert token.pin.reveal() not in repr(token)


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid):
        create_softhsm_token(tmp_path, "mohr-root")


@pytest.mark.parametrize("label", ["", "a" * 33])
def test_a_label_that_no_token_can_have_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        create_softhsm_token(tmp_path / "token", label)
