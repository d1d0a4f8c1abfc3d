"""Rows 7, 8, 9 and 18: trust paths, what a certificate is for, rules of paths, weak algorithms."""

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pki import der, oids
from pki.certificates import Certificate
from signer.formats.cades import sign_cades
from signer.formats.jades import sign_jades
from signer.validation.policy import DEFAULT, HEALTH_CLUSTER, AlgorithmPolicy
from signer.validation.reasons import Reason
from signer.validation.verdict import Assurance, Care, Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.forge import CmsForge, attribute, forge_token
from tests.support.pki import ARC, NOW, Holder, Issuer, make_root
from tests.support.zoo import SIGNED_AT, Zoo, admission, make_clinician


def sign(holder: Holder, content: bytes = b"content") -> bytes:
    return sign_cades(content, holder.key, holder.chain, signed_at=SIGNED_AT, detached=False)


# Row 7


def test_without_anchors_nobody_is_trusted(zoo: Zoo, cades: bytes) -> None:
    verdict = verify_bytes(cades, zoo.context(anchors=()))
    expect(verdict, UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")
    assert Reason.NO_ANCHOR_GIVEN in reasons(verdict)
    assert (only(verdict).crypto, only(verdict).care) == (Crypto.INTACT, Care.INVALID)


def test_a_stranger_root_is_no_path_and_the_missing_issuer_is_named(zoo: Zoo, cades: bytes) -> None:
    verdict = verify_bytes(cades, zoo.context(anchors=(make_root("Another root").certificate,)))
    expect(verdict, UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")
    finding = next(f for f in only(verdict).findings if f.reason is Reason.ISSUER_NOT_FOUND)
    assert "CN=Test root" in finding.detail


def test_a_root_of_the_same_name_with_another_key_is_no_path(zoo: Zoo, cades: bytes) -> None:
    impostor = make_root("Test root")
    expect(verify_bytes(cades, zoo.context(anchors=(impostor.certificate,))), UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")


def test_an_anchor_may_be_the_intermediate_or_the_signer(zoo: Zoo, cades: bytes) -> None:
    for anchor in (zoo.intermediate, zoo.clinician):
        verdict = verify_bytes(cades, zoo.context(anchors=(anchor.certificate,)))
        expect(verdict, PASSED)
        assert only(verdict).chain[-1] == anchor.certificate


def test_a_directly_trusted_signer_needs_no_status_but_a_no_counts(zoo: Zoo, cades: bytes) -> None:
    pinned = (zoo.clinician.certificate,)
    expect(verify_bytes(cades, zoo.context(anchors=pinned, status_sources=())), PASSED)
    revoked = zoo.intermediate.crl({zoo.clinician.certificate.serial: NOW - timedelta(days=1)})
    known = zoo.context(anchors=pinned, status_sources=(zoo.status(revoked),))
    expect(verify_bytes(cades, known), UNDECIDED, "REVOKED_NO_POE")


def test_several_anchors_at_once_are_all_tried(zoo: Zoo, cades: bytes) -> None:
    others = tuple(make_root(f"Root {number}").certificate for number in range(3))
    expect(verify_bytes(cades, zoo.context(anchors=(*others, zoo.root.certificate))), PASSED)


# Row 8

WRONG_ENDS: dict[str, dict[str, Any]] = {
    "no-non-repudiation": {"usage": ("digital_signature",)},
    "tls-server": {"usage": ("content_commitment",), "extended": (oids.EKU_SERVER_AUTH, oids.EKU_CLIENT_AUTH)},
    "ocsp-responder": {"extended": (oids.EKU_OCSP_SIGNING,)},
    "time-stamping": {"extended": (oids.EKU_TIME_STAMPING,)},
}


@pytest.mark.parametrize("name", WRONG_ENDS)
def test_a_certificate_for_other_ends_breaks_a_chain_constraint(zoo: Zoo, name: str) -> None:
    verdict = verify_bytes(sign(make_clinician(zoo.intermediate, **WRONG_ENDS[name])), zoo.context())
    expect(verdict, UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")
    assert (only(verdict).crypto, only(verdict).care) == (Crypto.INTACT, Care.INVALID)


def test_a_ca_certificate_is_not_for_signing_documents(zoo: Zoo) -> None:
    verdict = verify_bytes(sign(zoo.intermediate), zoo.context())
    expect(verdict, UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")


def test_a_policy_that_is_required_must_be_asserted(zoo: Zoo, cades: bytes) -> None:
    silver = "1.3.6.1.4.1.32473.1.2"
    wanted = replace(DEFAULT, required_policies=frozenset((silver,)))
    expect(verify_bytes(cades, zoo.context(policy=wanted)), UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")
    holder = make_clinician(zoo.intermediate, policies=(silver,))
    expect(verify_bytes(sign(holder), zoo.context(policy=wanted)), PASSED)


def test_the_health_cluster_asks_for_a_clinician(zoo: Zoo, cades: bytes) -> None:
    context = zoo.context(policy=HEALTH_CLUSTER)
    expect(verify_bytes(cades, context), PASSED)
    citizen = zoo.intermediate.issue("نمونهٔ شهروند", policies=(ARC.certificate_policy, ARC.profile_type(2, 1)))
    verdict = verify_bytes(sign(citizen), context)
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert Reason.PROFESSION_NOT_ADMITTED in reasons(verdict)


def test_a_policy_can_name_the_professions_that_may_sign(zoo: Zoo, cades: bytes) -> None:
    prescribers = replace(HEALTH_CLUSTER, professions=frozenset(("physician", "dentist")))
    expect(verify_bytes(cades, zoo.context(policy=prescribers)), PASSED)
    nurse = make_clinician(zoo.intermediate, extra=((admission("nurse", "N-1234"), False),))
    expect(verify_bytes(sign(nurse), zoo.context(policy=prescribers)), UNDECIDED, "SIG_CONSTRAINTS_FAILURE")


def test_the_path_must_run_through_a_configured_certificate(zoo: Zoo, cades: bytes) -> None:
    health = replace(HEALTH_CLUSTER, path_through=frozenset((zoo.intermediate.certificate.sha256.hex(),)))
    expect(verify_bytes(cades, zoo.context(policy=health)), PASSED)
    elsewhere = zoo.root.issue_ca("Another intermediate")
    status = zoo.status(zoo.intermediate.crl(), elsewhere.crl())
    verdict = verify_bytes(sign(make_clinician(elsewhere)), zoo.context(policy=health, status_sources=(status,)))
    expect(verdict, UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")
    assert Reason.ANCHOR_NOT_ADMITTED in reasons(verdict)


# Row 9


def _under(zoo: Zoo, issuer: Issuer, **changes: Any) -> tuple[bytes, Any]:
    holder = make_clinician(issuer, **changes)
    crls = [zoo.intermediate.crl(), issuer.crl()]
    return sign(holder), zoo.context(status_sources=(zoo.status(*crls),))


def test_a_path_longer_than_its_ca_allows_is_a_general_failure(zoo: Zoo) -> None:
    below = zoo.intermediate.issue_ca("Too deep")
    data, context = _under(zoo, below)
    verdict = verify_bytes(data, context)
    expect(verdict, UNDECIDED, "CERTIFICATE_CHAIN_GENERAL_FAILURE")
    assert Reason.PATH_RULE_BROKEN in reasons(verdict)


def test_a_name_outside_its_cas_constraints_is_a_general_failure(zoo: Zoo) -> None:
    country = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "IR")])
    elsewhere = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "XX")])
    for permitted, expected in ((country, None), (elsewhere, "CERTIFICATE_CHAIN_GENERAL_FAILURE")):
        constraints = x509.NameConstraints([x509.DirectoryName(permitted)], None)
        narrow = zoo.root.issue_ca("Narrow CA", extra=((constraints, True),))
        data, context = _under(zoo, narrow)
        expect(verify_bytes(data, context), UNDECIDED if expected else PASSED, expected)


def test_a_certificate_issued_by_an_end_entity_is_a_general_failure(zoo: Zoo) -> None:
    fake = Issuer(x509=zoo.clinician.x509, key=zoo.clinician.key, issuers=zoo.clinician.issuers)
    data, context = _under(zoo, fake)
    expect(verify_bytes(data, context), UNDECIDED, "CERTIFICATE_CHAIN_GENERAL_FAILURE")


def test_an_unknown_critical_extension_is_a_general_failure(zoo: Zoo) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.9.9"), der.null())
    data, context = _under(zoo, zoo.intermediate, extra=((strange, True),))
    expect(verify_bytes(data, context), UNDECIDED, "CERTIFICATE_CHAIN_GENERAL_FAILURE")


# Row 18


@dataclass(frozen=True)
class RawKey:
    """A key that Mohr's own keys refuse to be."""

    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    hash: hashes.HashAlgorithm

    def public_key(self) -> Any:
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(message, padding.PKCS1v15(), self.hash)
        return self.private.sign(message, ec.ECDSA(self.hash))


@dataclass(frozen=True)
class RawHolder:
    certificate: Certificate
    key: RawKey


def _weak(zoo: Zoo, key: RawKey) -> RawHolder:
    issued = make_clinician(zoo.intermediate, key=key)
    return RawHolder(issued.certificate, key)


def test_sha1_without_proof_of_time_is_no_longer_reliable(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, hash_oid=oids.SHA1, digest_name="sha1").build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
    assert only(verdict).crypto is Crypto.INTACT


def test_sha1_with_a_time_stamp_from_after_its_end_is_not_reliable(zoo: Zoo, content: bytes) -> None:
    forge = CmsForge(content=content, holder=zoo.clinician, hash_oid=oids.SHA1, digest_name="sha1")
    value = zoo.clinician.key.sign(der.tlv(der.SET, *forge.attributes()))
    token = zoo.stamper(SIGNED_AT).stamp(hashlib.sha256(value).digest())
    forge.spoil = lambda _value: value
    forge.unsigned = (attribute(oids.ATTR_SIGNATURE_TIMESTAMP, token),)
    expect(verify_bytes(forge.build(), zoo.context()), UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE")


def test_md5_without_proof_of_time_is_no_longer_reliable(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, hash_oid=oids.MD5, digest_name="md5").build()
    expect(verify_bytes(forged, zoo.context()), UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")


def test_a_hash_nobody_knows_leaves_the_crypto_unknown(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, hash_oid="1.3.6.1.4.1.32473.9.1").build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE")
    assert only(verdict).crypto is Crypto.UNKNOWN


def test_small_rsa_and_small_curves_are_no_longer_reliable(zoo: Zoo, content: bytes) -> None:
    sha256_rsa = der.sequence(der.oid(oids.SHA256_WITH_RSA), der.null())
    weak_key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    small_rsa = _weak(zoo, RawKey(weak_key, hashes.SHA256()))
    small_curve = _weak(zoo, RawKey(ec.generate_private_key(ec.SECP224R1()), hashes.SHA256()))
    forged_rsa = CmsForge(content=content, holder=small_rsa, algorithm=sha256_rsa).build()
    for data in (forged_rsa, CmsForge(content=content, holder=small_curve).build()):
        verdict = verify_bytes(data, zoo.context())
        expect(verdict, UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
        assert only(verdict).crypto is Crypto.INTACT


def test_an_algorithm_past_its_end_passes_with_proof_from_before(zoo: Zoo, content: bytes) -> None:
    """P-256 is declared over one day after signing; P-384 keys of the authority still count."""
    key = RawKey(ec.generate_private_key(ec.SECP224R1()), hashes.SHA256())
    forge = CmsForge(content=content, holder=_weak(zoo, key))
    ended = AlgorithmPolicy(ec_ends=((225, SIGNED_AT + timedelta(days=1)),))
    context = zoo.context(policy=replace(DEFAULT, algorithms=ended))
    expect(verify_bytes(forge.build(), context), UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
    value = key.sign(der.tlv(der.SET, *forge.attributes()))
    forge.spoil = lambda _value: value
    forge.unsigned = (
        attribute(oids.ATTR_SIGNATURE_TIMESTAMP, forge_token(hashlib.sha256(value).digest(), zoo.tsa, SIGNED_AT)),
    )
    expect(verify_bytes(forge.build(), context), PASSED)


def test_an_algorithm_that_does_not_fit_the_key_holds_nowhere(zoo: Zoo, content: bytes) -> None:
    rsa_name = der.sequence(der.oid(oids.SHA256_WITH_RSA), der.null())
    forged = CmsForge(content=content, holder=zoo.clinician, algorithm=rsa_name).build()
    expect(verify_bytes(forged, zoo.context()), FAILED, "SIG_CRYPTO_FAILURE")


# Assurance


def test_assurance_follows_the_key_the_status_and_the_time(zoo: Zoo, jades: bytes) -> None:
    assert only(verify_bytes(jades, zoo.context())).assurance is Assurance.A2
    soft = make_clinician(zoo.intermediate, policies=(ARC.certificate_policy,))
    software = sign_jades(b"{}", soft.key, soft.chain, signed_at=SIGNED_AT)
    assert only(verify_bytes(software, zoo.context())).assurance is Assurance.A1
    assert only(verify_bytes(jades, zoo.context(anchors=()))).assurance is Assurance.A0


def test_the_signer_is_named_by_council_number_and_profession(zoo: Zoo, cades: bytes) -> None:
    signer = only(verify_bytes(cades, zoo.context())).signer
    assert signer is not None
    assert (signer.council_number, signer.profession) == ("123456", "physician")
