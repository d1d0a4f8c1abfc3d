"""An authority whose key is compromised issues nothing, and everything below it ends by two officers' word."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from ca.ceremony.script import parse_script
from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.identity import Act
from ca.profiles import IssuerName
from ca.status.acts.compromise import CompromiseDesk
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, NotFound
from tests.ca.status.test_revocation_desk import listed
from tests.ca.test_registration_desk import actions
from tests.ca.world import CITIZEN, CLERK, FIRST, SECOND, START, World, new_csr
from tests.support.officers import EveryOfficer
from webapp.compromise_script import ceremony_script, told


@pytest.fixture
def desk(world: World) -> CompromiseDesk:
    return CompromiseDesk(world.database, EveryOfficer(), world.clock)


def revoke_all(desk: CompromiseDesk, *, limit: int = 2) -> int:
    total = after = 0
    while True:
        done, after = desk.revoke_batch("persons", after=after, limit=limit)
        total += done
        if not done:
            return total


def test_from_the_first_word_on_it_issues_nothing_and_others_go_on(world: World, desk: CompromiseDesk) -> None:
    good = world.issue()
    assert desk.act_of("persons") is Act.COMPROMISE_DECLARE
    desk.say("persons", FIRST)
    assert desk.act_of("persons") is Act.COMPROMISE_CONFIRM
    with pytest.raises(Conflict) as error:
        world.issue_waiting()
    assert (error.value.code, error.value.reason) == (ErrorCode.AUTHORITY_CLOSED, "authority.closed")
    assert world.issue("hix-tls").serial_hex
    assert world.authority.get(good.serial_hex).state is CertificateState.GOOD
    assert actions(world.database, "persons")[AuditAction.COMPROMISE_DECLARED] == 1


def test_a_second_officer_confirms_and_everything_below_ends_in_batches(world: World, desk: CompromiseDesk) -> None:
    below = [world.issue(), world.issue("clin-auth"), world.issue("cit-sign", CITIZEN), world.issue_waiting()]
    beside = world.issue("hix-tls")
    world.authority.hold(below[1].serial_hex, CLERK)
    held_at = world.clock.now()
    world.clock.move(hours=1)
    desk.say("persons", FIRST)
    with pytest.raises(FourEyesRequired):
        desk.say("persons", FIRST)
    with pytest.raises(FourEyesRequired):
        desk.withdraw("persons", FIRST)
    with pytest.raises(IllegalTransition):
        desk.revoke_batch("persons")
    standing = desk.say("persons", SECOND)
    assert (standing.declared_by, standing.confirmed_by, standing.left) == (FIRST.id, SECOND.id, len(below))
    assert desk.act_of("persons") is None
    first, after = desk.revoke_batch("persons", limit=3)
    again = CompromiseDesk(world.database, EveryOfficer(), world.clock)  # a program that was killed is begun again
    assert (first, again.revoke_batch("persons", after=after)[0], revoke_all(desk)) == (3, 1, 0)
    found = desk.standing("persons")
    assert found is not None
    assert (found.left, found.officers) == (0, 0)
    for issued in below:
        status = world.authority.get(issued.serial_hex).status
        assert (status.state, status.reason) == (CertificateState.REVOKED, RevocationReason.CA_COMPROMISE)
        assert actions(world.database, issued.serial_hex)[AuditAction.CERTIFICATE_REVOKED] == 1
        entry = listed(world, issued)
        assert entry is not None
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        assert reason is x509.ReasonFlags.ca_compromise
        assert world.ask(issued).certificate_status.name == "REVOKED"  # by a responder that keeps its certificate
    assert world.authority.get(below[1].serial_hex).status.revoked_at == held_at
    assert world.authority.get(beside.serial_hex).state is CertificateState.GOOD
    with pytest.raises(IllegalTransition):
        desk.withdraw("persons", CLERK)


def test_what_was_declared_in_error_is_withdrawn_by_another(world: World, desk: CompromiseDesk) -> None:
    with pytest.raises(IllegalTransition):
        desk.withdraw("persons", SECOND)
    desk.say("persons", FIRST)
    desk.withdraw("persons", SECOND)
    assert desk.standing("persons") is None
    assert world.issue().serial_hex
    assert actions(world.database, "persons")[AuditAction.COMPROMISE_WITHDRAWN] == 1


def test_an_order_under_way_comes_to_nothing(world: World, desk: CompromiseDesk) -> None:
    file = world.approved()
    sign = world.keys.signing_key
    said: list[str] = []

    def while_signing(label: str) -> object:
        if label == "ca-persons" and not said:
            said.append(desk.say("persons", FIRST).declared_by)
        return sign(label)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.keys, "signing_key", while_signing)
        with pytest.raises(Conflict):
            world.authority.issue("clin-sign", file.id, new_csr(), "clerk")
    assert said == [FIRST.id]
    assert [one.state for one in world.authority.certificates(file_id=file.id)] == [CertificateState.ABANDONED]


@pytest.mark.parametrize("name", ["root", "nobody", "", "\ud800"])
def test_only_issuing_authorities_of_ours_are_ended_here(desk: CompromiseDesk, name: str) -> None:
    with pytest.raises(NotFound):
        desk.say(name, FIRST)


def test_the_roots_ceremony_is_one_that_ceremonies_take(world: World) -> None:
    certificate = Certificate.parse(world.hierarchy.certificate("persons"))
    for since in (None, START - timedelta(days=1)):
        script = parse_script(ceremony_script(IssuerName.PERSONS, certificate, START, since))
        assert script.name == "compromise-persons-20261122-090000"
        assert [type(step).__name__ for step in script.steps] == [
            "UseToken",
            "RevokeAuthority",
            "SignRootList",
            "ReadAloud",
        ]
        assert script.steps[1].invalidity_date == since  # type: ignore[union-attr]
    assert all(certificate.sha256.hex() in said for said in told(certificate, own_root=True)[:1])
