from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.x509 import ocsp

from ca.profiles import ISSUING_AUTHORITIES
from ca.service import CertificateAuthority
from ca.status.revocation import CertificateState, RevocationReason
from pki.certificates import Certificate
from pki.errors import Unavailable
from tests.ca.world import CLERK, SETTINGS, START, World
from tests.support.officers import EveryOfficer


def test_delegates_are_renewed_before_they_end_and_only_then(world: World) -> None:
    assert world.authority.renew_services() == ()
    world.clock.move(days=21)
    assert set(world.authority.renew_services()) == {f"ocsp-{label}" for label in ISSUING_AUTHORITIES}
    assert world.authority.renew_services() == ()
    renewed = world.authority.named_certificate("ocsp-persons")
    assert renewed is not None
    old, new = Certificate.parse(world.hierarchy.certificate("ocsp-persons")), Certificate.parse(renewed)
    assert (new.spki_der, new.subject_der) == (old.spki_der, old.subject_der)
    assert new.not_after > START + timedelta(days=50)


def test_answers_carry_the_renewed_delegate(world: World) -> None:
    issued = world.issue()
    world.clock.move(days=40)
    world.authority.renew_services()
    answer = world.ask(issued)
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    (delegate,) = answer.certificates
    assert delegate.not_valid_after_utc > START + timedelta(days=40)


def test_a_revoked_delegate_signs_nothing_and_is_replaced_at_once(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    other = CertificateAuthority(world.database, world.keys, SETTINGS, world.clock)
    other.ocsp(world.request_for(issued, nonce=b"n"))  # has read the authorities as they were
    old = Certificate.parse(world.hierarchy.certificate("ocsp-persons"))
    world.authority.revoke(old.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    world.authority.follow_changes()
    for server in (world.authority, other):
        with pytest.raises(Unavailable):
            server.ocsp(world.request_for(issued, nonce=b"n"))
        with pytest.raises(Unavailable):
            server.ocsp(world.request_for(issued))
    with pytest.raises(Unavailable):
        world.authority.presign()
    assert world.authority.renew_services() == ("ocsp-persons",)
    for server in (world.authority, other):
        answer = ocsp.load_der_ocsp_response(server.ocsp(world.request_for(issued, nonce=b"n")))
        assert answer.certificates[0].serial_number != old.serial
    world.authority.presign()
    assert world.authority.stored_answer(world.request_for(issued), world.clock.now()) is not None
    assert world.authority.renew_services() == ()


def test_a_change_of_a_services_certificate_is_told_apart_from_others(world: World) -> None:
    place, changed = world.authority.have_services_changed(None)
    assert not changed
    issued = world.issue("hix-tls")
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    after, changed = world.authority.have_services_changed(place)
    assert (after > place, changed) == (True, False)
    responder = Certificate.parse(world.hierarchy.certificate("ocsp-persons"))
    world.authority.revoke(responder.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    place, changed = world.authority.have_services_changed(after)
    assert changed
    assert world.authority.have_services_changed(place) == (place, False)


def test_a_worker_whose_delegate_somebody_else_replaced_signs_by_the_new_one(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    other = CertificateAuthority(world.database, world.keys, SETTINGS, world.clock, gate=EveryOfficer())
    old = Certificate.parse(world.hierarchy.certificate("ocsp-persons"))
    other.revoke(old.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    other.renew_services()
    with pytest.raises(Unavailable):
        world.authority.presign()
    world.authority.presign()
    stored = world.authority.stored_answer(world.request_for(issued), world.clock.now())
    assert stored is not None
    assert ocsp.load_der_ocsp_response(stored.der).certificates[0].serial_number != old.serial


def test_a_delegate_on_hold_signs_nothing_and_is_not_replaced(world: World) -> None:
    issued = world.issue()
    old = Certificate.parse(world.hierarchy.certificate("ocsp-persons"))
    world.authority.hold(old.serial_hex, CLERK)
    assert world.authority.renew_services() == ()
    with pytest.raises(Unavailable):
        world.ask(issued)
    world.authority.unhold(old.serial_hex, CLERK)
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD


def test_another_server_learns_of_a_renewal_within_a_minute(world: World) -> None:
    issued = world.issue()
    other = CertificateAuthority(world.database, world.keys, SETTINGS, world.clock)
    other.ocsp(world.request_for(issued))
    world.clock.move(days=29)
    other.publish_crl("persons", 0)  # has read the authorities as they were
    world.authority.renew_services()
    world.clock.move(minutes=2)
    answer = ocsp.load_der_ocsp_response(other.ocsp(world.request_for(issued, nonce=b"n")))
    assert answer.certificates[0].not_valid_after_utc > START + timedelta(days=50)


def test_certificates_end_with_their_validity(world: World) -> None:
    held, revoked, good = world.issue("hix-tls"), world.issue("hix-tls"), world.issue("hix-tls")
    world.authority.hold(held.serial_hex, CLERK)
    world.authority.revoke(revoked.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert world.authority.expire() == 0
    world.clock.move(days=91)
    world.authority.renew_services()
    assert world.authority.expire() >= 2
    assert world.authority.expire() == 0
    states = [world.authority.get(issued.serial_hex).state for issued in (held, revoked, good)]
    assert states == [CertificateState.EXPIRED, CertificateState.REVOKED, CertificateState.EXPIRED]
    assert world.ask(held).certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert world.ask(good).certificate_status is ocsp.OCSPCertStatus.GOOD
