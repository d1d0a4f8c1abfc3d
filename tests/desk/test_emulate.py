from pathlib import Path

import pytest

from desk.cli import agent
from tests.support.programs import run_here


@pytest.mark.parametrize("pins", ["", "135790\n", "135790\n2468\n1\n", "1\n2\n", "\x00\xff"])
def test_an_emulated_card_needs_two_proper_pins(tmp_path: Path, pins: str) -> None:
    (tmp_path / "pins").write_text(pins)
    ended = run_here(agent, "emulate", "--folder", str(tmp_path / "c"), "--initial-pins", str(tmp_path / "pins"))
    assert ended.status == 1
    assert ended.code in ("pin-format", "input-empty")
    assert not (tmp_path / "c" / "card.json").exists()


@pytest.mark.parametrize("folder", ["file/below", "n" * 300])
def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    ended = run_here(agent, "emulate", "--folder", str(tmp_path / folder))
    assert (ended.status, ended.code) == (1, "file-unwritable")


def test_a_state_file_that_is_no_card_says_so(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{}")
    ended = run_here(agent, "emulate", "--folder", str(tmp_path))
    assert ended.status in (1, 2)
    assert ended.code in ("card-unsupported", "reader-service-down")
    assert (tmp_path / "card.json").read_text() == "{}"
