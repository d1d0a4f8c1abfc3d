"""What acts on status are tested with: a desk of suspension codes that is quick, over the authority's deployment."""

from __future__ import annotations

import pytest

from ca.status.acts.suspension import SuspensionDesk
from tests.ca.world import World
from tests.support.officers import EveryOfficer


@pytest.fixture
def suspension(world: World) -> SuspensionDesk:
    return SuspensionDesk(world.database, world.authority, EveryOfficer(), world.postbox, world.clock, cost=2)
