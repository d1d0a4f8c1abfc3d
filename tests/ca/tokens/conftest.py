"""An exchange for each test, copied from one ceremony."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.exchange import Centre, Ceremony, Exchange


@pytest.fixture(scope="session")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Ceremony:
    return Ceremony.hold(tmp_path_factory.mktemp("ceremony"))


@pytest.fixture
def exchange(ceremony: Ceremony, tmp_path: Path) -> Iterator[Exchange]:
    found = Exchange.copy(ceremony, tmp_path)
    yield found
    found.database.close()


@pytest.fixture
def clinic(exchange: Exchange) -> Centre:
    """A centre in order."""
    return exchange.centre()
