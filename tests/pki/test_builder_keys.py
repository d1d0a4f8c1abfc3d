"""`cryptography`'s builders with keys in a SoftHSM2 token, reached through the custodian."""

import copy
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from hsm.soft import UnsafeSoftKey
from pki.builder_keys import DeviceEcKey, DeviceRsaKey, builder_key
from pki.csr import build_csr, parse_csr
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm, SigningKey, hash_of, verify_signature
from tests.support.softhsm import CustodianHome

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pilot CA")])
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Physician")])
BUILDER_ALGORITHMS = (SignatureAlgorithm.ES256, SignatureAlgorithm.ES384, SignatureAlgorithm.RS256)

pytestmark = pytest.mark.real


@pytest.fixture(params=BUILDER_ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> SignatureAlgorithm:
    return SignatureAlgorithm(request.param)


def _key(custodian: CustodianHome, algorithm: SignatureAlgorithm, purpose: KeyPurpose) -> SigningKey:
    return custodian.client.signing_key(custodian.key(algorithm, purpose))


@pytest.fixture
def ca_key(custodian: CustodianHome, algorithm: SignatureAlgorithm) -> SigningKey:
    return _key(custodian, algorithm, KeyPurpose.CERTIFICATE_AUTHORITY)


def _hash(algorithm: SignatureAlgorithm) -> hashes.SHA256 | hashes.SHA384:
    found = hash_of(algorithm)
    assert isinstance(found, hashes.SHA256 | hashes.SHA384)
    return found


def _sign(key: DeviceEcKey | DeviceRsaKey, hashed: hashes.HashAlgorithm | Prehashed) -> bytes:
    if isinstance(key, DeviceEcKey):
        return key.sign(bytes(32), ec.ECDSA(hashed))
    return key.sign(bytes(32), padding.PKCS1v15(), hashed)


def _certificate(key: SigningKey, *, ca: bool = False) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .issuer_name(ISSUER)
        .subject_name(SUBJECT)
        .serial_number(x509.random_serial_number() | 1 << 150)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .public_key(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(builder_key(key), _hash(key.algorithm))
    )


def test_each_class_of_key_can_be_made(custodian: CustodianHome, ca_key: SigningKey) -> None:
    made = builder_key(ca_key)
    assert isinstance(made, DeviceRsaKey if ca_key.algorithm is SignatureAlgorithm.RS256 else DeviceEcKey)
    assert made.key_size in (256, 384, 3072)
    if isinstance(made, DeviceEcKey):
        assert made.curve.key_size == made.key_size


def test_a_request_for_itself_proves_possession(ca_key: SigningKey) -> None:
    assert parse_csr(build_csr(ca_key, "Pilot CA")).public_key == ca_key.public_key()


def test_a_certificate_is_signed_and_verifies(ca_key: SigningKey) -> None:
    certificate = _certificate(ca_key)
    verify_signature(ca_key.public_key(), certificate.signature, certificate.tbs_certificate_bytes)


def test_the_custodian_reads_the_certificate_inside_the_builder(ca_key: SigningKey) -> None:
    with pytest.raises(PurposeRefused):
        _certificate(ca_key, ca=True)


def test_a_revocation_list_is_signed_and_verifies(ca_key: SigningKey) -> None:
    entry = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(NOW).build()
    revoked = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ISSUER)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_revoked_certificate(entry)
        .sign(builder_key(ca_key), _hash(ca_key.algorithm))
    )
    assert revoked.is_signature_valid(builder_key(ca_key).public_key())


def test_an_ocsp_response_is_signed_and_verifies(custodian: CustodianHome, algorithm: SignatureAlgorithm) -> None:
    key = _key(custodian, algorithm, KeyPurpose.OCSP)
    authority = _key(custodian, algorithm, KeyPurpose.ROOT)
    issuer = _certificate(authority, ca=True)
    responder = (
        x509.CertificateBuilder()
        .issuer_name(ISSUER)
        .subject_name(SUBJECT)
        .serial_number(1 << 150)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .public_key(builder_key(key).public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(builder_key(authority), _hash(algorithm))
    )
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=responder,
            issuer=issuer,
            algorithm=hashes.SHA256(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=NOW,
            next_update=NOW + timedelta(hours=1),
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
        .sign(builder_key(key), _hash(algorithm))
    )
    verify_signature(key.public_key(), response.signature, response.tbs_response_bytes)


def test_a_bare_digest_is_refused(ca_key: SigningKey) -> None:
    with pytest.raises(TypeError):
        _sign(builder_key(ca_key), Prehashed(_hash(ca_key.algorithm)))


def test_a_hash_that_is_not_the_keys_own_is_refused(ca_key: SigningKey) -> None:
    with pytest.raises(InvalidInput) as refused:
        _sign(builder_key(ca_key), hashes.SHA512())
    assert refused.value.code is ErrorCode.KEY_REFUSED


def test_pss_is_refused(custodian: CustodianHome) -> None:
    key = builder_key(_key(custodian, SignatureAlgorithm.RS256, KeyPurpose.CERTIFICATE_AUTHORITY))
    assert isinstance(key, DeviceRsaKey)
    with pytest.raises(InvalidInput) as refused:
        key.sign(b"message", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    assert refused.value.code is ErrorCode.KEY_REFUSED


def test_nothing_takes_the_key_out(ca_key: SigningKey) -> None:
    key = builder_key(ca_key)
    with pytest.raises(TypeError):
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(TypeError):
        key.private_numbers()
    with pytest.raises(TypeError):
        pickle.dumps(key)
    use = key.exchange if isinstance(key, DeviceEcKey) else key.decrypt
    with pytest.raises(TypeError):
        use()


def test_a_copy_is_the_same_key(ca_key: SigningKey) -> None:
    key = builder_key(ca_key)
    assert copy.copy(key) is key
    assert copy.deepcopy([key])[0] is key


def test_an_edwards_key_is_not_for_builders() -> None:
    with pytest.raises(InvalidInput):
        builder_key(UnsafeSoftKey.generate(SignatureAlgorithm.EDDSA))
