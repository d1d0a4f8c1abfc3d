"""A device of the session's OpenBao server."""

import os
from collections.abc import Iterator

import pytest

from hsm.vault import TransitDevice
from tests.hsm.transit.bench import Bench
from tests.support.openbao import BaoRole, BaoServer


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for device in made.devices:
        device.close()


@pytest.fixture(scope="module")
def role(bao_server: BaoServer) -> BaoRole:
    return bao_server.approle()


@pytest.fixture
def device(bao: BaoServer, role: BaoRole, bench: Bench) -> TransitDevice:
    return bench.opened(role.settings)


@pytest.fixture
def key(bao: BaoServer) -> bytes:
    """The reference of the first version of a P-256 key made for this test."""
    name = f"key-{os.urandom(4).hex()}"
    bao.make_key(name)
    return f"{name}:1".encode()
