"""Keys made on cards: a nonce of the file in the request, once, and an honest record of what was stated."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from ca.config import validate_settings
from ca.issuing.key_proofs import NONCE_LIFE, CsrNonce, KeyProof, NonceDesk
from ca.issuing.line import IssuingLine
from ca.issuing.orders import Issued, IssueOrder
from ca.issuing.tables import key_proofs
from hsm.errors import HsmUnavailable
from hsm.soft import UnsafeSoftKey
from pki.csr import build_csr
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError
from pki.keys import SignatureAlgorithm
from storage.ledger_tables import audit_events
from tests.ca.issuing.faults import Server
from tests.ca.officers.conftest import Offices, founded, offices  # noqa: F401 - fixtures
from tests.ca.world import CENTRE, CITIZEN, CLERK, RAW_SETTINGS, World
from tests.support.officers import EveryOfficer

CARD = "IR-0042 7731"


@pytest.fixture
def desk(world: World) -> NonceDesk:
    return NonceDesk(world.database, EveryOfficer(), world.clock)


def request(nonce: str | None) -> bytes:
    return build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a card's key", challenge=nonce)


def order(made: CsrNonce, csr: bytes | None = None, **changes: Any) -> IssueOrder:
    wanted = IssueOrder(
        profile="clin-sign",
        file_id=made.file_id,
        csr=request(made.nonce) if csr is None else csr,
        actor="clerk",
        key_proof=KeyProof(nonce_id=made.id, card=CARD),
    )
    return replace(wanted, **changes)


def refused(server: Server, wanted: IssueOrder) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        server.line.issue(wanted)
    return str(error.value.code), error.value.reason


def proofs(world: World) -> dict[str | None, str | None]:
    with world.database.read() as connection:
        return {row.serial: row.card for row in connection.execute(select(key_proofs))}


def test_a_request_with_the_file_s_nonce_makes_one_certificate_and_says_what_was_stated(
    world: World, desk: NonceDesk
) -> None:
    server = Server(world)
    made = desk.make(world.approved().id, CLERK)
    issued = server.line.issue(order(made))
    assert proofs(world) == {issued.serial_hex: CARD}
    with world.database.read() as connection:
        c = audit_events.c
        told = select(c.facts).where(c.subject == issued.serial_hex, c.action == "certificate.intended")
        facts = json.loads(connection.execute(told).scalar_one())
    assert (facts["key_proof"], facts["card"]) == ("station-statement", CARD)
    assert refused(server, order(made)) == ("nonce-invalid", "csr.nonce-used")


def test_an_old_request_is_not_taken_again_under_a_new_nonce(world: World, desk: NonceDesk) -> None:
    server, file = Server(world), world.approved()
    first = order(desk.make(file.id, CLERK))
    server.line.issue(first)
    assert refused(server, order(desk.make(file.id, CLERK), first.csr)) == ("nonce-invalid", "csr.nonce-differs")


def test_a_nonce_is_of_one_file(world: World, desk: NonceDesk) -> None:
    server, one, other = Server(world), world.approved(), world.approved()
    made = desk.make(one.id, CLERK)
    assert refused(server, order(made, file_id=other.id)) == ("nonce-invalid", "csr.nonce-differs")
    server.line.issue(order(made))


def test_a_nonce_lasts_15_minutes(world: World, desk: NonceDesk) -> None:
    server, file = Server(world), world.approved()
    made = desk.make(file.id, CLERK)
    world.clock.move(seconds=NONCE_LIFE.total_seconds())
    assert refused(server, order(made)) == ("nonce-invalid", "csr.nonce-stale")
    world.clock.move(days=2)
    desk.make(file.id, CLERK)
    assert len(proofs(world)) == 1, "what nobody used is forgotten"


@pytest.mark.parametrize("nonce_id", ["", "f" * 20, "../x", "\udcff"])
def test_a_nonce_that_there_is_not_is_stale(nonce_id: str, world: World, desk: NonceDesk) -> None:
    made = desk.make(world.approved().id, CLERK)
    wanted = order(made, key_proof=KeyProof(nonce_id=nonce_id, card=CARD))
    assert refused(Server(world), wanted) == ("nonce-invalid", "csr.nonce-stale")


def test_a_request_without_a_nonce_proves_nothing(world: World, desk: NonceDesk) -> None:
    made = desk.make(world.approved().id, CLERK)
    assert refused(Server(world), order(made, request(None))) == ("nonce-invalid", "csr.nonce-missing")


def test_two_orders_at_once_share_no_nonce_and_a_neighbour_is_unhurt(world: World, desk: NonceDesk) -> None:
    server, file = Server(world), world.approved()
    made, other = desk.make(file.id, CLERK), desk.make(file.id, CLERK)
    found = list(server.line.issue_many([order(made), order(made), order(other)]))
    assert [one.reason if isinstance(one, ServiceError) else "" for one in found] == ["", "csr.nonce-used", ""]
    assert len({one.serial_hex for one in found if isinstance(one, Issued)} & set(proofs(world))) == 2


def test_a_nonce_whose_order_came_to_nothing_is_good_for_the_same_order_again(world: World, desk: NonceDesk) -> None:
    server = Server(world)
    wanted = order(desk.make(world.approved().id, CLERK), idempotency_key="once")
    server.keys.fault = HsmUnavailable("gone")
    assert refused(server, wanted)[0] == "hsm-unavailable"
    issued = server.line.issue(wanted)
    assert set(proofs(world)) == {issued.serial_hex}
    assert server.line.issue(wanted).repeated


def test_an_order_that_is_refused_for_another_reason_leaves_its_nonce(world: World, desk: NonceDesk) -> None:
    server, file, citizen = Server(world), world.approved(), world.approved(CITIZEN)
    made = desk.make(file.id, CLERK)
    csr = request(made.nonce)
    server.line.issue(order(made, csr, profile="cit-sign", file_id=citizen.id, key_proof=None))
    assert refused(server, order(made, csr)) == ("key-refused", "key.other-holder")
    server.line.issue(order(made))


def test_another_statement_under_the_same_key_is_another_order(world: World, desk: NonceDesk) -> None:
    server, made = Server(world), desk.make(world.approved().id, CLERK)
    wanted = order(made, idempotency_key="once")
    server.line.issue(wanted)
    other = replace(wanted, key_proof=KeyProof(nonce_id=made.id, card="another card"))
    assert refused(server, other)[0] == "idempotency-conflict"


@pytest.mark.parametrize("card", ["", " ", "-1", "x" * 65, "کارت", "a\nb"])
def test_a_card_s_serial_number_is_short_and_plain(card: str) -> None:
    with pytest.raises(InvalidInput) as error:
        KeyProof(nonce_id="f" * 20, card=card)
    assert (error.value.code, error.value.reason) == (ErrorCode.KEY_PROOF_INVALID, "key.proof-card")


def test_a_nonce_is_kept_as_its_digest_alone(world: World, desk: NonceDesk) -> None:
    made = desk.make(world.approved().id, CLERK)
    with world.database.read() as connection:
        row = connection.execute(select(key_proofs)).one()
    assert made.nonce not in repr(row)
    assert made.nonce not in repr(made)


def test_no_nonce_for_a_file_that_is_closed_or_not_there(world: World, desk: NonceDesk) -> None:
    file = world.submitted()
    world.authority.refuse(file.id, CLERK, "licence lapsed")
    with pytest.raises(NotAllowed) as error:
        desk.make(file.id, CLERK)
    assert error.value.reason == "file.closed"
    with pytest.raises(NotFound):
        desk.make("absent", CLERK)


def test_an_officer_without_the_role_gets_no_nonce(founded: Offices) -> None:  # noqa: F811 - a fixture
    file = founded.world.approved()
    desk = NonceDesk(founded.world.database, founded.gate, founded.world.clock)
    founded.desk.enrol("nikan", "یک کارمند", None, "ministry", founded.of("parsa"))
    founded.desk.bind("nikan", founded.certify("nikan"), founded.of("akbari"))
    with pytest.raises(NotAllowed) as error:
        desk.make(file.id, founded.of("nikan"))
    assert error.value.reason == "officer.no-role"
    assert desk.make(file.id, founded.of("parsa")).file_id == file.id


def test_a_deployment_may_demand_the_proof_of_persons_hardware_keys(world: World, desk: NonceDesk) -> None:
    server = Server(world)
    settings = validate_settings(replace(RAW_SETTINGS, demand_key_proof=True))
    server.line = IssuingLine(server.database, server.keys, settings, world.clock)
    made = desk.make(world.approved().id, CLERK)
    csr = request(made.nonce)
    assert refused(server, order(made, csr, key_proof=None)) == ("key-proof-invalid", "key.proof-missing")
    server.line.issue(order(made, csr))
    centre = world.approved(CENTRE)
    server.line.issue(order(made, request(None), key_proof=None, file_id=centre.id, profile="hix-seal"))
