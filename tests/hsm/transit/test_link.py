"""Transit keys over the device link: in a device process of their own, as a custodian uses them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from hsm.device.child import DeviceOrder
from hsm.device.link import DeviceLink
from hsm.errors import HsmUnavailable, PinIncorrect
from hsm.private_files import write_private
from hsm.transit.settings import TransitSettings
from pki.keys import SignatureAlgorithm
from tests.hsm.transit.bench import DIGEST, ES256
from tests.support.device_links import Owner
from tests.support.hung import go_on, hang
from tests.support.openbao import BaoRole, BaoServer

pytestmark = pytest.mark.real


@dataclass
class Links:
    """Links that are closed when the test ends."""

    role: BaoRole
    made: list[DeviceLink] = field(default_factory=list)

    def owner(self, settings: TransitSettings) -> Owner:
        order = DeviceOrder(device=settings.member(), pin={}, tries_file=self.role.folder / "tries", pin_tries=2)
        self.made.append(DeviceLink(order, time.monotonic))
        return Owner(self.made[-1])


@pytest.fixture
def links(role: BaoRole) -> Iterator[Links]:
    made = Links(role)
    yield made
    for link in made.made:
        link.close()


@pytest.fixture
def owner(bao: BaoServer, links: Links) -> Owner:
    opened = links.owner(links.role.settings)
    opened.open()
    return opened


def sign(owner: Owner, key: bytes, count: int = 1) -> Callable[..., None]:
    return partial(owner.link.sign, key, ES256, [DIGEST] * count)


def test_a_key_is_made_and_signs_over_the_link(owner: Owner) -> None:
    made = owner.value(partial(owner.link.generate, "linked", SignatureAlgorithm.PS256, 3072))
    assert isinstance(made, tuple)
    reference, spki = made
    assert owner.value(partial(owner.link.public_key, reference, SignatureAlgorithm.PS256)) == spki
    said = owner.value(partial(owner.link.attributes, reference))
    assert isinstance(said, dict)
    assert said["never_extractable"] is True
    values = owner.value(partial(owner.link.sign, reference, SignatureAlgorithm.PS256, [DIGEST] * 3))
    assert isinstance(values, list)
    assert [len(value) for value in values] == [384] * 3


def test_a_large_call_is_one_answer(owner: Owner, key: bytes) -> None:
    values = owner.value(sign(owner, key, 150))
    assert isinstance(values, list)
    assert len(set(values)) == 150


@pytest.mark.parametrize("fault", ["sealed", "killed", "stopped"])
def test_a_server_that_goes_is_told_at_once_and_found_again_when_it_returns(
    bao: BaoServer, owner: Owner, key: bytes, fault: str
) -> None:
    assert bao.process is not None
    process = bao.process
    faults: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "sealed": (bao.seal, bao.unseal),
        "killed": (bao.kill, bao.restart),
        "stopped": (partial(hang, process.pid), partial(go_on, process.pid)),
    }
    go, come = faults[fault]
    owner.value(sign(owner, key))
    go()
    try:
        for _ in range(3):
            began = time.monotonic()
            assert isinstance(owner.error(sign(owner, key)), HsmUnavailable)
            assert time.monotonic() - began < 30
        assert not owner.link.available
    finally:
        come()
    returned = time.monotonic()
    owner.run_until(lambda: owner.link.available)
    owner.value(sign(owner, key))
    assert time.monotonic() - returned < 60


def test_a_wrong_secret_ends_the_trying(bao: BaoServer, links: Links) -> None:
    role = bao.approle()
    write_private(role.folder / "secret-id", b"wrong")
    owner = links.owner(role.settings)
    owner.open()
    assert isinstance(owner.link.fatal, PinIncorrect)


def test_a_server_that_is_sealed_at_the_start_is_waited_for(bao: BaoServer, links: Links, key: bytes) -> None:
    bao.seal()
    owner = links.owner(links.role.settings)
    owner.link.open()
    owner.run_until(lambda: "sealed" in owner.link.reason)
    bao.unseal()
    owner.run_until(lambda: owner.link.available)
    owner.value(sign(owner, key))
