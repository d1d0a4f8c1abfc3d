"""A revocation that reaches back: proposed by one, approved by another, on hold from the first word on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from ca.errors import FourEyesRequired, IllegalTransition
from ca.issuing.orders import Issued
from ca.status.acts.proposal_repository import ProposalState, RevocationProposal
from ca.status.acts.proposals import Decided, ProposalDesk
from ca.status.revocation import CertificateState, RevocationReason
from ca.status.revocation_desk import TYPING_TIME, reaches_back
from pki.audit import AuditAction
from pki.errors import InvalidInput, NotAllowed, NotFound, ServiceError
from tests.ca.status.test_revocation_desk import listed
from tests.ca.test_registration_desk import actions
from tests.ca.world import CLERK, CLINICIAN, FIRST, SECOND, SETTINGS, START, THIRD, World, new_csr
from tests.support.officers import EveryOfficer

COMPROMISE, SUPERSEDED = RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED
EVIDENCE = "e1" * 32


@pytest.fixture
def desk(world: World) -> ProposalDesk:
    return ProposalDesk(world.database, world.authority, EveryOfficer(), SETTINGS, world.clock)


def proposed(world: World, desk: ProposalDesk, issued: Issued, *, days: int = 1) -> RevocationProposal:
    world.clock.move(days=days + 1)
    since = world.clock.now() - timedelta(days=days)
    return desk.propose(issued.serial_hex, COMPROMISE, since, EVIDENCE, FIRST).proposal


def state_of(world: World, issued: Issued) -> CertificateState:
    return world.authority.get(issued.serial_hex).state


def reason(error: pytest.ExceptionInfo[ServiceError]) -> str:
    return error.value.reason


def test_one_officer_alone_never_voids_what_was_signed_before(world: World) -> None:
    issued = world.issue()
    world.clock.move(days=2)
    with pytest.raises(FourEyesRequired) as error:
        world.authority.revoke(issued.serial_hex, COMPROMISE, FIRST, invalidity_date=START + timedelta(days=1))
    assert reason(error) == "revocation.two-officers"
    assert state_of(world, issued) is CertificateState.GOOD


@pytest.mark.parametrize(("back", "so"), [(0, False), (TYPING_TIME.seconds, False), (TYPING_TIME.seconds + 1, True)])
def test_the_time_to_type_is_no_past(back: int, so: bool) -> None:
    assert reaches_back(START - timedelta(seconds=back), START) is so


def test_from_the_proposal_on_it_is_suspended_and_approved_it_is_revoked_as_of_the_date(
    world: World, desk: ProposalDesk
) -> None:
    issued = world.issue()
    proposal = proposed(world, desk, issued)
    held_at = world.clock.now()
    assert state_of(world, issued) is CertificateState.ON_HOLD
    assert world.ask(issued).revocation_reason is x509.ReasonFlags.certificate_hold
    world.clock.move(hours=5)
    done = desk.approve(proposal.id, SECOND)
    assert (done.proposal.state, done.proposal.decided_by) == (ProposalState.APPROVED, SECOND.id)
    status = world.authority.get(issued.serial_hex).status
    assert (status.state, status.revoked_at, status.invalidity_date) == (
        CertificateState.REVOKED,
        held_at,
        proposal.invalidity_date,
    )
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.REVOKED
    entry = listed(world, issued)
    assert entry is not None
    dated = entry.extensions.get_extension_for_class(x509.InvalidityDate).value
    assert dated.invalidity_date_utc == proposal.invalidity_date
    found = actions(world.database, issued.serial_hex)
    for action in (AuditAction.REVOCATION_PROPOSED, AuditAction.REVOCATION_APPROVED, AuditAction.CERTIFICATE_REVOKED):
        assert found[action] == 1


def test_the_same_officer_and_the_holder_never_approve(world: World, desk: ProposalDesk) -> None:
    issued = world.issue()
    proposal = proposed(world, desk, issued)
    holder = replace(SECOND, national_code=str(CLINICIAN["national_code"]))
    for officer, said in ((FIRST, "revocation.two-officers"), (holder, "revocation.own")):
        with pytest.raises(FourEyesRequired) as error:
            desk.approve(proposal.id, officer)
        assert reason(error) == said
    with pytest.raises(FourEyesRequired):
        desk.refuse(proposal.id, holder, "no")
    assert state_of(world, issued) is CertificateState.ON_HOLD


def test_nobody_lifts_the_hold_before_the_decision_and_an_officer_does_after_a_refusal(
    world: World, desk: ProposalDesk
) -> None:
    issued = world.issue()
    proposal = proposed(world, desk, issued)
    with pytest.raises(IllegalTransition) as error:
        world.authority.unhold(issued.serial_hex, THIRD)
    assert reason(error) == "revocation.proposed"
    done = desk.refuse(proposal.id, SECOND, " the card\nwas found ")
    assert (done.proposal.state, done.proposal.why) == (ProposalState.REFUSED, "the card was found")
    assert state_of(world, issued) is CertificateState.ON_HOLD
    world.authority.unhold(issued.serial_hex, THIRD)
    assert state_of(world, issued) is CertificateState.GOOD
    acts: list[Callable[[], Decided]] = [
        lambda: desk.approve(proposal.id, SECOND),
        lambda: desk.refuse(proposal.id, SECOND, "again"),
    ]
    for act in acts:
        with pytest.raises(IllegalTransition) as decided:
            act()
        assert reason(decided) == "revocation.decided"


def test_a_proposal_made_again_is_answered_again_and_another_one_refused(world: World, desk: ProposalDesk) -> None:
    issued = world.issue()
    proposal = proposed(world, desk, issued)
    serial, since = issued.serial_hex, proposal.invalidity_date
    again = desk.propose(serial, COMPROMISE, since, EVIDENCE.upper(), SECOND)
    assert (again.proposal, again.changed) == (proposal, ())
    for why, when, evidence in (
        (SUPERSEDED, since, EVIDENCE),
        (COMPROMISE, since + timedelta(hours=1), EVIDENCE),
        (COMPROMISE, since, "e2" * 32),
    ):
        with pytest.raises(IllegalTransition):
            desk.propose(serial, why, when, evidence, FIRST)
    assert [one.id for one in desk.open_proposals()] == [proposal.id]
    assert desk.proposals_for(CLERK) == desk.open_proposals()


@pytest.mark.parametrize("evidence", ["", "e1", "z" * 64, "e1" * 33])
def test_without_evidence_nothing_is_proposed(world: World, desk: ProposalDesk, evidence: str) -> None:
    issued = world.issue()
    with pytest.raises(InvalidInput):
        desk.propose(issued.serial_hex, COMPROMISE, START, evidence, FIRST)
    assert state_of(world, issued) is CertificateState.GOOD


def test_what_cannot_be_revoked_is_not_proposed(world: World, desk: ProposalDesk) -> None:
    issued = world.issue()
    outside: list[tuple[str, datetime, type[ServiceError]]] = [
        (issued.serial_hex, START - timedelta(days=1), InvalidInput),
        (issued.serial_hex, START + timedelta(days=1), InvalidInput),
        (issued.serial_hex, START.replace(tzinfo=None), InvalidInput),
        ("00ff", START, NotFound),
    ]
    for serial, since, refusal in outside:
        with pytest.raises(refusal):
            desk.propose(serial, COMPROMISE, since, EVIDENCE, FIRST)
    world.authority.revoke(issued.serial_hex, SUPERSEDED, FIRST)
    with pytest.raises(IllegalTransition):
        desk.propose(issued.serial_hex, COMPROMISE, START, EVIDENCE, FIRST)
    authority = x509.load_der_x509_certificate(world.hierarchy.certificate("persons")).serial_number
    with pytest.raises(NotAllowed):
        desk.propose(f"{authority:x}", COMPROMISE, START, EVIDENCE, FIRST)


def test_what_waits_or_is_on_hold_already_keeps_its_own_date(world: World, desk: ProposalDesk) -> None:
    waiting, held = world.issue_waiting(), world.issue("hix-tls")
    world.authority.hold(held.serial_hex, CLERK)
    for issued in (waiting, held):
        before = world.authority.get(issued.serial_hex).status.revoked_at
        done: Decided = desk.propose(issued.serial_hex, COMPROMISE, START, EVIDENCE, FIRST)
        assert done.changed == ()
        assert desk.approve(done.proposal.id, SECOND).record.status.revoked_at == before


def test_with_a_compromised_key_everything_for_it_ends_as_of_the_date(world: World, desk: ProposalDesk) -> None:
    file, csr = world.approved(), new_csr()
    first = world.authority.issue("clin-sign", file.id, csr, "clerk")
    second = world.authority.issue("clin-sign", file.id, csr, "clerk")
    world.activated(first)
    done = desk.approve(proposed(world, desk, first).id, SECOND)
    assert {one.serial_hex for one in done.changed} == {first.serial_hex, second.serial_hex}
    assert {one.state for one in done.changed} == {CertificateState.REVOKED}


def test_a_revocation_from_now_on_need_not_wait_and_overtakes_the_proposal(world: World, desk: ProposalDesk) -> None:
    issued = world.issue()
    proposal = proposed(world, desk, issued)
    world.authority.revoke(issued.serial_hex, COMPROMISE, THIRD)
    with pytest.raises(IllegalTransition):
        desk.approve(proposal.id, SECOND)
    desk.refuse(proposal.id, SECOND, "revoked meanwhile")
    assert desk.open_proposals() == ()


def test_two_who_decide_at_once_leave_one_decision(world: World, desk: ProposalDesk) -> None:
    issued = world.issue()
    proposal = proposed(world, desk, issued)

    def act(number: int) -> object:
        try:
            return desk.approve(proposal.id, SECOND) if number % 2 else desk.refuse(proposal.id, THIRD, "no")
        except ServiceError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(act, range(4)))
    assert sum(isinstance(one, Decided) for one in found) == 1
    decided = desk.proposal(proposal.id).state is ProposalState.APPROVED
    assert state_of(world, issued) is (CertificateState.REVOKED if decided else CertificateState.ON_HOLD)


@pytest.mark.parametrize("name", ["", "absent", "0" * 20, "a\0b", "\ud800"])
def test_what_is_no_proposal_is_not_found(world: World, desk: ProposalDesk, name: str) -> None:
    with pytest.raises(NotFound):
        desk.approve(name, SECOND)
    assert world.authority.files() == ()


@pytest.mark.parametrize("why", ["", " \n", "a\0b", "x" * 10_000])
def test_a_refusal_says_why(world: World, desk: ProposalDesk, why: str) -> None:
    proposal = proposed(world, desk, world.issue())
    with pytest.raises(InvalidInput):
        desk.refuse(proposal.id, SECOND, why)
