"""The workplace of every test of the agent's commands."""

from pathlib import Path

import pytest

from tests.desk.workplace import Workplace


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A reader with a personalised card, reached by the agent's own commands."""
    workplace = Workplace(tmp_path)
    monkeypatch.setattr("desk.cards.PcscReaders", lambda: workplace)
    return workplace
