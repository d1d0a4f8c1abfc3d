"""Replacement: the old certificate ends with the new one's record, and no crash in between shows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca.issuing.line import IssuingLine
from ca.issuing.renewal import Wish
from ca.status.acts.proposals import ProposalDesk
from ca.status.revocation import RevocationReason
from pki.certificates import Certificate
from tests.ca.issuing.faults import FaultyKeys, Killed
from tests.ca.issuing.office import COMPROMISE, GOOD, REVOKED, SUPERSEDED, WAITS, Office, refused
from tests.ca.world import CLERK, CLINICIAN, FIRST, SETTINGS, new_csr
from tests.support.officers import EveryOfficer


@pytest.mark.parametrize("reason", [SUPERSEDED, COMPROMISE, RevocationReason.UNSPECIFIED])
@pytest.mark.parametrize("held", [False, True])
def test_replacement_revokes_the_old_one_with_the_new_one_s_record(
    reason: RevocationReason,
    held: bool,
    office: Office,
) -> None:
    old = office.world.issue("clin-sign")
    if held:
        office.world.authority.hold(old.serial_hex, CLERK)
    new = office.renew(old, reason=reason)
    status = office.world.authority.get(old.serial_hex).status
    assert (status.state, status.reason, office.state(new)) == (REVOKED, reason, WAITS)
    first, second = Certificate.parse(old.der), Certificate.parse(new.der)
    assert (first.subject_der, first.admission) == (second.subject_der, second.admission)
    assert office.events("certificate.replaced").keys() == {old.serial_hex, new.serial_hex}
    assert office.events("certificate.revoked")[old.serial_hex]["reason"] == reason.value


def test_what_is_revoked_already_is_replaced_without_another_word(office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.world.authority.revoke(old.serial_hex, COMPROMISE, CLERK)
    before = office.world.authority.get(old.serial_hex).status
    new = office.renew(old, reason=SUPERSEDED)
    assert (office.world.authority.get(old.serial_hex).status, office.state(new)) == (before, WAITS)


@pytest.mark.parametrize("reason", [RevocationReason.PRIVILEGE_WITHDRAWN, RevocationReason.AFFILIATION_CHANGED])
def test_who_lost_the_right_gets_no_replacement(reason: RevocationReason, office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.world.authority.revoke(old.serial_hex, reason, CLERK)
    wanted = ("state-illegal", "replacement.not-replaceable")
    assert refused(lambda: office.renew(old, reason=SUPERSEDED)) == wanted
    assert refused(lambda: office.renew(old, reason=reason)) == ("input-malformed", "replacement.reason")


def test_a_replacement_is_for_a_new_key(office: Office) -> None:
    csr = new_csr()
    old = office.world.activated(
        office.world.authority.issue("clin-sign", office.world.approved(CLINICIAN).id, csr, "clerk")
    )
    assert refused(lambda: office.renew(old, csr=csr, reason=COMPROMISE)) == ("key-refused", "replacement.same-key")
    assert office.state(old) is GOOD


def test_a_compromised_key_leaves_no_certificate_good(office: Office) -> None:
    csr = new_csr()
    old = office.world.activated(
        office.world.authority.issue("clin-sign", office.world.approved(CLINICIAN).id, csr, "clerk")
    )
    office.within_window(old)
    renewed = office.renew(old, csr=csr)
    new = office.renew(renewed, reason=COMPROMISE)
    assert [office.state(one) for one in (old, renewed, new)] == [REVOKED, REVOKED, WAITS]
    file_id = office.file_of(old)
    again = lambda: office.world.authority.issue("clin-sign", file_id, csr, "clerk")  # noqa: E731
    assert refused(again) == ("key-refused", "key.compromised")


@pytest.mark.parametrize("revoked", [0, 1])
def test_whoever_revokes_for_compromise_revokes_all_that_is_for_the_key(revoked: int, office: Office) -> None:
    csr, world = new_csr(), office.world
    old = world.activated(world.authority.issue("clin-sign", world.approved(CLINICIAN).id, csr, "clerk"))
    office.within_window(old)
    both = (old, office.renew(old, csr=csr))
    if revoked:
        world.authority.revoke(both[revoked].serial_hex, COMPROMISE, CLERK)
    else:
        desk = ProposalDesk(world.database, world.authority, EveryOfficer(), world.settings, world.clock)
        since = world.clock.now() - timedelta(days=1)
        desk.approve(desk.propose(old.serial_hex, COMPROMISE, since, "e1" * 32, CLERK).proposal.id, FIRST)
    found = [world.authority.get(one.serial_hex).status for one in both]
    assert [(status.state, status.reason) for status in found] == [(REVOKED, COMPROMISE)] * 2
    assert office.events("certificate.revoked").keys() == {one.serial_hex for one in both}
    if not revoked:
        assert found[1].invalidity_date == Certificate.parse(both[1].der).not_before


@pytest.mark.parametrize("reason", [SUPERSEDED, COMPROMISE])
def test_a_kill_before_the_record_leaves_the_old_one_as_it_was(reason: RevocationReason, office: Office) -> None:
    old = office.world.issue("clin-sign")
    keys = FaultyKeys(office.world)
    line = IssuingLine(office.world.database, keys, SETTINGS, office.world.clock, gate=EveryOfficer())
    keys.fault = Killed()
    wish = Wish(serial=old.serial_hex, csr=new_csr(), reason=reason)
    with pytest.raises(Killed):
        office.desk(line).carry_out(wish, CLERK)
    assert office.state(old) is GOOD
    office.world.clock.move(minutes=6)
    assert len(office.world.recovery.reconcile()) == 1
    assert office.state(office.renew(old, reason=reason)) is WAITS
    assert office.state(old) is REVOKED
