from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from sqlalchemy import select

from ca.errors import KeyRefused, NotApproved, ProfileMismatch, ProfileUnknown
from ca.issuing.orders import Issued, IssueOrder
from ca.profiles import Activation
from ca.service import CertificateAuthority
from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import certificates
from hsm.soft import UnsafeSoftKey, UnsafeSoftKeys
from pki import oids
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.csr import build_csr
from pki.errors import ErrorCode, NotFound, ServiceError
from pki.keys import SignatureAlgorithm
from tests.ca.test_registration_desk import actions
from tests.ca.world import (
    CENTRE,
    CLERK,
    CLINICIAN,
    FILE_PROFILES,
    FIRST,
    SETTINGS,
    World,
    national_code,
    new_csr,
)


def rows(world: World) -> int:
    with world.database.read() as connection:
        return len(connection.execute(select(certificates.c.id)).all())


@pytest.mark.parametrize("profile", FILE_PROFILES)
def test_an_approved_file_and_a_request_make_a_certificate(profile: str, world: World) -> None:
    issued = world.issue_waiting(profile)
    certificate = Certificate.parse(issued.der)
    certificate.verify_signed_by(Certificate.parse(world.hierarchy.certificate(issued.issuer)))
    record = world.authority.get(issued.serial_hex)
    waits = SETTINGS.profiles.get(profile).activation is Activation.HOLDER
    state = CertificateState.ISSUED if waits else CertificateState.GOOD
    assert (record.state, record.der, record.profile) == (state, issued.der, profile)
    assert issued.state is state
    assert record.serial == certificate.serial
    assert actions(world.database, issued.serial_hex) == {
        AuditAction.CERTIFICATE_INTENDED: 1,
        AuditAction.CERTIFICATE_ISSUED: 1,
    }


def test_the_key_of_the_request_is_certified_and_its_subject_is_not(world: World) -> None:
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    issued = world.authority.issue("clin-sign", world.approved().id, build_csr(key, "Minister of Health"), "clerk")
    certificate = Certificate.parse(issued.der)
    assert certificate.public_key == key.public_key()
    assert certificate.subject_attribute(oids.COMMON_NAME) == "علی رضایی"


def test_rsa_keys_of_cards_and_pem_requests_are_taken(world: World) -> None:
    key = rsa.generate_private_key(65537, 2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    file = world.approved()
    issued = world.authority.issue("clin-sign", file.id, request.public_bytes(Encoding.PEM), "clerk")
    assert isinstance(Certificate.parse(issued.der).public_key, rsa.RSAPublicKey)
    with pytest.raises(KeyRefused):  # a centre has no card
        world.authority.issue("hix-tls", world.approved(CENTRE).id, request.public_bytes(Encoding.DER), "clerk")


def test_a_file_without_two_approvals_issues_nothing(world: World) -> None:
    file = world.submitted()
    world.authority.approve(file.id, FIRST)
    with pytest.raises(NotApproved) as caught:
        world.authority.issue("clin-sign", file.id, new_csr(), "clerk")
    assert caught.value.code is ErrorCode.NOT_APPROVED


def test_the_pilot_switch_is_marked_in_the_policy_and_in_the_ledger(world: World) -> None:
    file = world.submitted()
    issued = world.authority.issue("clin-sign", file.id, new_csr(), "clerk", unapproved=True)
    assert Certificate.parse(issued.der).policies[0] == SETTINGS.oids.unapproved_pilot_policy
    assert world.authority.get(issued.serial_hex).unapproved


def test_the_pilot_switch_marks_nothing_that_was_approved(world: World) -> None:
    issued = world.authority.issue("clin-sign", world.approved().id, new_csr(), "clerk", unapproved=True)
    assert Certificate.parse(issued.der).policies[0] == SETTINGS.oids.certificate_policy


def test_the_pilot_switch_opens_no_refused_file(world: World) -> None:
    file = world.submitted()
    world.authority.refuse(file.id, FIRST, "not a doctor")
    with pytest.raises(NotApproved):
        world.authority.issue("clin-sign", file.id, new_csr(), "clerk", unapproved=True)


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("cit-sign", ProfileMismatch),
        ("hix-tls", ProfileMismatch),
        ("ocsp", ProfileMismatch),
        ("issuing-ca", ProfileMismatch),
        ("root", ProfileMismatch),
        ("clin-encrypt", ProfileUnknown),
        ("", ProfileUnknown),
    ],
)
def test_a_profile_is_for_its_kind_of_holder(profile: str, error: type[ServiceError], world: World) -> None:
    before = rows(world)
    with pytest.raises(error):
        world.authority.issue(profile, world.approved().id, new_csr(), "clerk")
    assert rows(world) == before


