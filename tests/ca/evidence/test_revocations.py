"""What a revocation that reaches back rests on is kept sealed, shown with an event, and deleted after the decision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest
from sqlalchemy import select

from ca.errors import IllegalTransition
from ca.evidence.repository import OF_REVOCATIONS
from ca.evidence.revocations import RevocationEvidence, check_kept
from ca.evidence.sealing import KeySealer
from ca.evidence.store import KEPT, ScanStore
from ca.evidence.tables import revocation_evidence
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act
from ca.status.acts.proposals import ProposalDesk
from ca.status.revocation import RevocationReason
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError
from tests.ca.evidence.conftest import JPEG, KEY, PDF, digest_of
from tests.ca.registration.test_desk import facts_of
from tests.ca.world import FIRST, SECOND, SETTINGS, World
from tests.support.officers import EveryOfficer


def kept(world: World, gate: OfficerGate | None = None) -> RevocationEvidence:
    store = ScanStore(OF_REVOCATIONS, world.clock, KeySealer(lambda: KEY))
    return RevocationEvidence(world.database, gate or EveryOfficer(), store)


def proposals(world: World) -> ProposalDesk:
    return ProposalDesk(world.database, world.authority, EveryOfficer(), SETTINGS, world.clock)


@pytest.fixture
def proposal(world: World) -> str:
    serial = world.issue("hix-tls").serial_hex
    world.clock.move(days=2)
    since = world.clock.now() - timedelta(days=1)
    reason = RevocationReason.KEY_COMPROMISE
    return proposals(world).propose(serial, reason, since, digest_of(PDF), FIRST).proposal.id


def refused(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        act()
    return str(error.value.code), error.value.reason


def test_it_comes_back_as_it_was_brought_and_who_looked_is_recorded(world: World, proposal: str) -> None:
    desk = kept(world)
    brought = desk.attach(proposal, BytesIO(PDF), FIRST)
    assert desk.attach(proposal, BytesIO(PDF), SECOND) == brought
    scan = desk.show(proposal, SECOND)
    assert (scan.data, scan.attachment) == (PDF, brought)
    told = {"sha256": digest_of(PDF), "media_type": "application/pdf", "octets": len(PDF)}
    assert facts_of(world.database, proposal, AuditAction.EVIDENCE_ATTACHED) == [told]
    assert facts_of(world.database, proposal, AuditAction.EVIDENCE_READ) == [{"sha256": digest_of(PDF)}]
    with world.database.read() as connection:
        (row,) = connection.execute(select(revocation_evidence))
    assert PDF not in row.sealed


def test_only_what_the_proposal_names_is_taken_and_only_until_it_is_decided(world: World, proposal: str) -> None:
    desk = kept(world)
    assert refused(lambda: desk.attach(proposal, BytesIO(JPEG), FIRST)) == (
        "input-malformed",
        "evidence.digest-differs",
    )
    assert refused(lambda: desk.show(proposal, FIRST)) == ("not-found", "evidence.absent")
    with pytest.raises(NotFound):
        desk.attach("0" * 20, BytesIO(PDF), FIRST)
    proposals(world).refuse(proposal, SECOND, "found again")
    with pytest.raises(IllegalTransition):
        desk.attach(proposal, BytesIO(PDF), FIRST)


def test_it_is_deleted_some_time_after_the_decision_and_the_digest_stays(world: World, proposal: str) -> None:
    desk = kept(world)
    desk.attach(proposal, BytesIO(PDF), FIRST)
    world.clock.time += KEPT
    assert desk.sweep() == 0  # nobody decided
    proposals(world).approve(proposal, SECOND)
    assert desk.sweep() == 0
    world.clock.time += KEPT
    assert (desk.sweep(), desk.sweep()) == (1, 0)
    assert refused(lambda: desk.show(proposal, FIRST)) == ("not-found", "evidence.deleted")
    assert facts_of(world.database, proposal, AuditAction.EVIDENCE_DELETED) == [{"sha256": digest_of(PDF)}]
    assert proposals(world).proposal(proposal).evidence.hex() == digest_of(PDF)


def test_each_act_is_asked_leave_for(world: World, proposal: str) -> None:
    asked: list[tuple[Act, str, str]] = []

    class Refusing(EveryOfficer):
        def allow(self, officer, act, scope, unit, *, realm=None, subject="", digest=""):  # type: ignore[no-untyped-def]
            asked.append((act, subject, digest))
            raise NotAllowed(ErrorCode.NOT_ALLOWED, reason="officer.no-role")

    desk = kept(world, Refusing())
    for act in (lambda: desk.attach(proposal, BytesIO(PDF), FIRST), lambda: desk.show(proposal, FIRST)):
        assert refused(act)[1] == "officer.no-role"
    acts = (Act.REVOCATION_EVIDENCE_ATTACH, Act.REVOCATION_EVIDENCE_READ)
    assert asked == [(act, proposal, digest_of(PDF)) for act in acts]


@pytest.mark.parametrize("data", [b"", b"a text"])
def test_what_could_not_be_kept_is_refused_before_anything_is_proposed(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        check_kept(data)
