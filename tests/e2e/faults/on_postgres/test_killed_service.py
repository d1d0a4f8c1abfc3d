"""Programs of a deployment on PostgreSQL are killed at random moments while officers order and approve over HTTP."""

from __future__ import annotations

import pytest

from tests.e2e.faults.conftest import OnPostgres
from tests.e2e.faults.kills import killed_at_work

pytestmark = pytest.mark.real
KILLS = 100


@pytest.mark.stress
def test_what_is_killed_leaves_nothing_half_done(on_postgres: OnPostgres) -> None:
    killed_at_work(on_postgres, KILLS)
