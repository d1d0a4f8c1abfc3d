"""Who may change a certificate's status: revokers, where their role reaches, by what they signed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select

from ca.officers.identity import Act, Officer, Role
from ca.officers.scopes import Scope
from ca.officers.statements import sign_statement
from ca.records import CertificateRecord
from ca.service import CertificateAuthority
from ca.status.acts.holders import HolderDesk, holder_revocation_digest
from ca.status.acts.proposals import ProposalDesk
from ca.status.acts.suspension import SuspensionDesk
from ca.status.revocation import CertificateState, RevocationReason
from ca.status.revocation_desk import revocation_digest
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.errors import NotAllowed, NotFound, ServiceError
from storage.ledger_tables import audit_events
from tests.ca.officers.conftest import Offices
from tests.ca.world import CENTRE, SETTINGS, World

KEY_COMPROMISE = RevocationReason.KEY_COMPROMISE


def authority_of(offices: Offices) -> CertificateAuthority:
    """The authority with the register's own gate."""
    world = offices.world
    return CertificateAuthority(world.database, world.keys, SETTINGS, world.clock, gate=offices.gate)


def every_change(authority: CertificateAuthority, serial: str) -> list[Callable[[Officer], CertificateRecord]]:
    """The three changes, in an order in which each is possible."""
    return [
        lambda officer: authority.hold(serial, officer),
        lambda officer: authority.unhold(serial, officer),
        lambda officer: authority.revoke(serial, KEY_COMPROMISE, officer),
    ]


def reason_of(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        act()
    return str(caught.value.code), caught.value.reason


def actors(world: World, serial: str) -> set[tuple[str, str]]:
    changes = (AuditAction.CERTIFICATE_HELD, AuditAction.CERTIFICATE_RELEASED, AuditAction.CERTIFICATE_REVOKED)
    wanted = select(audit_events.c.action, audit_events.c.actor).where(
        audit_events.c.subject == serial, audit_events.c.action.in_([str(action) for action in changes])
    )
    with world.database.read() as connection:
        return {(row.action, row.actor) for row in connection.execute(wanted)}


def test_a_revoker_changes_a_status_and_the_ledger_names_them(founded: Offices) -> None:
    serial = founded.world.issue().serial_hex
    for change in every_change(authority_of(founded), serial):
        change(founded.of("akbari"))
    assert {actor for _action, actor in actors(founded.world, serial)} == {"akbari"}
    assert len(actors(founded.world, serial)) == 3


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.REVOKER])
def test_no_other_role_changes_a_status(offices: Offices, role: Role) -> None:
    officer = offices.found("parsa", role)
    serial = offices.world.issue().serial_hex
    for change in every_change(authority_of(offices), serial):
        assert reason_of(partial(change, officer)) == ("not-allowed", "officer.no-role")
    assert offices.world.authority.get(serial).state is CertificateState.GOOD
    assert actors(offices.world, serial) == set()


def test_a_claimed_name_changes_nothing(founded: Offices) -> None:
    serial = founded.world.issue().serial_hex
    for change in every_change(authority_of(founded), serial):
        assert reason_of(partial(change, Officer(id="akbari")))[0] == "officer-unknown"
    assert founded.world.authority.get(serial).state is CertificateState.GOOD


def test_a_role_reaches_no_further_than_its_professions(founded: Offices) -> None:
    nurses = founded.enrol("nikan", "ministry", founded.of("parsa"), founded.of("akbari"))
    scope = Scope(professions=frozenset({"nurse", "centre"}))
    founded.grant("nikan", Role.REVOKER, "ministry", founded.of("parsa"), founded.of("akbari"), scope)
    authority = authority_of(founded)
    physician, centre = founded.world.issue().serial_hex, founded.world.issue("hix-tls", CENTRE).serial_hex
    assert reason_of(lambda: authority.hold(physician, nurses)) == ("scope-exceeded", "officer.out-of-profession")
    assert authority.hold(centre, nurses).state is CertificateState.ON_HOLD


