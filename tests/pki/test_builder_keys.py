"""`cryptography`'s builders with keys in a SoftHSM2 token, reached through the custodian."""

import copy
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
from pki.builder_keys import DeviceEcKey, DeviceRsaKey, builder_key, builder_padding
from pki.csr import build_csr, parse_csr
from pki.errors import ErrorCode, InvalidInput
from pki.keys import PS256_PADDING, PublicKey, SignatureAlgorithm, SigningKey, hash_of, rsa_padding, verify_signature
from tests.support.openssl import openssl
from tests.support.softhsm import CustodianHome

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pilot CA")])
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Physician")])
RSA_ALGORITHMS = (SignatureAlgorithm.RS256, SignatureAlgorithm.PS256)
BUILDER_ALGORITHMS = (SignatureAlgorithm.ES256, SignatureAlgorithm.ES384, *RSA_ALGORITHMS)

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


def _sign(key: SigningKey, hashed: hashes.HashAlgorithm | Prehashed) -> bytes:
    wrapped = builder_key(key)
    if isinstance(wrapped, DeviceEcKey):
        return wrapped.sign(bytes(32), ec.ECDSA(hashed))
    return wrapped.sign(bytes(32), rsa_padding(key.algorithm), hashed)


def _certificate(
    key: SigningKey, *, ca: bool = False, subject: x509.Name = SUBJECT, public_key: PublicKey | None = None
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .issuer_name(ISSUER)
        .subject_name(subject)
        .serial_number(x509.random_serial_number() | 1 << 150)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .public_key(public_key or UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(builder_key(key), _hash(key.algorithm), rsa_padding=builder_padding(key.algorithm))
    )


def test_each_class_of_key_can_be_made(custodian: CustodianHome, ca_key: SigningKey) -> None:
    made = builder_key(ca_key)
    assert isinstance(made, DeviceRsaKey if ca_key.algorithm in RSA_ALGORITHMS else DeviceEcKey)
    assert made.key_size in (256, 384, 3072)
    if isinstance(made, DeviceEcKey):
        assert made.curve.key_size == made.key_size


def test_a_request_for_itself_proves_possession(ca_key: SigningKey) -> None:
    assert parse_csr(build_csr(ca_key, "Pilot CA")).public_key == ca_key.public_key()


def test_a_certificate_is_signed_and_verifies(ca_key: SigningKey) -> None:
    certificate = _certificate(ca_key)
    verify_signature(ca_key.public_key(), certificate.signature, certificate.tbs_certificate_bytes, ca_key.algorithm)


def test_openssl_verifies_a_certificate_that_a_pss_key_signed(custodian: CustodianHome, tmp_path: Path) -> None:
    key = _key(custodian, SignatureAlgorithm.PS256, KeyPurpose.ROOT)
    certificate = _certificate(key, ca=True, subject=ISSUER, public_key=key.public_key())
    (tmp_path / "root.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    moment = str(int(NOW.timestamp()))
    judged = openssl(
        *("verify", "-check_ss_sig", "-attime", moment),
        *("-CAfile", tmp_path / "root.pem", tmp_path / "root.pem"),
    )
    assert judged.returncode == 0, judged.stderr
    text = openssl("x509", "-in", tmp_path / "root.pem", "-noout", "-text").stdout
    assert "rsassaPss" in text
    assert "Salt Length: 0x20" in text


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
        .sign(builder_key(ca_key), _hash(ca_key.algorithm), rsa_padding=builder_padding(ca_key.algorithm))
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
        .sign(builder_key(authority), _hash(algorithm), rsa_padding=builder_padding(algorithm))
    )
    builder = (
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
    )
    if algorithm is SignatureAlgorithm.PS256:  # this builder cannot be told of a padding, and must not guess one
        with pytest.raises(InvalidInput):
            builder.sign(builder_key(key), _hash(algorithm))
        return
    response = builder.sign(builder_key(key), _hash(algorithm))
    verify_signature(key.public_key(), response.signature, response.tbs_response_bytes)


def test_a_bare_digest_is_refused(ca_key: SigningKey) -> None:
    with pytest.raises(TypeError):
        _sign(ca_key, Prehashed(_hash(ca_key.algorithm)))


def test_a_hash_that_is_not_the_keys_own_is_refused(ca_key: SigningKey) -> None:
    with pytest.raises(InvalidInput) as refused:
        _sign(ca_key, hashes.SHA512())
    assert refused.value.code is ErrorCode.KEY_REFUSED


@pytest.mark.parametrize(
    ("algorithm", "asked"),
    [
        (SignatureAlgorithm.RS256, PS256_PADDING),
        (SignatureAlgorithm.PS256, padding.PKCS1v15()),
        (SignatureAlgorithm.PS256, padding.PSS(padding.MGF1(hashes.SHA256()), 20)),
        (SignatureAlgorithm.PS256, padding.PSS(padding.MGF1(hashes.SHA1()), 32)),  # noqa: S303 - to be refused
    ],
)
def test_a_padding_that_is_not_the_keys_own_is_refused(
    custodian: CustodianHome, algorithm: SignatureAlgorithm, asked: padding.AsymmetricPadding
) -> None:
    key = builder_key(_key(custodian, algorithm, KeyPurpose.CERTIFICATE_AUTHORITY))
    assert isinstance(key, DeviceRsaKey)
    with pytest.raises(InvalidInput) as refused:
        key.sign(b"message", asked, hashes.SHA256())
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
