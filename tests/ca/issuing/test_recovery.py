"""What a crash leaves: every intent of the dead is listed at once, what is under way is left alone."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from ca.hierarchy import adopt
from ca.issuing.orders import IssueOrder
from ca.issuing.tables import servers
from ca.status.revocation import CertificateState
from storage.engine import Database
from tests.ca.conftest import Ceremony, WorldMaker
from tests.ca.issuing.faults import Killed, Server
from tests.ca.world import SETTINGS, FakeClock, World, new_csr
from tests.support.databases import DatabaseMaker


@pytest.fixture
def both(make_database: DatabaseMaker, make_world: WorldMaker, ceremony: Ceremony) -> World:
    """A deployment, on one engine and then on the other."""
    database = make_database()
    adopt(database, ceremony.hierarchy, SETTINGS, FakeClock(), "init")
    return make_world(database)


def known_servers(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(servers.c.id)).scalars())


def killed(server: Server, world: World, count: int = 1) -> set[str]:
    """Have a server die with intents."""
    file, before = world.approved(), set(intents(world))
    server.keys.fault = Killed()
    with pytest.raises(Killed):
        server.line._finish(
            server.line._prepare_all(
                [IssueOrder(profile="clin-sign", file_id=file.id, csr=new_csr(), actor="clerk") for _ in range(count)]
            )
        )
    return set(intents(world)) - before


def intents(world: World) -> list[str]:
    found = world.authority.certificates(state=CertificateState.INTENDED, limit=1000)
    return [record.serial_hex for record in found]


def test_intents_of_the_dead_are_listed_at_once_and_those_of_the_living_are_left(both: World) -> None:
    dead, living = Server(both), Server(both)
    left, under_way = killed(dead, both, 3), killed(living, both, 2)
    assert len(left) == 3
    assert both.recovery.reconcile() == ()
    dead.die()
    assert set(both.recovery.reconcile()) == left
    assert both.recovery.reconcile() == ()
    assert set(intents(both)) == under_way
    both.clock.move(minutes=6)
    assert set(both.recovery.reconcile()) == under_way  # a server that lives, and has waited too long
    living.die()


def test_dead_servers_are_forgotten_and_living_ones_are_not(both: World) -> None:
    dead, living = Server(both), Server(both)
    for server in (dead, living):
        killed(server, both)
    assert len(known_servers(both.database)) == 2
    dead.die()
    both.recovery.reconcile()
    assert known_servers(both.database) == {living.line._carry_out._presence.confirm()}
    living.die()


def test_more_intents_than_a_page_are_all_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Server(world)
    left = killed(dead, world, 5)
    dead.die()
    monkeypatch.setattr("ca.certificate_queries.MAX_PAGE", 2)
    assert set(world.recovery.reconcile()) == left


def test_two_that_recover_at_once_list_each_intent_once(both: World) -> None:
    dead = Server(both)
    left = killed(dead, both, 4)
    dead.die()
    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(lambda _number: both.recovery.reconcile(), range(2))
    assert sorted((*first, *other)) == sorted(left)


KILL = """
import os, sys
from ca.issuing.line import IssuingLine
from ca.issuing.orders import IssueOrder
from storage.engine import open_database
from tests.ca.world import FakeClock, SETTINGS, new_csr

class Keys:
    def signing_key(self, label):
        os.kill(os.getpid(), 9)

line = IssuingLine(open_database(sys.argv[1]), Keys(), SETTINGS, FakeClock())
line.issue(IssueOrder(profile="clin-sign", file_id=sys.argv[2], csr=bytes.fromhex(sys.argv[3]), actor="clerk",
                      idempotency_key="once"))
"""


def test_a_retry_after_a_real_kill_makes_exactly_one_certificate(both: World) -> None:
    file, csr = both.approved(), new_csr()
    url = both.database.engine.url.set(drivername=both.database.dialect).render_as_string(hide_password=False)
    ended = subprocess.run(
        [sys.executable, "-c", KILL, url, file.id, csr.hex()], cwd=Path(__file__).parents[3], check=False, timeout=60
    )
    assert ended.returncode == -9
    wanted = IssueOrder(profile="clin-sign", file_id=file.id, csr=csr, actor="clerk", idempotency_key="once")
    (left,) = intents(both)
    server = Server(both)
    issued = server.line.issue(wanted)
    assert server.line.issue(wanted).serial_hex == issued.serial_hex
    states = {record.serial_hex: record.state for record in both.authority.certificates(file_id=file.id)}
    assert states == {left: CertificateState.ABANDONED, issued.serial_hex: CertificateState.ISSUED}
    server.die()