def test_an_unknown_file_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.authority.issue("clin-sign", "nothing", new_csr(), "clerk")


def test_one_key_serves_one_holder_and_one_purpose(world: World) -> None:
    csr = new_csr()
    file = world.approved()
    world.authority.issue("clin-sign", file.id, csr, "clerk")
    with pytest.raises(KeyRefused, match="another purpose"):
        world.authority.issue("clin-auth", file.id, csr, "clerk")
    other = world.approved({**CLINICIAN, "national_code": "0000012351", "council_number": "54321"})
    with pytest.raises(KeyRefused, match="another holder"):
        world.authority.issue("clin-sign", other.id, csr, "clerk")


def test_a_holder_may_renew_with_the_same_key_until_it_is_compromised(world: World) -> None:
    csr = new_csr()
    file = world.approved()
    first = world.authority.issue("clin-sign", file.id, csr, "clerk")
    second = world.authority.issue("clin-sign", file.id, csr, "clerk")
    assert first.serial_hex != second.serial_hex
    world.authority.revoke(first.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    with pytest.raises(KeyRefused, match="compromised"):
        world.authority.issue("clin-sign", file.id, csr, "clerk")


def test_the_authoritys_own_keys_are_certified_for_nobody_else(world: World) -> None:
    csr = build_csr(world.keys.signing_key("tsa"), "x")
    with pytest.raises(KeyRefused):
        world.authority.issue("clin-sign", world.approved().id, csr, "clerk")


# --- batches ----------------------------------------------------------------------------------------


def clinicians(world: World, count: int) -> list[str]:
    return [
        world.approved({**CLINICIAN, "national_code": national_code(n), "council_number": str(20_000 + n)}).id
        for n in range(count)
    ]


def test_a_batch_answers_each_request_in_its_place(world: World) -> None:
    good, waiting = clinicians(world, 2), world.submitted()
    csr = new_csr()
    requests = [
        IssueOrder(actor="clerk", profile="clin-sign", file_id=good[0], csr=csr),
        IssueOrder(actor="clerk", profile="clin-sign", file_id=waiting.id, csr=new_csr()),
        IssueOrder(actor="clerk", profile="clin-sign", file_id=good[1], csr=csr),  # the first one's key
        IssueOrder(actor="clerk", profile="clin-sign", file_id=good[1], csr=b"x"),
        IssueOrder(actor="clerk", profile="clin-auth", file_id=good[1], csr=new_csr()),
        IssueOrder(actor="clerk", profile="nothing", file_id=good[1], csr=new_csr()),
        IssueOrder(actor="clerk", profile="hix-tls", file_id=world.approved(CENTRE).id, csr=new_csr()),
    ]
    outcomes = tuple(world.authority.line.issue_many(requests))
    assert [getattr(outcome, "code", None) or getattr(outcome, "issuer", None) for outcome in outcomes] == [
        "persons",
        ErrorCode.NOT_APPROVED,
        ErrorCode.KEY_REFUSED,
        ErrorCode.CSR_MALFORMED,
        "persons",
        ErrorCode.PROFILE_UNKNOWN,
        "institutions",
    ]


def test_an_empty_batch_does_nothing(world: World) -> None:
    assert tuple(world.authority.line.issue_many([])) == ()


class CountingKeys(UnsafeSoftKeys):
    """Counts the round trips to the device."""

    trips = 0

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        self.trips += 1
        return super().sign_many(label, messages)


def test_a_large_batch_takes_one_round_trip_and_its_responses_follow(world: World) -> None:
    counting = CountingKeys(world.clock)
    counting._keys = world.keys._keys
    authority = CertificateAuthority(world.database, counting, SETTINGS, world.clock, answers=world.answers)
    requests = [
        IssueOrder(actor="clerk", profile="clin-sign", file_id=file_id, csr=new_csr())
        for file_id in clinicians(world, 17)
    ]
    outcomes = tuple(authority.line.issue_many(requests))
    assert all(isinstance(outcome, Issued) for outcome in outcomes)
    assert counting.trips == 1
    assert not any(is_presigned(world, outcome) for outcome in outcomes if isinstance(outcome, Issued))
    authority.presign()
    assert all(is_presigned(world, outcome) for outcome in outcomes if isinstance(outcome, Issued))


def is_presigned(world: World, issued: Issued) -> bool:
    return world.authority.stored_answer(world.request_for(issued), world.clock.now()) is not None


def test_an_answer_about_a_new_certificate_is_signed_when_asked_for(world: World) -> None:
    issued = world.issue("hix-tls")
    assert not is_presigned(world, issued)
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD


# --- faults -----------------------------------------------------------------------------------------
