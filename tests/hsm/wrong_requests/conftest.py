from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hsm.wrong_requests.judged import SAID, Judged, Peer, make_judged
from tests.support.softhsm import CustodianHome

PRIVATE_KEY = re.compile(rb"PRIVATE KEY|MIGHAgEAMBMG|\x04\x6d\x30\x6b\x02\x01\x01\x04\x20")  # PEM; PKCS #8

Dial = Callable[..., Peer]


@pytest.fixture(scope="session")
def made(custodian_factory: Callable[[], CustodianHome]) -> Iterator[list[CustodianHome]]:
    """Remember every home of this suite; in the end nothing that any of them wrote or said holds a secret."""
    homes: list[CustodianHome] = []
    yield homes
    for home in homes:
        home.process.stop()
        written = [*home.folder.glob("*.log"), *home.folder.glob("journal/**/*"), home.config_path]
        written += [*home.folder.glob("*.json*"), *home.folder.glob("marks/*")]
        for path in filter(Path.is_file, written):
            check_no_secret(path.read_bytes(), home.pin, str(path))
        check_no_secret("\n".join(SAID).encode(), home.pin, "an error's text")


def check_no_secret(octets: bytes, pin: str, where: str) -> None:
    assert pin.encode() not in octets, f"the PIN is in {where}"
    assert pin.encode().hex().encode() not in octets, f"the PIN is in {where}"
    assert not PRIVATE_KEY.search(octets), f"a private key is in {where}"


@pytest.fixture(scope="session")
def factory(custodian_factory: Callable[[], CustodianHome], made: list[CustodianHome]) -> Callable[[], CustodianHome]:
    """Make homes whose writings are searched for secrets in the end."""

    def make() -> CustodianHome:
        made.append(custodian_factory())
        return made[-1]

    return make


@pytest.fixture(scope="session")
def judged(factory: Callable[[], CustodianHome]) -> Judged:
    """Return a running custodian under a strict policy. Every refusal by it is awaited in its journal; no floods."""
    return make_judged(factory)


@pytest.fixture(scope="session")
def besieged(factory: Callable[[], CustodianHome]) -> Judged:
    """Return another one, for floods."""
    return make_judged(factory)


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connect to a custodian; the connections end with the test."""
    peers: list[Peer] = []

    def connect(judged: Judged, role: str = "operator", index: int = 0) -> Peer:
        peers.append(Peer(judged.home.socket_path(role, index)))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()
