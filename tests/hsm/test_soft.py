from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from hsm.custodian.limits import KeyLimits
from hsm.errors import KeyExists, KeyNotFound, PurposeRefused
from hsm.provider import BindsIssuers, KeyProvider, KeyPurpose, SignsMany
from hsm.soft import UnsafeSoftKey, UnsafeSoftKeys
from pki import der
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed
from pki.keys import ReadsContent, SignatureAlgorithm, SigningKey, verify_signature
from tests.hsm import messages as m

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def keys() -> UnsafeSoftKeys:
    return UnsafeSoftKeys(FixedClock())


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_a_soft_key_signs_what_its_public_key_verifies(algorithm: SignatureAlgorithm) -> None:
    key: SigningKey = UnsafeSoftKey.generate(algorithm)
    assert key.algorithm is algorithm
    verify_signature(key.public_key(), key.sign(b"message"), b"message", algorithm)


@pytest.mark.parametrize("password", [None, b"correct horse"])
def test_a_soft_key_survives_its_file(tmp_path: Path, password: bytes | None) -> None:
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_pem(password))
    loaded = UnsafeSoftKey.load(path, password)
    verify_signature(key.public_key(), loaded.sign(b"message"), b"message")


def test_a_key_file_is_refused_in_production(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).private_pem())
    with pytest.raises(NotAllowed):
        UnsafeSoftKey.load(path, production=True)


def test_a_missing_key_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        UnsafeSoftKey.load(tmp_path / "none.pem")
    assert refused.value.code is ErrorCode.FILE_UNREADABLE


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key_is_refused(pem: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        UnsafeSoftKey.from_pem(pem)
    assert refused.value.code is ErrorCode.KEY_REFUSED


def test_a_wrong_password_is_refused() -> None:
    pem = UnsafeSoftKey.generate(SignatureAlgorithm.ES256).private_pem(b"right")
    for password in (None, b"wrong"):
        with pytest.raises(InvalidInput):
            UnsafeSoftKey.from_pem(pem, password)


def test_a_huge_key_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(bytes(100_000))
    with pytest.raises(InvalidInput) as refused:
        UnsafeSoftKey.load(path)
    assert refused.value.code is ErrorCode.INPUT_TOO_LARGE


def test_a_short_rsa_key_and_a_foreign_kind_are_refused() -> None:
    with pytest.raises(InvalidInput):
        UnsafeSoftKey(rsa.generate_private_key(65537, 1024))  # noqa: S505 - the weak key that must be refused
    with pytest.raises(InvalidInput):
        UnsafeSoftKey(dsa.generate_private_key(2048))  # type: ignore[arg-type]  # what a caller must not do


def test_the_provider_in_memory_has_every_capability(keys: UnsafeSoftKeys) -> None:
    provider: KeyProvider = keys
    assert isinstance(provider, SignsMany)
    assert isinstance(provider, BindsIssuers)
    assert provider.health().ok


def test_keys_are_listed_by_label_with_what_they_are_for(keys: UnsafeSoftKeys) -> None:
    keys.generate("b", SignatureAlgorithm.ES384, KeyPurpose.OCSP)
    keys.generate("a", SignatureAlgorithm.EDDSA, KeyPurpose.SEAL)
    assert [(info.label, info.algorithm, info.purpose, info.created) for info in keys.keys()] == [
        ("a", SignatureAlgorithm.EDDSA, KeyPurpose.SEAL, NOW),
        ("b", SignatureAlgorithm.ES384, KeyPurpose.OCSP, NOW),
    ]


def test_the_provider_in_memory_reads_what_it_signs(keys: UnsafeSoftKeys) -> None:
    public_key = keys.generate("seal", SignatureAlgorithm.EDDSA, KeyPurpose.SEAL)
    verify_signature(public_key, keys.signing_key("seal").sign(m.NOTE), m.NOTE)
    (signature,) = keys.sign_many("seal", [m.NOTE])
    verify_signature(public_key, signature, m.NOTE)
    for refuse in (keys.signing_key("seal").sign, lambda message: keys.sign_many("seal", [message])):
        with pytest.raises(PurposeRefused):
            refuse(b"anything")


def test_the_provider_in_memory_keeps_limits() -> None:
    limited = UnsafeSoftKeys(FixedClock(), lambda label: KeyLimits(crl_seconds=5 if label == "ca" else None))
    for label in ("ca", "other"):
        limited.generate(label, SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
    limited.signing_key("other").sign(m.tbs_cert_list())
    with pytest.raises(PurposeRefused, match="nextUpdate"):
        limited.signing_key("ca").sign(m.tbs_cert_list())


def test_a_time_stamping_key_in_memory_reads_the_content() -> None:
    limited = UnsafeSoftKeys(FixedClock(), lambda _label: KeyLimits(timestamp_tolerance_ms=1000))
    public_key = limited.generate("tsa", SignatureAlgorithm.ES256, KeyPurpose.TIMESTAMP)
    key = limited.signing_key("tsa")
    assert isinstance(key, ReadsContent)
    content = m.tst_info(generated=der.generalized_time(NOW))
    attributes = m.stamp_attributes(content)
    verify_signature(public_key, key.sign_attributes(attributes, content), attributes)
    with pytest.raises(PurposeRefused, match="without the content"):
        key.sign(attributes)
    with pytest.raises(PurposeRefused, match="other content"):
        key.sign_attributes(attributes, m.tst_info(generated=der.generalized_time(m.START)))


def test_a_key_is_bound_to_one_issuer_once(keys: UnsafeSoftKeys) -> None:
    keys.generate("ca", SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
    key = keys.signing_key("ca")
    keys.set_issuer("ca", m.ISSUER)
    with pytest.raises(PurposeRefused):
        key.sign(m.tbs_cert_list(issuer=m.name("Other CA")))
    with pytest.raises(Conflict):
        keys.set_issuer("ca", m.name("Other CA"))
    keys.generate("seal", SignatureAlgorithm.EDDSA, KeyPurpose.SEAL)
    with pytest.raises(InvalidInput):
        keys.set_issuer("seal", m.ISSUER)


def test_labels_are_unique_and_must_be_known(keys: UnsafeSoftKeys) -> None:
    keys.generate("a", SignatureAlgorithm.ES256, KeyPurpose.SEAL)
    with pytest.raises(KeyExists):
        keys.generate("a", SignatureAlgorithm.ES256, KeyPurpose.SEAL)
    with pytest.raises(InvalidInput):
        keys.generate("two words", SignatureAlgorithm.ES256, KeyPurpose.SEAL)
    with pytest.raises(KeyNotFound):
        keys.signing_key("b")
    keys.close()
    with pytest.raises(KeyNotFound):
        keys.signing_key("a")
