"""The line: threads share commits and round trips, and nobody suffers from a neighbour."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from ca.issuing.carrying_out import MAX_ROUND
from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.status.revocation import CertificateState
from ca.tables import certificates
from hsm.errors import HsmUnavailable, PurposeRefused
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.csr import parse_csr
from pki.errors import ErrorCode, ServiceError
from pki.keys import PublicKey, SigningKey
from tests.ca.issuing.faults import FaultyKeys, Server
from tests.ca.test_registration_desk import actions
from tests.ca.world import CENTRE, World, new_csr


def order(file_id: str, profile: str = "clin-sign", csr: bytes | None = None) -> IssueOrder:
    return IssueOrder(profile=profile, file_id=file_id, csr=csr or new_csr(), actor="clerk", channel=Channel.API)


def code(outcome: Issued | ServiceError) -> ErrorCode | None:
    return outcome.code if isinstance(outcome, ServiceError) else None


class SlowFirst(FaultyKeys):
    """Waits at the first signature until it is let go."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.signing, self.go_on = threading.Event(), threading.Event()

    def signing_key(self, label: str) -> SigningKey:
        if not self.signing.is_set():
            self.signing.set()
            assert self.go_on.wait(60)
        return super().signing_key(label)


def test_orders_that_wait_share_one_round_trip(world: World) -> None:
    server, keys = Server(world), SlowFirst(world)
    server.line._carry_out._keys = keys
    file = world.approved()
    orders = [order(file.id) for _ in range(9)]
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(server.line.issue, orders[0])
        assert keys.signing.wait(60)
        others = [pool.submit(server.line.issue, one) for one in orders[1:]]
        while len(server.line._carrying._waiting) < len(others):  # linted and ready while the first one is signed
            threading.Event().wait(0.001)
        keys.go_on.set()
        issued = [one.result() for one in (first, *others)]
    assert len({one.serial_hex for one in issued}) == 9
    assert keys.trips == [8]


def test_a_refused_neighbour_hurts_nobody(world: World) -> None:
    server, file, waiting = Server(world), world.approved(), world.submitted()
    orders = [order(file.id), order(waiting.id), order(file.id, csr=b"x"), order("nothing"), order(file.id, "none")]
    together = threading.Barrier(len(orders))

    def give(one: IssueOrder) -> ErrorCode | None:
        together.wait()
        try:
            return code(server.line.issue(one))
        except ServiceError as error:
            return error.code

    with ThreadPoolExecutor(len(orders)) as pool:
        found = list(pool.map(give, orders))
    assert found == [
        None,
        ErrorCode.NOT_APPROVED,
        ErrorCode.CSR_MALFORMED,
        ErrorCode.NOT_FOUND,
        ErrorCode.PROFILE_UNKNOWN,
    ]


class RefusingKey:
    """Signs nothing that holds certain octets."""

    def __init__(self, key: SigningKey, refused: bytes) -> None:
        self._key, self._refused = key, refused
        self.algorithm = key.algorithm

    def public_key(self) -> PublicKey:
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        if self._refused in message:
            raise PurposeRefused("not this one")
        return self._key.sign(message)


class RefusesOne(FaultyKeys):
    """A device whose keys refuse one public key's certificate, and any batch with it."""

    refused = b""

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        if any(self.refused in message for message in messages):
            raise PurposeRefused("not this one")
        return super().sign_many(label, messages)

    def signing_key(self, label: str) -> SigningKey:
        return RefusingKey(super().signing_key(label), self.refused)


def test_what_the_device_refuses_takes_nobody_with_it(world: World) -> None:
    server, keys, file = Server(world), RefusesOne(world), world.approved()
    server.line._carry_out._keys = keys
    csrs = [new_csr() for _ in range(4)]
    keys.refused = parse_csr(csrs[2]).spki_der
    found = list(server.line.issue_many([order(file.id, csr=csr) for csr in csrs]))
    assert [code(one) for one in found] == [None, None, ErrorCode.HSM_PURPOSE_REFUSED, None]
    states = [record.state for record in world.authority.certificates(file_id=file.id)]
    assert sorted(states) == ["abandoned", "issued", "issued", "issued"]


