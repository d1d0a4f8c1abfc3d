"""One key is certified for one holder and one purpose, whoever asks at the same instant on either engine."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import select, text

from ca.errors import KeyRefused
from ca.hierarchy import adopt
from ca.issuing.key_holders import KeyHolder, claim_keys, mark_compromised
from ca.issuing.tables import key_holders
from ca.status.revocation import RevocationReason
from storage.engine import Database, open_database
from tests.ca.conftest import Ceremony, WorldMaker
from tests.ca.world import CLERK, CLINICIAN, SETTINGS, FakeClock, World, national_code, new_csr
from tests.support.databases import DatabaseMaker

DIGESTS = tuple(bytes((n,)) * 32 for n in range(20))


def claim(digest: bytes, holder: str) -> KeyHolder:
    return KeyHolder(spki_sha256=digest, holder=holder, profile="clin-sign")


def reopened(database: Database) -> Database:
    """Another server's view of the same database."""
    return open_database(database.engine.url.set(drivername=database.dialect).render_as_string(hide_password=False))


@pytest.fixture
def pair(make_database: DatabaseMaker) -> Iterator[tuple[Database, Database]]:
    first = make_database()
    second = reopened(first)
    yield first, second
    second.close()


def test_who_comes_second_reads_whose_the_key_is(pair: tuple[Database, Database]) -> None:
    first, second = pair
    written, go_on = threading.Event(), threading.Event()

    def slow() -> dict[bytes, KeyHolder]:
        with first.begin() as unit:
            found = claim_keys(unit.connection, [claim(DIGESTS[0], "a")])
            written.set()
            assert go_on.wait(10)
        return found

    def late() -> dict[bytes, KeyHolder]:
        with second.begin() as unit:
            return claim_keys(unit.connection, [claim(DIGESTS[0], "b")])

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(slow)
        assert written.wait(10)
        other = pool.submit(late)
        threading.Event().wait(0.2)
        assert not other.done()  # it waits for what the first one will have done
        go_on.set()
        assert one.result() == other.result() == {DIGESTS[0]: claim(DIGESTS[0], "a")}


def test_claims_in_any_order_never_wait_in_a_circle(pair: tuple[Database, Database]) -> None:
    together = threading.Barrier(2)

    def take(database: Database, holder: str, digests: tuple[bytes, ...]) -> list[dict[bytes, KeyHolder]]:
        found = []
        for _ in range(10):
            together.wait()
            with database.begin() as unit:
                found.append(claim_keys(unit.connection, [claim(digest, holder) for digest in digests]))
        return found

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(take, pair[0], "a", DIGESTS)
        other = pool.submit(take, pair[1], "b", DIGESTS[::-1])
        assert one.result() == other.result()


def test_a_claim_that_is_rolled_back_holds_no_key(pair: tuple[Database, Database]) -> None:
    def claim_and_fail() -> None:
        with pair[0].begin() as unit:
            claim_keys(unit.connection, [claim(DIGESTS[0], "a")])
            raise LookupError

    with pytest.raises(LookupError):
        claim_and_fail()
    with pair[1].begin() as unit:
        assert claim_keys(unit.connection, [claim(DIGESTS[0], "b")])[DIGESTS[0]].holder == "b"


def test_two_claims_of_one_transaction_are_served_in_their_order(pair: tuple[Database, Database]) -> None:
    with pair[0].begin() as unit:
        found = claim_keys(unit.connection, [claim(DIGESTS[0], "a"), claim(DIGESTS[0], "b")])
    assert found[DIGESTS[0]].holder == "a"


def test_no_claim_asks_nothing(pair: tuple[Database, Database]) -> None:
    with pair[0].begin() as unit:
        assert claim_keys(unit.connection, []) == {}
        mark_compromised(unit.connection, "none")


def test_two_servers_never_certify_one_key_for_two_persons(
    pair: tuple[Database, Database], make_world: WorldMaker, ceremony: Ceremony
) -> None:
    adopt(pair[0], ceremony.hierarchy, SETTINGS, FakeClock(), "init")
    worlds = [make_world(database) for database in pair]
    files = [
        worlds[0].approved({**CLINICIAN, "national_code": national_code(n), "council_number": str(20_000 + n)}).id
        for n in range(2)
    ]
    together = threading.Barrier(2)

    def issue(world: World, file_id: str, csr: bytes) -> str | KeyRefused:
        together.wait()
        try:
            return world.authority.issue("clin-sign", file_id, csr, "clerk").serial_hex
        except KeyRefused as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            csr = new_csr()
            found = list(pool.map(issue, worlds, files, (csr, csr)))
            assert sorted(type(one).__name__ for one in found) == ["KeyRefused", "str"]


def test_a_key_that_was_revoked_as_compromised_is_nobodys_again(world: World) -> None:
    csr, file = new_csr(), world.approved()
    issued = world.authority.issue("clin-sign", file.id, csr, "clerk")
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    again = world.authority.issue("clin-sign", file.id, csr, "clerk")
    world.authority.revoke(again.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    with pytest.raises(KeyRefused, match="compromised"):
        world.authority.issue("clin-sign", file.id, csr, "clerk")


def test_keys_of_the_hierarchy_have_their_holders(world: World, ceremony: Ceremony) -> None:
    with world.database.read() as connection:
        held = set(connection.execute(text("SELECT holder FROM key_holders")).scalars())
    assert {made.name for made in ceremony.hierarchy.certificates} == held


def test_keys_that_were_certified_before_there_were_holders_get_theirs(world: World) -> None:
    csr, file = new_csr(), world.approved()
    first = world.authority.issue("clin-sign", file.id, csr, "clerk")
    world.authority.revoke(first.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    world.issue("hix-seal")
    with world.database.read() as connection:
        before = connection.execute(select(key_holders).order_by(key_holders.c.spki_sha256)).all()
    migration = importlib.import_module("storage.migrations.versions.0008_issuing")
    with world.database.begin() as unit:
        unit.connection.execute(text("DROP TABLE key_holders"))
        with Operations.context(MigrationContext.configure(unit.connection)):
            migration._create_key_holders()
        assert unit.connection.execute(select(key_holders).order_by(key_holders.c.spki_sha256)).all() == before
    with pytest.raises(KeyRefused, match="compromised"):
        world.authority.issue("clin-sign", file.id, csr, "clerk")
