"""The authority's transactions on the other engine: races, batches, status, numbers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.x509 import ocsp
from sqlalchemy import text

from ca import certificate_queries
from ca.errors import CrlRegression, FourEyesRequired, IllegalTransition
from ca.hierarchy import adopt
from ca.issuing.endings import revoke_on_record
from ca.issuing.orders import Issued, IssueOrder
from ca.registration import FileState
from ca.service import CertificateAuthority
from ca.status.crl import PublishedCrl
from ca.status.revocation import CertificateState, RevocationReason
from hsm.errors import HsmUnavailable
from pki.certificates import Certificate
from pki.errors import Unavailable
from storage.engine import Database, open_database
from storage.migrate import upgrade
from tests.ca.conftest import Ceremony, WorldMaker
from tests.ca.test_issuing_faults import DyingKeys
from tests.ca.test_registration_desk import given_to, outcomes
from tests.ca.world import CLERK, FILE_PROFILES, FIRST, SECOND, SETTINGS, THIRD, FakeClock, World, new_csr
from tests.storage import postgres

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def postgresql(ceremony: Ceremony) -> Iterator[Database]:
    """One PostgreSQL database with the session's hierarchy."""
    programs = postgres.find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed, or refuses this user")
    with postgres.running_server(programs) as folder:
        postgres.execute(folder, "CREATE DATABASE authority")
        database = open_database(postgres.url_of(folder, "authority"))
        upgrade(database)
        adopt(database, ceremony.hierarchy, SETTINGS, FakeClock(), "init")
        yield database
        database.close()


@pytest.fixture
def world(postgresql: Database, make_world: WorldMaker) -> World:
    return make_world(postgresql)


def test_a_revocation_is_not_overwritten_by_the_end_that_waited_for_it(world: World) -> None:
    issued = world.issue()
    world.clock.time = Certificate.parse(issued.der).not_after + timedelta(seconds=1)
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as unit:
            record = certificate_queries.find(unit.connection, issued.serial_hex, locked=True)
            assert record is not None
            revoke_on_record(unit, record, RevocationReason.KEY_COMPROMISE, "clerk", world.clock.now())
            swept = pool.submit(world.authority.expire)
            wait_for_a_lock(world.database)
        swept.result(timeout=30)
    assert world.authority.get(issued.serial_hex).state is CertificateState.REVOKED


def wait_for_a_lock(database: Database) -> None:
    """Return when somebody waits for a row of an open transaction."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while True:
        with database.read() as connection:
            if connection.execute(waiting).scalar_one():
                return


def test_officers_who_press_at_once_are_counted_one_by_one(world: World) -> None:
    for _ in range(5):
        file = world.submitted()
        found = outcomes(world, file, [FIRST, SECOND, THIRD])
        assert sorted(str(item) for item in found if isinstance(item, FileState)) == ["approved", "submitted"]
        assert sum(isinstance(item, IllegalTransition) for item in found) == 1
        assert given_to(world, file) == 2


def test_one_officer_who_presses_twice_at_once_counts_once(world: World) -> None:
    file = world.submitted()
    found = outcomes(world, file, [FIRST, FIRST])
    assert sum(isinstance(item, FourEyesRequired) for item in found) == 1
    assert given_to(world, file) == 1


@pytest.mark.parametrize("profile", FILE_PROFILES)
def test_every_profile_is_issued(profile: str, world: World) -> None:
    issued = world.issue(profile)
    record = world.authority.get(issued.serial_hex)
    assert (record.state, record.der) == (CertificateState.GOOD, issued.der)
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD


def test_a_batch_is_recorded(world: World) -> None:
    file = world.approved()
    requests = [IssueOrder(actor="clerk", profile="clin-sign", file_id=file.id, csr=new_csr()) for _ in range(30)]
    outcome = tuple(world.authority.line.issue_many(requests))
    assert all(isinstance(one, Issued) for one in outcome)
    assert len(world.authority.certificates(file_id=file.id)) == 30
    assert world.authority.presign() >= 30


def test_servers_issue_at_once(world: World, make_world: WorldMaker, postgresql: Database) -> None:
    file = world.approved()
    servers = [make_world(postgresql) for _ in range(3)]

    def issue(server: World) -> set[str]:
        return {server.authority.issue("clin-sign", file.id, new_csr(), "clerk").serial_hex for _ in range(5)}

    with ThreadPoolExecutor(3) as pool:
        serials = set().union(*pool.map(issue, servers))
    assert len(serials) == 15


def test_a_fault_of_the_device_leaves_an_abandoned_intent(world: World) -> None:
    keys = DyingKeys(HsmUnavailable("gone"))
    dying = CertificateAuthority(world.database, keys, SETTINGS, world.clock)  # type: ignore[arg-type]  # has what is used
    file = world.approved()
    with pytest.raises(Unavailable):
        dying.issue("clin-sign", file.id, new_csr(), "clerk")
    (record,) = world.authority.certificates(file_id=file.id)
    assert record.state is CertificateState.ABANDONED


def test_status_is_felt(world: World) -> None:
    issued = world.issue("hix-tls")
    world.authority.hold(issued.serial_hex, CLERK)
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.REVOKED
    world.authority.unhold(issued.serial_hex, CLERK)
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD
    record = world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert world.authority.publish_crl("institutions", record.shard).entries >= 1
    assert world.authority.expire() == 0


def test_two_servers_never_publish_one_number(world: World, make_world: WorldMaker, postgresql: Database) -> None:
    servers = [make_world(postgresql) for _ in range(4)]

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
