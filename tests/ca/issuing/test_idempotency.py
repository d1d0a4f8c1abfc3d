"""Orders that come twice: whatever fails in between, one key of one actor makes one certificate."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ca.hierarchy import adopt
from ca.issuing import carrying_out
from ca.issuing.orders import Issued, IssueOrder
from ca.status.revocation import CertificateState, RevocationReason
from hsm.errors import HsmUnavailable
from pki.audit import AuditAction
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, ServiceError, Unavailable
from tests.ca.conftest import Ceremony, WorldMaker
from tests.ca.issuing.faults import Killed, Server
from tests.ca.test_registration_desk import actions
from tests.ca.world import CLERK, FIRST, SETTINGS, FakeClock, World, new_csr
from tests.support.databases import DatabaseMaker

CSRS = tuple(new_csr() for _ in range(3))


@pytest.fixture
def both(make_database: DatabaseMaker, make_world: WorldMaker, ceremony: Ceremony) -> Iterator[World]:
    """A deployment, on one engine and then on the other."""
    database = make_database()
    adopt(database, ceremony.hierarchy, SETTINGS, FakeClock(), "init")
    yield make_world(database)
    database.close()


def order(world: World, csr: bytes = CSRS[0], *, key: str | None = "k1", actor: str = "clerk") -> IssueOrder:
    files = world.authority.files(limit=1)
    file = files[0] if files else world.approved()
    return IssueOrder(profile="clin-sign", file_id=file.id, csr=csr, actor=actor, idempotency_key=key)


def refused(server: Server, wanted: IssueOrder) -> ErrorCode:
    with pytest.raises(ServiceError) as caught:
        server.line.issue(wanted)
    return caught.value.code


def issued_count(world: World) -> int:
    return len(world.authority.certificates(state=CertificateState.ISSUED, limit=1000))


def test_the_same_order_again_is_answered_by_the_same_certificate(both: World) -> None:
    first, other = Server(both), Server(both)
    wanted = order(both)
    one = first.line.issue(wanted)
    assert not one.repeated
    before = issued_count(both)
    for server in (first, other):
        again = server.line.issue(wanted)
        assert (again.der, again.serial_hex, again.issuer, again.repeated) == (
            one.der,
            one.serial_hex,
            one.issuer,
            True,
        )
    assert issued_count(both) == before
    first.die()
    other.die()


def test_the_answer_tells_the_present_state(world: World) -> None:
    server, wanted = Server(world), order(world)
    serial = server.line.issue(wanted).serial_hex
    world.authority.revoke(serial, RevocationReason.SUPERSEDED, CLERK)
    assert server.line.issue(wanted).state is CertificateState.REVOKED


def test_another_order_under_the_same_key_is_refused(both: World) -> None:
    server = Server(both)
    server.line.issue(order(both))
    assert refused(server, order(both, CSRS[1])) is ErrorCode.IDEMPOTENCY_CONFLICT
    server.die()


def test_each_actor_has_keys_of_its_own(world: World) -> None:
    server = Server(world)
    one, other = server.line.issue(order(world)), server.line.issue(order(world, actor="other"))
    assert one.serial_hex != other.serial_hex
    assert not other.repeated


def test_orders_without_a_key_are_never_the_same(world: World) -> None:
    server, wanted = Server(world), order(world, key=None)
    assert server.line.issue(wanted).serial_hex != server.line.issue(wanted).serial_hex


@pytest.mark.parametrize("key", ["", "x" * 129, "کلید", "a\nb"])
def test_a_key_is_short_printable_ascii(key: str) -> None:
    with pytest.raises(InvalidInput):
        IssueOrder(profile="clin-sign", file_id="f", csr=b"", actor="clerk", idempotency_key=key)


def test_an_order_that_is_under_way_elsewhere_is_in_progress_until_its_server_is_dead(both: World) -> None:
    first, other = Server(both), Server(both)
    wanted = order(both)
    first.keys.fault = Killed()
    with pytest.raises(Killed):
        first.line.issue(wanted)
    assert refused(other, wanted) is ErrorCode.REQUEST_IN_PROGRESS
    before = issued_count(both)
    first.die()
    again = other.line.issue(wanted)
    assert not again.repeated
    assert issued_count(both) == before + 1
    (left,) = both.authority.certificates(state=CertificateState.ABANDONED)
    assert actions(both.database, left.serial_hex)[AuditAction.CERTIFICATE_ABANDONED] == 1
    assert both.recovery.reconcile() == ()
    other.die()


def test_a_server_that_seemed_dead_and_recorded_its_certificate_gets_no_second_one(
    both: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = Server(both), Server(both)
    wanted, signed = order(both), threading.Event()
    asked = threading.Event()

    def sign_late() -> None:
        asked.set()
        assert signed.wait(30)

    monkeypatch.setattr(slow.keys, "fail", sign_late)

    def not_alive(_database: object, _server: str) -> bool:
        return False

    def recorded_before(_unit: object, serials: list[str], _now: object) -> tuple[str, ...]:
        assert serials  # its row is locked by the transaction that records it, and is no intent afterwards
        return ()

    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(slow.line.issue, wanted)
        assert asked.wait(30)
        with monkeypatch.context() as patch:
            patch.setattr(carrying_out, "is_alive", not_alive)
            patch.setattr(carrying_out, "abandon", recorded_before)
            refusal = refused(other, wanted)
        signed.set()
        made = one.result(timeout=30)
    assert refusal is ErrorCode.REQUEST_IN_PROGRESS
    assert other.line.issue(wanted).der == made.der
    slow.die()
    other.die()


def test_a_refused_order_holds_no_key_back(world: World) -> None:
    server, file = Server(world), world.submitted()
    wanted = IssueOrder(profile="clin-sign", file_id=file.id, csr=CSRS[0], actor="clerk", idempotency_key="k")
    with pytest.raises(NotAllowed):
        server.line.issue(wanted)
    world.authority.approve(file.id, FIRST)
    other = IssueOrder(
        profile="clin-sign", file_id=file.id, csr=CSRS[1], actor="clerk", idempotency_key="k", unapproved=True
    )
    assert not server.line.issue(other).repeated


@pytest.mark.parametrize("transactions", [0, 1])
def test_a_commit_of_which_nobody_knows_is_found_by_the_retry(transactions: int, both: World) -> None:
    server, wanted, before = Server(both), order(both), issued_count(both)
    server.database.lose = transactions
    with pytest.raises(Unavailable):
        server.line.issue(wanted)
    server.line.issue(wanted)
    assert issued_count(both) == before + 1
    server.die()


def test_servers_that_are_asked_at_once_make_one_certificate(both: World) -> None:
    servers = [Server(both) for _ in range(2)]
    together = threading.Barrier(2)

    def ask(server: Server, wanted: IssueOrder) -> Issued | ErrorCode:
        together.wait()
        try:
            return server.line.issue(wanted)
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(2) as pool:
        for number in range(5):
            wanted = order(both, key=f"at once {number}")
            found = list(pool.map(ask, servers, (wanted, wanted)))
            serials = {one.serial_hex for one in found if isinstance(one, Issued)}
            assert len(serials) == 1
            assert all(one is ErrorCode.REQUEST_IN_PROGRESS for one in found if not isinstance(one, Issued))
            assert servers[0].line.issue(wanted).serial_hex in serials
    for server in servers:
        server.die()


class Orders(RuleBasedStateMachine):
    """Orders, faults and deaths in any sequence, beside what must have become of each key."""

    world: World
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.world.authority.files(limit=1) or self.world.approved()
        self.keys: dict[str, tuple[int, str]] = {}  # key → body, and done | open | free
        self.serials: dict[str, str] = {}
        self.prefix = f"{next(self.numbers)}-"  # an object's id comes again
        self.server = Server(self.world)
        self.before = issued_count(self.world)

    @rule(key=st.sampled_from("ab"), body=st.integers(0, 1), fault=st.sampled_from(["", "device", "killed", "commit"]))
    def give(self, key: str, body: int, fault: str) -> None:
        known_body, state = self.keys.get(key, (body, "free"))
        wanted = order(self.world, CSRS[body], key=self.prefix + key)
        if body != known_body:
            assert refused(self.server, wanted) is ErrorCode.IDEMPOTENCY_CONFLICT
        elif state == "done":
            assert self.server.line.issue(wanted).serial_hex == self.serials[key]
        elif state == "open":
            assert refused(self.server, wanted) is ErrorCode.REQUEST_IN_PROGRESS
        else:
            self.carry_out(key, body, wanted, fault)

    def carry_out(self, key: str, body: int, wanted: IssueOrder, fault: str) -> None:
        if fault == "device":
            self.server.keys.fault = HsmUnavailable("gone")
            assert refused(self.server, wanted) is ErrorCode.HSM_UNAVAILABLE
            self.keys[key] = (body, "free")
        elif fault == "killed":
            self.server.keys.fault = Killed()
            with pytest.raises(Killed):
                self.server.line.issue(wanted)
            self.keys[key] = (body, "open")
        elif fault == "commit":
            self.server.line._carry_out.settle()
            self.server.database.refuse = 1
            assert refused(self.server, wanted) is ErrorCode.DATABASE_UNAVAILABLE
            self.server.database.refuse = None
            self.keys[key] = (body, "free")
        else:
            issued = self.server.line.issue(wanted)
            assert not issued.repeated
            self.keys[key], self.serials[key] = (body, "done"), issued.serial_hex

    @rule()
    def die(self) -> None:
        self.server.die()
        self.server = Server(self.world)
        self.keys = {key: (body, "free" if state == "open" else state) for key, (body, state) in self.keys.items()}

    @rule()
    def reconcile(self) -> None:
        self.world.recovery.reconcile()

    @invariant()
    def each_key_has_one_certificate(self) -> None:
        done = sum(state == "done" for _body, state in self.keys.values())
        assert issued_count(self.world) - self.before == done
        assert len(set(self.serials.values())) == len(self.serials)

    def teardown(self) -> None:
        self.server.die()
        self.world.recovery.reconcile()


def test_whatever_fails_a_key_makes_one_certificate(world: World) -> None:
    class Here(Orders):
        pass

    Here.world = world
    run_state_machine_as_test(Here, settings=settings(max_examples=40, stateful_step_count=15, deadline=None))


def test_old_keys_are_forgotten(world: World) -> None:
    server, wanted = Server(world), order(world)
    first = server.line.issue(wanted)
    world.clock.move(days=29)
    world.recovery.reconcile()
    assert server.line.issue(wanted).serial_hex == first.serial_hex
    world.clock.move(days=2)
    world.recovery.reconcile()
    assert server.line.issue(wanted).serial_hex != first.serial_hex
