from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from ca.errors import KeyRefused, NotApproved, ProfileMismatch, ProfileUnknown
from ca.issuing.orders import Issued, IssueOrder
from ca.profiles import Activation
from ca.service import CertificateAuthority
from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import certificates
from hsm.errors import HsmUnavailable
from hsm.provider import spki_of
from hsm.soft import UnsafeSoftKey, UnsafeSoftKeys
from pki import der, oids
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.csr import build_csr
from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound, ServiceError, Unavailable
from pki.keys import SignatureAlgorithm
from tests.ca.conftest import Ceremony
from tests.ca.test_registration_desk import actions
from tests.ca.world import (
    CENTRE,
    CITIZEN,
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


# --- bad requests -----------------------------------------------------------------------------------


def signed_by(key: object, algorithm: hashes.HashAlgorithm | None) -> bytes:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]  # any kind of key


def with_broken_proof() -> bytes:
    csr = new_csr()
    return csr[:-1] + bytes((csr[-1] ^ 1,))


def with_another_key() -> bytes:
    """A request in which the public key was exchanged after it was signed."""
    mine, theirs = UnsafeSoftKey.generate(SignatureAlgorithm.ES256), UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    return build_csr(mine, "x").replace(spki_of(mine.public_key()), spki_of(theirs.public_key()))


def with_unused_bits() -> bytes:
    """A request whose proof holds for a reader that looks past the unused bits of its signature."""
    while (csr := bytearray(new_csr()))[-1] & 1:
        continue
    whole = der.parse(bytes(csr))
    _information, _algorithm, signature = whole.sequence()
    csr[len(csr) - len(signature.content)] = 1
    return bytes(csr)


