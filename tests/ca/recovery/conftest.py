"""Deployments that lose their databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.engine import Database
from tests.ca.conftest import WorldMaker
from tests.ca.recovery.site import Site


@pytest.fixture
def site(sqlite_database: Database, make_world: WorldMaker, tmp_path: Path) -> Iterator[Site]:
    """A deployment on SQLite whose ledger is followed on disk."""
    with closing(Site(world=make_world(sqlite_database), folder=tmp_path)) as made:
        yield made
