from __future__ import annotations

import pytest

from ca.registration_terms import RegistrationTerms
from ca.registries.answers import Source
from ca.registries.ports import Registries
from tests.ca.issuing.office import Office
from tests.ca.registration.conftest import Told
from tests.ca.world import World


@pytest.fixture
def office(world: World) -> Office:
    """A deployment whose councils and licence registry say what a test tells them."""
    told = {source: Told(source) for source in Source}
    registries = Registries(**{source.value: told[source] for source in (Source.COUNCIL, Source.LICENCE)})
    return Office(world=world, told=told, terms=RegistrationTerms(registries=registries))