def test_what_has_no_file_takes_a_role_over_everything(founded: Offices) -> None:
    limited = founded.enrol("nikan", "ministry", founded.of("parsa"), founded.of("akbari"))
    scope = Scope(professions=frozenset({"system", "centre"}))
    founded.grant("nikan", Role.REVOKER, "ministry", founded.of("parsa"), founded.of("akbari"), scope)
    der = founded.world.authority.named_certificate("tsa")
    assert der is not None
    serial = Certificate.parse(der).serial_hex
    authority = authority_of(founded)
    assert reason_of(lambda: authority.hold(serial, limited))[0] == "scope-exceeded"
    assert authority.hold(serial, founded.of("akbari")).state is CertificateState.ON_HOLD


def test_nobody_lifts_the_hold_of_their_own_certificate(founded: Offices) -> None:
    authority, serial = authority_of(founded), Certificate.parse(founded.certificates["akbari"]).serial_hex
    first = founded.of("akbari")
    second = Offices.certify(founded, "akbari")
    founded.desk.bind("akbari", second, founded.of("parsa"))
    authority.hold(serial, founded.of("bahrami"))
    again = founded.of("akbari")
    assert again.proof != first.proof
    assert reason_of(lambda: authority.unhold(serial, again)) == ("four-eyes", "officer.own-certificate")
    assert authority.unhold(serial, founded.of("bahrami")).state is CertificateState.GOOD


def test_an_unknown_serial_is_told_to_revokers_alone(founded: Offices, offices: Offices) -> None:
    authority = authority_of(founded)
    for change in every_change(authority, "00ff"):
        with pytest.raises(NotFound):
            change(founded.of("akbari"))
        with pytest.raises(NotAllowed):
            change(Officer(id="akbari"))


def signed(offices: Offices, act: Act, subject: str, digest: str = "") -> Officer:
    said = sign_statement(
        offices.keys["akbari"],
        act.value,
        subject=subject,
        sha256=digest,
        now=offices.world.clock.now(),
        random=secrets.token_bytes(16),
    )
    return offices.gate.of_statement(said.data, said.signature, offices.certificates["akbari"])


def test_a_statement_is_for_one_certificate_one_act_and_one_reason(founded: Offices) -> None:
    authority = authority_of(founded)
    serial, other = founded.world.issue().serial_hex, founded.world.issue("hix-tls").serial_hex
    founded.world.clock.move(hours=1)
    since = founded.world.clock.now() - timedelta(minutes=5)
    differs = ("officer-unknown", "officer.statement-differs")
    digest = revocation_digest(KEY_COMPROMISE, None)
    said = signed(founded, Act.CERTIFICATE_REVOKE, serial, digest)
    assert reason_of(lambda: authority.revoke(other, KEY_COMPROMISE, said)) == differs
    assert reason_of(lambda: authority.revoke(serial, RevocationReason.SUPERSEDED, said)) == differs
    assert reason_of(lambda: authority.revoke(serial, KEY_COMPROMISE, said, invalidity_date=since)) == differs
    assert reason_of(lambda: authority.hold(serial, said)) == differs
    assert authority.revoke(serial, KEY_COMPROMISE, said).state is CertificateState.REVOKED
    held = signed(founded, Act.CERTIFICATE_HOLD, other)
    assert authority.hold(other, held).state is CertificateState.ON_HOLD
    assert reason_of(lambda: authority.hold(other, held)) == ("officer-unknown", "officer.statement-used")


