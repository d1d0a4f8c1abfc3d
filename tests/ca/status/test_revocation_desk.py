from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from ca.errors import IllegalTransition
from ca.inventory.search import parse_serial
from ca.issuing.orders import Issued
from ca.profiles import ProfileName
from ca.records import CertificateRecord
from ca.status.revocation import CertificateState, RevocationReason
from ca.status.revocation_desk import parse_reason
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.errors import InvalidInput, NotAllowed, NotFound, ServiceError
from tests.ca.test_registration_desk import actions
from tests.ca.world import CENTRE, CLERK, FIRST, SECOND, START, World


def listed(world: World, issued: Issued) -> x509.RevokedCertificate | None:
    """Publish every CRL and look the certificate up in the one that its CDP names."""
    world.authority.publish_all_crls()
    record = world.authority.get(issued.serial_hex)
    published = world.authority.latest_crl(issued.issuer, record.shard)
    assert published is not None
    return x509.load_der_x509_crl(published.der).get_revoked_certificate_by_serial_number(record.serial)


def test_a_revocation_is_felt_in_crl_and_ocsp(world: World) -> None:
    issued = world.issue()
    assert listed(world, issued) is None
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD
    world.clock.move(hours=1)
    record = world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    assert record.state is CertificateState.REVOKED
    answer = world.ask(issued)
    assert (answer.certificate_status, answer.revocation_reason) == (
        ocsp.OCSPCertStatus.REVOKED,
        x509.ReasonFlags.key_compromise,
    )
    assert answer.revocation_time_utc == START + timedelta(hours=1)
    assert listed(world, issued) is not None
    assert actions(world.database, issued.serial_hex)[AuditAction.CERTIFICATE_REVOKED] == 1


def test_a_hold_and_its_lifting_are_felt_in_crl_and_ocsp(world: World) -> None:
    issued = world.issue("hix-tls")
    world.authority.hold(issued.serial_hex, CLERK)
    assert world.ask(issued).revocation_reason is x509.ReasonFlags.certificate_hold
    assert listed(world, issued) is not None
    world.clock.move(minutes=5)
    record = world.authority.unhold(issued.serial_hex, CLERK)
    assert (record.state, record.status.listed) == (CertificateState.GOOD, False)
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD
    assert listed(world, issued) is None
    found = actions(world.database, issued.serial_hex)
    assert (found[AuditAction.CERTIFICATE_HELD], found[AuditAction.CERTIFICATE_RELEASED]) == (1, 1)


def test_what_the_root_issued_is_not_touched_without_the_root(world: World) -> None:
    """The root's list is signed where its key is: a row that says `revoked` alone would be felt by nobody."""
    der = world.authority.named_certificate("persons")
    assert der is not None
    serial = Certificate.parse(der).serial_hex
    with pytest.raises(NotAllowed):
        world.authority.hold(serial, CLERK)
    with pytest.raises(NotAllowed):
        world.authority.revoke(serial, RevocationReason.CA_COMPROMISE, CLERK)
    assert world.authority.get(serial).state is CertificateState.GOOD


def test_the_invalidity_date_is_in_the_crl(world: World) -> None:
    issued = world.issue()
    world.clock.move(days=2)
    since = world.clock.now() - timedelta(minutes=5)  # the time that an officer needs to type it
    world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK, invalidity_date=since)
    entry = listed(world, issued)
    assert entry is not None
    date = entry.extensions.get_extension_for_class(x509.InvalidityDate).value
    assert date.invalidity_date_utc == since


def test_an_invalidity_date_is_read_in_its_zone_and_never_without_one(world: World) -> None:
    issued = world.issue()
    reason = RevocationReason.KEY_COMPROMISE
    with pytest.raises(InvalidInput, match="time zone"):
        world.authority.revoke(issued.serial_hex, reason, CLERK, invalidity_date=START.replace(tzinfo=None))
    tehran = timezone(timedelta(hours=3, minutes=30))
    record = world.authority.revoke(issued.serial_hex, reason, CLERK, invalidity_date=START.astimezone(tehran))
    assert record.status.invalidity_date == START


