from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.issuing.orders import Issued
from ca.service import CertificateAuthority
from ca.status.ocsp import issuer_prefix, usual_cert_id
from ca.status.revocation import RevocationReason
from hsm.custodian.purposes import MessageKind, SigningRule, check_message
from hsm.errors import HsmUnavailable
from hsm.provider import KeyPurpose
from pki import der
from pki.certificates import Certificate
from pki.errors import ErrorCode, Unavailable
from pki.keys import SignatureAlgorithm
from tests.ca.status.test_ocsp import request
from tests.ca.test_issuing_faults import DyingKeys
from tests.ca.world import CLERK, SETTINGS, START, World, new_csr
from tests.support.officers import EveryOfficer


def check_signature(world: World, response: ocsp.OCSPResponse, issuer: str = "persons") -> None:
    """Check the signature, and that the signer is the issuer's delegate."""
    (delegate,) = response.certificates
    delegate.verify_directly_issued_by(world.issuer(issuer))
    assert not delegate.extensions.get_extension_for_class(x509.OCSPNoCheck).critical
    purposes = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    key = delegate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert response.signature_hash_algorithm is not None
    key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(response.signature_hash_algorithm))
    assert response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(key).digest


def test_a_stored_answer_is_good_signed_and_dated(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    answer = world.ask(issued)
    check_signature(world, answer)
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert (answer.this_update_utc, answer.next_update_utc) == (START, START + timedelta(hours=24))
    assert answer.produced_at_utc == START


def test_the_same_stored_octets_answer_until_they_end(world: World) -> None:
    request_der = world.request_for(world.issue())
    world.authority.presign()
    first = world.authority.ocsp(request_der)
    world.clock.move(hours=23)
    assert world.authority.ocsp(request_der) == first
    world.clock.move(hours=2)
    later = ocsp.load_der_ocsp_response(world.authority.ocsp(request_der))
    assert later.this_update_utc == START + timedelta(hours=25)


@pytest.mark.parametrize("size", [1, 32, 128])
def test_a_nonce_is_echoed_in_a_fresh_answer(world: World, size: int) -> None:
    answer = world.ask(world.issue(), nonce=b"n" * size)
    check_signature(world, answer)
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * size
    assert not answer.extensions.get_extension_for_class(x509.OCSPNonce).critical


def test_two_nonces_get_two_answers(world: World) -> None:
    issued = world.issue()
    assert (
        world.ask(issued, nonce=b"a" * 32).tbs_response_bytes != world.ask(issued, nonce=b"b" * 32).tbs_response_bytes
    )


def test_a_sha256_cert_id_is_answered_in_kind(world: World) -> None:
    issued = world.issue()
    data = world.authority.ocsp(world.request_for(issued, algorithm=hashes.SHA256()))
    answer = ocsp.load_der_ocsp_response(data)
    check_signature(world, answer)
    assert isinstance(answer.hash_algorithm, hashes.SHA256)
    assert answer.serial_number == int(issued.serial_hex, 16)


def test_an_algorithm_without_parameters_is_echoed_as_it_was_asked(world: World) -> None:
    issued = world.issue()
    usual = usual_cert_id(
        issuer_prefix(Certificate.parse(world.hierarchy.certificate("persons"))), int(issued.serial_hex, 16)
    )
    parts = der.parse(usual).sequence()
    bare = der.sequence(der.sequence(der.oid("1.3.14.3.2.26")), *(part.raw for part in parts[1:]))
    data = world.authority.ocsp(request(bare))
    assert bare in data
    assert ocsp.load_der_ocsp_response(data).certificate_status is ocsp.OCSPCertStatus.GOOD


def test_an_unknown_serial_is_unknown_and_only_for_a_short_time(world: World) -> None:
    known = world.issue()
    answer = world.ask(Issued(der=world.hierarchy.certificate("ocsp-persons"), serial_hex="00", issuer="persons"))
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD  # delegates are in the register too
    prefix = issuer_prefix(Certificate.parse(world.hierarchy.certificate("persons")))
    stranger = ocsp.load_der_ocsp_response(
        world.authority.ocsp(request(usual_cert_id(prefix, int(known.serial_hex, 16) + 1)))
    )
    check_signature(world, stranger)
    assert stranger.certificate_status is ocsp.OCSPCertStatus.UNKNOWN
    assert stranger.next_update_utc == START + timedelta(minutes=5)


def test_a_negative_serial_is_unknown(world: World) -> None:
    prefix = issuer_prefix(Certificate.parse(world.hierarchy.certificate("persons")))
    data = world.authority.ocsp(request(usual_cert_id(prefix, -7)))
    assert ocsp.load_der_ocsp_response(data).certificate_status is ocsp.OCSPCertStatus.UNKNOWN


def test_a_certificate_of_another_authority_is_unknown_to_this_one(world: World) -> None:
    centre = world.issue("hix-tls")
    prefix = issuer_prefix(Certificate.parse(world.hierarchy.certificate("persons")))
    data = world.authority.ocsp(request(usual_cert_id(prefix, int(centre.serial_hex, 16))))
    assert ocsp.load_der_ocsp_response(data).certificate_status is ocsp.OCSPCertStatus.UNKNOWN


def test_a_foreign_issuer_and_the_root_are_not_ours_to_answer_for(world: World) -> None:
    root = issuer_prefix(Certificate.parse(world.hierarchy.certificate("root")))
    leaf = issuer_prefix(Certificate.parse(world.hierarchy.certificate("tsa")))
    for prefix in (root, leaf):
        data = world.authority.ocsp(request(usual_cert_id(prefix, 5)))
        assert ocsp.load_der_ocsp_response(data).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize("data", [b"", b"x", b"\x30\x80", b"\x30" * 9000, bytes(500)])
def test_what_cannot_be_read_is_malformed(world: World, data: bytes) -> None:
    answer = ocsp.load_der_ocsp_response(world.authority.ocsp(data))
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_several_certificates_of_one_authority_are_answered_in_one_response(world: World) -> None:
    good, bad = world.issue(), world.issue()
    world.authority.revoke(bad.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    prefix = issuer_prefix(Certificate.parse(world.hierarchy.certificate("persons")))
    ids = [usual_cert_id(prefix, int(issued.serial_hex, 16)) for issued in (good, bad)]
    found = list(ocsp.load_der_ocsp_response(world.authority.ocsp(request(*ids))).responses)
    assert [one.certificate_status for one in found] == [ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED]


def test_certificates_of_two_authorities_have_no_common_signer(world: World) -> None:
    prefixes = [issuer_prefix(Certificate.parse(world.hierarchy.certificate(n))) for n in ("persons", "systems")]
    data = world.authority.ocsp(request(*(usual_cert_id(prefix, 5) for prefix in prefixes)))
    assert ocsp.load_der_ocsp_response(data).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize("reason", [r for r in RevocationReason if r is not RevocationReason.CERTIFICATE_HOLD])
def test_every_reason_is_told(world: World, reason: RevocationReason) -> None:
    issued = world.issue()
    world.authority.revoke(issued.serial_hex, reason, CLERK)
    told = world.ask(issued).revocation_reason
    assert (told.value if told else "unspecified") == reason.value


def test_an_abandoned_intent_is_unknown(world: World) -> None:
    dying = CertificateAuthority(
        world.database,
        DyingKeys(HsmUnavailable("gone")),  # type: ignore[arg-type]  # has what is used
        SETTINGS,
        world.clock,
    )
    file = world.approved()
    with pytest.raises(Unavailable):
        dying.issue("clin-sign", file.id, new_csr(), "clerk")
    (record,) = world.authority.certificates(file_id=file.id)
    prefix = issuer_prefix(Certificate.parse(world.hierarchy.certificate("persons")))
    data = world.authority.ocsp(request(usual_cert_id(prefix, record.serial)))
    assert ocsp.load_der_ocsp_response(data).certificate_status is ocsp.OCSPCertStatus.UNKNOWN


def without_device(world: World) -> CertificateAuthority:
    keys = DyingKeys(HsmUnavailable("gone"))
    gate = EveryOfficer()
    return CertificateAuthority(
        world.database,
        keys,  # type: ignore[arg-type]  # has what is used
        SETTINGS,
        world.clock,
        gate=gate,
        answers=world.answers,
    )


def test_stored_answers_need_no_device_and_others_say_try_later(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    authority = without_device(world)
    stored = ocsp.load_der_ocsp_response(authority.ocsp(world.request_for(issued)))
    assert stored.certificate_status is ocsp.OCSPCertStatus.GOOD
    with pytest.raises(Unavailable) as caught:
        authority.ocsp(world.request_for(issued, nonce=b"n" * 16))
    assert caught.value.code is ErrorCode.HSM_UNAVAILABLE


def test_a_revocation_without_a_device_is_never_answered_good(world: World) -> None:
    issued = world.issue()
    without_device(world).revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    with pytest.raises(Unavailable):
        without_device(world).ocsp(world.request_for(issued))
    assert world.ask(issued).certificate_status is ocsp.OCSPCertStatus.REVOKED


def test_an_expired_delegate_signs_nothing(world: World) -> None:
    issued = world.issue()
    world.clock.move(days=31)
    with pytest.raises(Unavailable, match="renewed"):
        world.ask(issued)


def test_an_answer_never_outlives_the_delegate(world: World) -> None:
    issued = world.issue()
    world.clock.move(days=29, hours=18)
    answer = world.ask(issued, nonce=b"n")
    (delegate,) = answer.certificates
    assert answer.next_update_utc == delegate.not_valid_after_utc


def test_presigning_renews_what_is_about_to_end_and_then_rests(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    assert world.authority.presign() == 0
    world.clock.move(hours=17)
    assert world.authority.presign() > 0
    assert world.authority.presign() == 0
    assert world.ask(issued).this_update_utc == START + timedelta(hours=17)


def test_presigning_rests_even_when_the_delegate_is_about_to_end(world: World) -> None:
    world.issue()
    world.clock.move(days=29, hours=20)
    assert world.authority.presign() > 0
    assert world.authority.presign() == 0


def test_presigning_stops_at_its_limit(world: World) -> None:
    for _ in range(3):
        world.issue()
    world.clock.move(hours=20)
    assert world.authority.presign(limit=2) == 2


def test_a_clock_that_went_back_makes_stored_answers_from_the_future_useless(world: World) -> None:
    issued = world.issue()
    world.authority.presign()
    world.clock.move(minutes=-2)
    assert world.ask(issued).this_update_utc == START - timedelta(minutes=2)


def test_the_custodians_reading_accepts_our_answers(world: World) -> None:
    issuer = Certificate.parse(world.hierarchy.certificate("persons"))
    delegate = Certificate.parse(world.hierarchy.certificate("ocsp-persons"))
    rule = SigningRule(
        purpose=KeyPurpose.OCSP,
        algorithm=SignatureAlgorithm.ES256,
        spki_der=delegate.spki_der,
        issuer_der=issuer.subject_der,
    )
    answer = world.ask(world.issue(), nonce=b"n" * 32)
    assert check_message(rule, answer.tbs_response_bytes).kind is MessageKind.OCSP_RESPONSE