def test_one_statement_covers_everything_of_a_holder_where_the_role_reaches_every_file(founded: Offices) -> None:
    world = founded.world
    desk = HolderDesk(world.database, world.authority, founded.gate, SETTINGS, world.clock)
    serials = [world.issue(profile).serial_hex for profile in ("clin-sign", "clin-auth")]
    file_id = str(world.authority.get(serials[0]).file_id)
    one_file = holder_revocation_digest(KEY_COMPROMISE, whole_holder=False)
    said = signed(founded, Act.CERTIFICATE_REVOKE, file_id, one_file)
    all_of = partial(desk.revoke_all, file_id, KEY_COMPROMISE, whole_holder=True)
    assert reason_of(partial(all_of, said)) == ("officer-unknown", "officer.statement-differs")
    nurses = founded.enrol("nikan", "ministry", founded.of("parsa"), founded.of("akbari"))
    founded.grant(
        "nikan",
        Role.REVOKER,
        "ministry",
        founded.of("parsa"),
        founded.of("akbari"),
        Scope(professions=frozenset({"nurse"})),
    )
    assert reason_of(partial(all_of, nurses)) == ("scope-exceeded", "officer.out-of-profession")
    said = signed(founded, Act.CERTIFICATE_REVOKE, file_id, holder_revocation_digest(KEY_COMPROMISE, whole_holder=True))
    assert {one.serial_hex for one in all_of(said).revoked} == set(serials)


def test_a_call_centre_takes_codes_by_any_role_and_from_officers_alone(founded: Offices) -> None:
    world = founded.world
    desk = SuspensionDesk(world.database, world.authority, founded.gate, world.postbox, world.clock, cost=2)
    issued = world.issue()
    desk.send(desk.make(str(world.authority.get(issued.serial_hex).file_id), founded.of("parsa"), claimed=True))
    code = next(str(one.facts["code"]) for one in world.postbox.notices.values() if one.kind == "suspension-code")
    assert reason_of(lambda: desk.suspend_for(code, Officer(id="akbari"), "telephone"))[0] == "officer-unknown"
    nurses = founded.enrol("nikan", "ministry", founded.of("parsa"), founded.of("akbari"))
    founded.grant(
        "nikan",
        Role.REGISTRAR,
        "ministry",
        founded.of("parsa"),
        founded.of("akbari"),
        Scope(professions=frozenset({"nurse"})),
    )
    assert [one.serial_hex for one in desk.suspend_for(code, nurses, "telephone").changed] == [issued.serial_hex]


def test_two_officers_statements_revoke_as_of_a_date_in_the_past(founded: Offices) -> None:
    world = founded.world
    desk = ProposalDesk(world.database, world.authority, founded.gate, SETTINGS, world.clock)
    serial, evidence = world.issue().serial_hex, "e1" * 32
    world.clock.move(days=2)
    since = world.clock.now() - timedelta(days=1)
    said = signed(founded, Act.CERTIFICATE_REVOKE, serial, revocation_digest(KEY_COMPROMISE, since))
    propose = partial(desk.propose, serial, KEY_COMPROMISE, since, evidence)
    assert reason_of(partial(propose, said)) == ("officer-unknown", "officer.statement-differs")
    said = signed(founded, Act.CERTIFICATE_REVOKE, serial, revocation_digest(KEY_COMPROMISE, since, evidence))
    proposal = propose(said).proposal
    own = signed(founded, Act.REVOCATION_APPROVE, proposal.id, proposal.digest)
    assert reason_of(lambda: desk.approve(proposal.id, own)) == ("four-eyes", "revocation.two-officers")
    assert desk.approve(proposal.id, founded.of("bahrami")).record.status.invalidity_date == since


def test_what_is_refused_leaves_the_statement_unused(founded: Offices) -> None:
    """The refusal undoes its transaction: the officer need not sign again once the certificate is on hold."""
    authority, serial = authority_of(founded), founded.world.issue().serial_hex
    said = signed(founded, Act.CERTIFICATE_RELEASE, serial)
    assert reason_of(lambda: authority.unhold(serial, said))[0] == "state-illegal"
    founded.world.authority.hold(serial, founded.of("bahrami"))
    assert authority.unhold(serial, said).state is CertificateState.GOOD