def test_a_record_that_is_printed_names_nobody(world: World) -> None:
    record = world.authority.get(world.issue().serial_hex)
    assert "0000012343" not in repr(record)
    assert "رضایی" not in repr(record)
    assert "0000012343" not in repr(world.authority.files()[0])


def test_a_revoked_certificate_stays_revoked(world: World) -> None:
    issued = world.issue()
    world.authority.hold(issued.serial_hex, CLERK)
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    acts: list[Callable[[], object]] = [
        lambda: world.authority.unhold(issued.serial_hex, CLERK),
        lambda: world.authority.hold(issued.serial_hex, CLERK),
        lambda: world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK),
    ]
    for act in acts:
        with pytest.raises(IllegalTransition):
            act()
    assert world.authority.get(issued.serial_hex).state is CertificateState.REVOKED


def test_two_who_act_at_once_leave_one_outcome(world: World) -> None:
    issued = world.issue()

    def act(number: int) -> CertificateRecord | ServiceError:
        try:
            if number % 2:
                return world.authority.hold(issued.serial_hex, FIRST)
            return world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, SECOND)
        except ServiceError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(act, range(4)))
    assert world.authority.get(issued.serial_hex).state is CertificateState.REVOKED
    assert 1 <= sum(isinstance(item, CertificateRecord) for item in found) <= 2


def test_an_unknown_serial_is_not_found(world: World) -> None:
    acts: list[Callable[[], object]] = [
        lambda: world.authority.get("00ff"),
        lambda: world.authority.hold("00ff", CLERK),
        lambda: world.authority.revoke("00ff", RevocationReason.SUPERSEDED, CLERK),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0A:bC 12", "0abc12"),
        ("abc", "0abc"),
        ("00", "00"),
        ("f" * 40, "f" * 40),
        ("۵۴f۳", "54f3"),
        ("\u2066\u200e54F3\u00a0bd\u2069\n", "54f3bd"),
    ],
)
def test_serials_are_read_as_people_copy_them(text: str, expected: str) -> None:
    assert parse_serial(text) == expected


@pytest.mark.parametrize("text", ["", "xyz", "0x12", "f" * 41, "-5", "१२"])
def test_what_is_no_serial_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_serial(text)


def test_reasons_are_read_by_their_standard_names() -> None:
    assert parse_reason("keyCompromise") is RevocationReason.KEY_COMPROMISE
    with pytest.raises(InvalidInput):
        parse_reason("removeFromCRL")


def test_certificates_are_listed_newest_first_and_page_by_page(world: World) -> None:
    first, second, third = world.issue(), world.issue("hix-tls"), world.issue("hix-seal")
    newest = [record.serial_hex for record in world.authority.certificates(limit=2)]
    assert newest == [third.serial_hex, second.serial_hex]
    rest = world.authority.certificates(before=newest[-1], limit=1)
    assert [record.serial_hex for record in rest] == [first.serial_hex]


def test_certificates_are_found_by_state_profile_holder_and_file(world: World) -> None:
    centre, doctor = world.issue("hix-tls"), world.issue()
    world.authority.hold(doctor.serial_hex, CLERK)
    find = world.authority.certificates
    assert [r.serial_hex for r in find(state=CertificateState.ON_HOLD)] == [doctor.serial_hex]
    assert [r.serial_hex for r in find(profile=ProfileName.HIX_TLS)] == [centre.serial_hex]
    assert [r.serial_hex for r in find(holder=CENTRE["siam_id"])] == [centre.serial_hex]
    file_id = world.authority.get(doctor.serial_hex).file_id
    assert [r.serial_hex for r in find(file_id=file_id)] == [doctor.serial_hex]


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "\n"])
def test_names_that_no_database_holds_find_nothing(world: World, name: str) -> None:
    assert world.authority.certificates(holder=name) == ()
    assert world.authority.certificates(file_id=name) == ()
    with pytest.raises(NotFound):
        world.authority.file(name)