BAD_REQUESTS: dict[str, tuple[Callable[[], bytes], ErrorCode]] = {
    "empty": (lambda: b"", ErrorCode.CSR_MALFORMED),
    "random": (lambda: os.urandom(300), ErrorCode.CSR_MALFORMED),
    "truncated": (lambda: new_csr()[:-10], ErrorCode.CSR_MALFORMED),
    "trailing octets": (lambda: new_csr() + b"\0", ErrorCode.CSR_MALFORMED),
    "too large": (lambda: b"\x30" * 40_000, ErrorCode.CSR_MALFORMED),
    "a certificate": (lambda: b"-----BEGIN CERTIFICATE-----\n", ErrorCode.CSR_MALFORMED),
    "version 5": (lambda: new_csr().replace(b"\x02\x01\x00", b"\x02\x01\x05", 1), ErrorCode.CSR_MALFORMED),
    "unused bits": (with_unused_bits, ErrorCode.CSR_MALFORMED),
    "broken proof": (with_broken_proof, ErrorCode.CSR_PROOF_INVALID),
    "another key": (with_another_key, ErrorCode.CSR_PROOF_INVALID),
    "P-521": (lambda: signed_by(ec.generate_private_key(ec.SECP521R1()), hashes.SHA256()), ErrorCode.KEY_REFUSED),
    "secp256k1": (lambda: signed_by(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()), ErrorCode.KEY_REFUSED),
    "Ed25519": (lambda: signed_by(ed25519.Ed25519PrivateKey.generate(), None), ErrorCode.KEY_REFUSED),
    "RSA-1024": (lambda: signed_by(rsa.generate_private_key(65537, 1024), hashes.SHA256()), ErrorCode.KEY_REFUSED),  # noqa: S505 - that is the point
    "exponent 3": (lambda: signed_by(rsa.generate_private_key(3, 2048), hashes.SHA256()), ErrorCode.KEY_REFUSED),
    "DSA": (lambda: signed_by(dsa.generate_private_key(1024), hashes.SHA256()), ErrorCode.KEY_REFUSED),  # noqa: S505 - that is the point
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_refused_before_anything_is_written(name: str, world: World) -> None:
    make, code = BAD_REQUESTS[name]
    file, before = world.approved(), rows(world)
    with pytest.raises(InvalidInput) as caught:
        world.authority.issue("clin-sign", file.id, make(), "clerk")
    assert caught.value.code is code
    assert rows(world) == before


GOOD_REQUEST = new_csr()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_request_with_any_octet_changed_is_refused(place: int, change: int, world: World) -> None:
    csr = bytearray(GOOD_REQUEST)
    csr[place % len(csr)] ^= change
    request = IssueOrder(actor="clerk", profile="clin-sign", file_id=_file_id(world), csr=bytes(csr))
    (outcome,) = tuple(world.authority.line.issue_many([request]))
    assert isinstance(outcome, InvalidInput)


def _file_id(world: World) -> str:
    found = world.authority.files(limit=1)
    return found[0].id if found else world.approved().id


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


class DyingKeys:
    """A device that dies when it is to sign."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def signing_key(self, label: str) -> object:
        raise self._error


def authority_with(world: World, keys: object) -> CertificateAuthority:
    return CertificateAuthority(world.database, keys, SETTINGS, world.clock)  # type: ignore[arg-type]  # has what is used


def test_a_device_that_does_not_answer_leaves_an_abandoned_intent_and_no_certificate(world: World) -> None:
    authority = authority_with(world, DyingKeys(HsmUnavailable("gone")))
    file = world.approved()
    with pytest.raises(Unavailable):
        authority.issue("clin-sign", file.id, new_csr(), "clerk")
    (record,) = authority.certificates(file_id=file.id)
    assert (record.state, record.der) == (CertificateState.ABANDONED, None)
    assert actions(world.database, record.serial_hex) == {
        AuditAction.CERTIFICATE_INTENDED: 1,
        AuditAction.CERTIFICATE_ABANDONED: 1,
    }
    assert world.recovery.reconcile() == ()


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def test_a_process_killed_between_intent_and_result_leaves_an_intent_that_is_reconciled(world: World) -> None:
    authority = authority_with(world, DyingKeys(Killed()))
    file, csr = world.approved(), new_csr()
    with pytest.raises(Killed):
        authority.issue("clin-sign", file.id, csr, "clerk")
    (record,) = world.authority.certificates(file_id=file.id)
    assert record.state is CertificateState.INTENDED
    assert world.recovery.reconcile() == ()  # it could still be under way
    world.clock.move(minutes=6)
    assert world.recovery.reconcile() == (record.serial_hex,)
    assert world.authority.get(record.serial_hex).state is CertificateState.ABANDONED
    assert world.recovery.reconcile() == ()
    again = world.authority.issue("clin-sign", file.id, csr, "clerk")  # an abandoned intent holds no key back
    assert again.serial_hex != record.serial_hex


class SlowKeys(UnsafeSoftKeys):
    """A device so slow that the intent is given up while it signs."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self._keys, self._world = world.keys._keys, world

    def signing_key(self, label: str) -> object:  # type: ignore[override]  # the key itself is the good one
        self._world.clock.move(minutes=10)
        self._world.recovery.reconcile()
        return super().signing_key(label)


def test_a_signature_that_comes_after_its_intent_was_abandoned_is_delivered_to_nobody(world: World) -> None:
    authority = authority_with(world, SlowKeys(world))
    file = world.approved()
    with pytest.raises(ServiceError) as caught:
        authority.issue("clin-sign", file.id, new_csr(), "clerk")
    assert caught.value.code is ErrorCode.STATE_ILLEGAL
    (record,) = authority.certificates(file_id=file.id)
    assert (record.state, record.der) == (CertificateState.ABANDONED, None)


def test_the_intent_holds_the_digest_of_what_is_signed(world: World) -> None:
    issued = world.issue()
    with world.database.read() as connection:
        digest = connection.execute(
            select(certificates.c.tbs_sha256).where(certificates.c.serial == issued.serial_hex)
        ).scalar_one()
    assert digest == sha256(Certificate.parse(issued.der).tbs).digest()


def test_a_random_source_that_repeats_itself_cannot_make_a_second_certificate(world: World, ceremony: Ceremony) -> None:
    stuck = CertificateAuthority(world.database, ceremony.keys, SETTINGS, world.clock, random_bytes=lambda n: b"7" * n)
    file = world.approved()
    stuck.issue("clin-sign", file.id, new_csr(), "clerk")
    with pytest.raises(Conflict, match="drawn twice"):
        stuck.issue("clin-sign", file.id, new_csr(), "clerk")


KILL_SCRIPT = """
import os, sys
from pathlib import Path
from ca.service import CertificateAuthority
from hsm.provider import spki_of
from hsm.soft import UnsafeSoftKey
from storage.engine import open_database
from tests.ca.world import FakeClock, SETTINGS, new_csr

class Keys:
    def signing_key(self, label):
        os.kill(os.getpid(), 9)

authority = CertificateAuthority(open_database(sys.argv[1]), Keys(), SETTINGS, FakeClock())
authority.issue("clin-sign", sys.argv[2], new_csr(), "clerk")
"""


def test_a_real_kill_after_the_intent_loses_neither_intent_nor_database(world: World) -> None:
    file = world.approved()
    ended = subprocess.run(
        [sys.executable, "-c", KILL_SCRIPT, world.database.engine.url.render_as_string(), file.id],
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=60,
    )
    assert ended.returncode == -9
    (record,) = world.authority.certificates(file_id=file.id)
    assert record.state is CertificateState.INTENDED
    assert world.recovery.reconcile() == (record.serial_hex,)
    assert world.issue("cit-sign", CITIZEN).serial_hex != record.serial_hex