def test_an_authority_whose_key_is_away_holds_no_other_up(world: World) -> None:
    server, person, centre = Server(world), world.approved(), world.approved(CENTRE)
    server.keys.fault = HsmUnavailable("gone")  # for the first that is asked for
    found = list(server.line.issue_many([order(person.id), order(centre.id, "hix-seal")]))
    assert [code(one) for one in found] == [ErrorCode.HSM_UNAVAILABLE, None]


def test_many_orders_are_answered_in_their_own_sequence_over_rounds(world: World) -> None:
    server, file = Server(world), world.approved()
    csr, bad = new_csr(), order("nothing")
    orders = [bad] * (MAX_ROUND - 1) + [order(file.id, csr=csr)] + [bad] * MAX_ROUND + [order(file.id)]
    found = list(server.line.issue_many(orders))
    assert [number for number, one in enumerate(found) if isinstance(one, Issued)] == [MAX_ROUND - 1, 2 * MAX_ROUND]
    assert len(found) == len(orders)


def test_a_reader_who_stops_early_leaves_nothing_open(world: World) -> None:
    server, file = Server(world), world.approved()
    outcomes = server.line.issue_many(order(file.id) for _ in range(MAX_ROUND + 2))
    assert isinstance(next(outcomes), Issued)
    outcomes.close()  # type: ignore[attr-defined]  # a generator
    states = {record.state for record in world.authority.certificates(file_id=file.id, limit=1000)}
    assert states == {CertificateState.ISSUED}


def test_a_database_that_is_away_refuses_all_and_what_was_begun_is_abandoned_when_it_is_back(world: World) -> None:
    server, file = Server(world), world.approved()
    server.database.refuse = 1
    (outcome,) = server.line.issue_many([order(file.id)])
    assert code(outcome) is ErrorCode.DATABASE_UNAVAILABLE
    (record,) = world.authority.certificates(file_id=file.id)
    assert record.state is CertificateState.INTENDED
    server.database.refuse = None
    server.line.issue(order(file.id))
    assert world.authority.get(record.serial_hex).state is CertificateState.ABANDONED
    assert actions(world.database, record.serial_hex)[AuditAction.CERTIFICATE_ABANDONED] == 1


def test_an_intent_says_by_which_server_and_way_and_with_which_others_it_is_signed(world: World) -> None:
    server, file, centre = Server(world), world.approved(), world.approved(CENTRE)
    found = list(server.line.issue_many([order(file.id), order(centre.id, "hix-seal"), order(file.id)]))
    c = certificates.c
    with world.database.read() as connection:
        rows = {
            row.serial: row
            for row in connection.execute(
                select(c.serial, c.server, c.channel, c.sign_group, c.sign_position, c.tbs_sha256).where(
                    c.server.is_not(None)
                )
            )
        }
    first, other, second = (rows[one.serial_hex] for one in found if isinstance(one, Issued))
    assert {row.channel for row in rows.values()} == {"api"}
    assert {row.server for row in rows.values()} == {server.line._carry_out._presence.confirm()}
    assert first.sign_group == second.sign_group != other.sign_group
    assert (first.sign_position, second.sign_position, other.sign_position) == (0, 1, 0)
    issued = found[0]
    assert isinstance(issued, Issued)
    assert sha256(Certificate.parse(issued.der).tbs).digest() == first.tbs_sha256


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_every_order_gets_exactly_one_outcome(sizes: list[int], world: World) -> None:
    server = Server(world)
    file = world.authority.files(limit=1) or (world.approved(),)
    for size in sizes:
        found = list(server.line.issue_many([order(file[0].id) for _ in range(size)]))
        assert len({one.serial_hex for one in found if isinstance(one, Issued)}) == size
    server.die()
