"""Renewal with overlap: one living successor, the same identity, and nobody who lost the right meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import Connection

from ca import certificate_queries
from ca.issuing.line import IssuingLine
from ca.issuing.orders import Issued, IssueOrder
from ca.issuing.renewal import RenewalDesk, Wish
from ca.records import CertificateRecord
from ca.registration_terms import RegistrationTerms
from ca.registries.answers import Source
from ca.status.revocation import CertificateState, RevocationReason
from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate
from pki.csr import build_csr
from pki.errors import ErrorCode, ServiceError
from pki.keys import SignatureAlgorithm, SigningKey
from storage.engine import Database
from tests.ca.issuing.faults import FaultyKeys
from tests.ca.issuing.office import COMPROMISE, GOOD, REVOKED, SUPERSEDED, WAITS, Office, refused
from tests.ca.issuing.test_key_holders import reopened
from tests.ca.registration.conftest import no, silent
from tests.ca.world import CENTRE, CLERK, CLINICIAN, SETTINGS, World, new_csr
from tests.support.officers import EveryOfficer


def test_renewal_leaves_the_old_one_good_and_links_both(office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.within_window(old)
    new = office.renew(old)
    assert (office.state(old), office.state(new)) == (GOOD, WAITS)
    record, before = office.world.authority.get(new.serial_hex), office.world.authority.get(old.serial_hex)
    assert (record.predecessor, record.file_id, record.profile) == (old.serial_hex, before.file_id, before.profile)
    assert office.events("certificate.renewed") == {
        old.serial_hex: {"successor": new.serial_hex},
        new.serial_hex: {"predecessor": old.serial_hex},
    }


@pytest.mark.parametrize("profile", ["clin-sign", "hix-tls", "hix-seal", "infosys", "tls-server"])
def test_a_successor_says_of_its_holder_what_the_old_one_said(profile: str, office: Office) -> None:
    old = office.world.issue(profile)
    office.within_window(old)
    first, second = Certificate.parse(old.der), Certificate.parse(office.renew(old).der)
    assert first.subject_der == second.subject_der
    assert first.admission == second.admission
    assert first.extensions.get("2.5.29.17") == second.extensions.get("2.5.29.17")
    assert first.policies == second.policies
    assert first.spki_der != second.spki_der


def test_a_key_may_be_kept(office: Office) -> None:
    csr = build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a wish")
    file = office.world.approved(CLINICIAN)
    old = office.world.activated(office.world.authority.issue("clin-sign", file.id, csr, "clerk"))
    office.within_window(old)
    new = office.renew(old, csr=csr)
    assert Certificate.parse(new.der).spki_der == Certificate.parse(old.der).spki_der


def test_the_window_is_the_profile_s(office: Office) -> None:
    old = office.world.issue("clin-sign")
    begins = Certificate.parse(old.der).not_after - timedelta(days=60)
    office.world.clock.time = begins - timedelta(seconds=1)
    assert refused(lambda: office.renew(old)) == ("renewal-too-early", "renewal.too-early")
    office.world.clock.time = begins
    assert office.state(office.renew(old)) is WAITS


@pytest.mark.parametrize("state", ["on_hold", "revoked", "ended", "absent", "service"])
def test_what_is_not_good_is_not_renewed(state: str, office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.within_window(old)
    wanted = old.serial_hex
    if state == "on_hold":
        office.world.authority.hold(wanted, CLERK)
    elif state == "revoked":
        office.world.authority.revoke(wanted, SUPERSEDED, CLERK)
    elif state == "ended":
        office.world.clock.move(days=21)
    elif state == "absent":
        wanted = f"{int(wanted, 16) ^ 1:040x}"
    else:
        wanted = next(iter(office.world.authority.own_certificates())).certificate.serial_hex
    expected = (
        ("not-found", "renewal.absent") if state in ("absent", "service") else ("state-illegal", "renewal.not-good")
    )
    assert refused(lambda: office.renew(replace(old, serial_hex=wanted))) == expected


def test_a_certificate_has_one_living_successor(office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.within_window(old)
    first = office.renew(old)
    assert refused(lambda: office.renew(old)) == ("state-illegal", "renewal.has-successor")
    office.world.authority.revoke(first.serial_hex, SUPERSEDED, CLERK)
    second = office.renew(old)
    assert office.world.authority.get(second.serial_hex).predecessor == old.serial_hex


def test_the_same_order_given_again_makes_no_second_successor(office: Office) -> None:
    old, csr = office.world.issue("clin-sign"), new_csr()
    office.within_window(old)
    first = office.renew(old, csr=csr, idempotency_key="k")
    again = office.renew(old, csr=csr, idempotency_key="k")
    assert (again.serial_hex, again.repeated) == (first.serial_hex, True)
    other = lambda: office.renew(old, csr=csr, reason=SUPERSEDED, idempotency_key="k")  # noqa: E731
    assert refused(other)[0] == "idempotency-conflict"


def test_an_order_that_comes_again_is_answered_whatever_the_registries_say_now(office: Office) -> None:
    old, csr = office.world.issue("clin-sign"), new_csr()
    office.within_window(old)
    first = office.renew(old, csr=csr, idempotency_key="k")
    asked, words = office.told[Source.COUNCIL].asked, office.events("file.checked")
    office.told[Source.COUNCIL].say = no
    again = office.renew(old, csr=csr, idempotency_key="k")
    assert (again.serial_hex, again.repeated) == (first.serial_hex, True)
    assert (office.told[Source.COUNCIL].asked, office.events("file.checked")) == (asked, words)
    assert refused(lambda: office.renew(first, csr=csr, reason=SUPERSEDED))[0] == "registry-refused"


def test_of_two_orders_in_one_round_one_is_carried_out(office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.within_window(old)
    desk = office.desk()
    orders = [desk.order(Wish(serial=old.serial_hex, csr=new_csr()), CLERK) for _ in range(2)]
    outcomes = list(office.world.authority.line.issue_many(orders))
    assert [isinstance(outcome, Issued) for outcome in outcomes] == [True, False]
    assert isinstance(outcomes[1], ServiceError)
    assert (outcomes[1].code, outcomes[1].reason) == (ErrorCode.REQUEST_IN_PROGRESS, "renewal.at-once")


def test_a_round_locks_what_it_replaces_in_one_order(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    olds = sorted((office.world.issue("clin-sign") for _ in range(3)), key=lambda one: one.serial_hex, reverse=True)
    desk, locked = office.desk(), list[str]()
    orders = [desk.order(Wish(serial=one.serial_hex, csr=new_csr(), reason=SUPERSEDED), CLERK) for one in olds]
    lock = certificate_queries.lock

    def watched(connection: Connection, serial: str) -> CertificateRecord | None:
        locked.append(serial)
        return lock(connection, serial)

    monkeypatch.setattr(certificate_queries, "lock", watched)
    assert all(isinstance(one, Issued) for one in office.world.authority.line.issue_many(orders))
    assert locked == sorted(one.serial_hex for one in olds) * 2


def test_of_two_servers_at_once_one_renews(office: Office) -> None:
    world, start = office.world, Barrier(2, timeout=30)
    old = world.issue("clin-sign")
    office.within_window(old)

    def renew(database: Database) -> Issued | ServiceError:
        line = IssuingLine(database, world.keys, SETTINGS, world.clock, gate=EveryOfficer())
        desk = RenewalDesk(database, line, RegistrationTerms(), world.clock)
        start.wait()
        try:
            return desk.carry_out(Wish(serial=old.serial_hex, csr=new_csr()), CLERK)
        except ServiceError as error:
            return error

    with closing(reopened(world.database)) as second, ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(renew, (world.database, second)))
    (other,) = [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
    assert other.reason in ("renewal.at-once", "renewal.has-successor")
    assert len(world.authority.certificates(file_id=office.file_of(old))) == 2


def test_who_is_revoked_while_the_successor_is_signed_gets_none(office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.within_window(old)
    keys = RevokingKeys(office.world, old)
    line = IssuingLine(office.world.database, keys, SETTINGS, office.world.clock, gate=EveryOfficer())
    wish = Wish(serial=old.serial_hex, csr=new_csr())
    assert refused(lambda: office.desk(line).carry_out(wish, CLERK)) == ("state-illegal", "renewal.not-good")
    states = {record.state for record in office.world.authority.certificates(file_id=office.file_of(old))}
    assert states == {REVOKED, CertificateState.ABANDONED}


def test_who_loses_the_right_while_the_replacement_is_signed_gets_none(office: Office) -> None:
    old = office.world.issue("clin-sign")
    keys = RevokingKeys(office.world, old)
    line = IssuingLine(office.world.database, keys, SETTINGS, office.world.clock, gate=EveryOfficer())
    wish = Wish(serial=old.serial_hex, csr=new_csr(), reason=SUPERSEDED)
    assert refused(lambda: office.desk(line).carry_out(wish, CLERK)) == ("state-illegal", "replacement.not-replaceable")
    states = {record.state for record in office.world.authority.certificates(file_id=office.file_of(old))}
    assert states == {REVOKED, CertificateState.ABANDONED}


def test_a_key_that_is_compromised_while_it_is_certified_again_gets_no_certificate(office: Office) -> None:
    csr, file = new_csr(), office.world.approved(CLINICIAN)
    old = office.world.activated(office.world.authority.issue("clin-sign", file.id, csr, "clerk"))
    keys = RevokingKeys(office.world, old)
    keys.reason = COMPROMISE
    line = IssuingLine(office.world.database, keys, SETTINGS, office.world.clock, gate=EveryOfficer())
    assert refused(lambda: line.issue(IssueOrder(profile="clin-sign", file_id=file.id, csr=csr, actor="clerk"))) == (
        "state-illegal",
        "",
    )
    states = {record.state for record in office.world.authority.certificates(file_id=file.id)}
    assert states == {REVOKED, CertificateState.ABANDONED}


class RevokingKeys(FaultyKeys):
    """Keys whose device takes so long that an officer revokes the old certificate meanwhile."""

    reason = RevocationReason.PRIVILEGE_WITHDRAWN

    def __init__(self, world: World, old: Issued) -> None:
        super().__init__(world)
        self._world, self._old = world, old

    def signing_key(self, label: str) -> SigningKey:
        if self._world.authority.get(self._old.serial_hex).state is GOOD:
            self._world.authority.revoke(self._old.serial_hex, self.reason, CLERK)
        return super().signing_key(label)


# -- the registries -------------------------------------------------------------------------------


def test_a_no_refuses_and_stays_with_the_file(office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.within_window(old)
    office.told[Source.COUNCIL].say = no
    assert refused(lambda: office.renew(old)) == ("registry-refused", "file.registry-says-no")
    assert len(office.world.authority.words(office.file_of(old))) == 1
    assert office.state(old) is GOOD


def test_silence_takes_a_reason(office: Office) -> None:
    old = office.world.issue("clin-sign")
    office.within_window(old)
    office.told[Source.COUNCIL].say = silent
    assert refused(lambda: office.renew(old)) == ("registry-silent", "file.registry-silent")
    assert office.state(office.renew(old, silence_reason="the council's line is down")) is WAITS


def test_nobody_accepts_the_silence_of_the_licences(office: Office) -> None:
    old = office.world.issue("hix-seal", CENTRE)
    office.within_window(old)
    office.told[Source.LICENCE].say = silent
    again = lambda: office.renew(old, silence_reason="the line is down")  # noqa: E731
    assert refused(again) == ("registry-silent", "file.registry-silent")
