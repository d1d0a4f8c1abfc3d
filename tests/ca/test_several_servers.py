"""Several servers over one database at once, on both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ca.errors import CrlRegression
from ca.status.crl import PublishedCrl
from storage.engine import Database
from tests.ca.conftest import WorldMaker
from tests.ca.world import World, new_csr


def test_servers_issue_at_once(world: World, make_world: WorldMaker, database: Database) -> None:
    file = world.approved()
    servers = [make_world(database) for _ in range(3)]

    def issue(server: World) -> set[str]:
        return {server.authority.issue("clin-sign", file.id, new_csr(), "clerk").serial_hex for _ in range(5)}

    with ThreadPoolExecutor(3) as pool:
        serials = set().union(*pool.map(issue, servers))
    assert len(serials) == 15


def test_two_servers_never_publish_one_number(world: World, make_world: WorldMaker, database: Database) -> None:
    servers = [make_world(database) for _ in range(4)]

    def publish(server: World) -> PublishedCrl | CrlRegression:
        try:
            return server.authority.publish_crl("systems", 2)
        except CrlRegression as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(publish, servers))
    numbers = [item.number for item in found if isinstance(item, PublishedCrl)]
    assert numbers
    assert len(set(numbers)) == len(numbers)
    latest = world.authority.latest_crl("systems", 2)
    assert latest is not None
    assert latest.number == max(numbers)
