"""Programs of a served deployment are killed at random moments while officers order and approve over HTTP."""

from __future__ import annotations

import pytest

from tests.e2e.faults.conftest import OnSmallDisk
from tests.e2e.faults.kills import killed_at_work

pytestmark = pytest.mark.real
FEW, MANY = 5, 1000


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.stress)], ids=["few", "many"])
def test_what_is_killed_leaves_nothing_half_done(on_small_disk: OnSmallDisk, kills: int) -> None:
    killed_at_work(on_small_disk, kills)
