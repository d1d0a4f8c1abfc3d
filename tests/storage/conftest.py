"""What the tests of this room share."""

from __future__ import annotations

import pytest

from storage.engine import Database
from tests.support.databases import DatabaseMaker


@pytest.fixture
def database(make_database: DatabaseMaker) -> Database:
    """A migrated, empty database, on one engine and then on the other."""
    return make_database()
