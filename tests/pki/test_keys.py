"""What a key signs with, in each encoding; OpenSSL judges RSASSA-PSS."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.soft import UnsafeSoftKey
from pki import der
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.keys import (
    SignatureAlgorithm,
    algorithm_identifier,
    check_fits,
    jose_signature,
    rsa_padding,
    verify_signature,
    x509_signature,
)
from pki.signatures import verify_value
from tests.support.openssl import openssl

MESSAGE = b"message"


@pytest.fixture(scope="module")
def keys() -> dict[SignatureAlgorithm, UnsafeSoftKey]:
    return {algorithm: UnsafeSoftKey.generate(algorithm) for algorithm in SignatureAlgorithm}


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_a_signature_verifies_by_its_identifier(
    keys: dict[SignatureAlgorithm, UnsafeSoftKey], algorithm: SignatureAlgorithm
) -> None:
    key = keys[algorithm]
    signature = key.sign(MESSAGE)
    assert key.algorithm is algorithm
    verify_value(key.public_key(), der.parse(algorithm_identifier(algorithm)), signature, MESSAGE)
    verify_signature(key.public_key(), signature, MESSAGE, algorithm)


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_both_spellings_of_a_signature_are_one(
    keys: dict[SignatureAlgorithm, UnsafeSoftKey], algorithm: SignatureAlgorithm
) -> None:
    signature = keys[algorithm].sign(MESSAGE)
    assert x509_signature(algorithm, jose_signature(algorithm, signature)) == signature


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
@pytest.mark.parametrize("other", SignatureAlgorithm)
def test_a_signature_holds_under_its_own_algorithm_alone(
    keys: dict[SignatureAlgorithm, UnsafeSoftKey], algorithm: SignatureAlgorithm, other: SignatureAlgorithm
) -> None:
    if algorithm is other:
        return
    key = keys[algorithm]
    with pytest.raises((VerificationFailed, InvalidInput)):
        verify_signature(key.public_key(), key.sign(MESSAGE), MESSAGE, other)


def test_rsa_keys_take_both_paddings_and_nothing_else(keys: dict[SignatureAlgorithm, UnsafeSoftKey]) -> None:
    rsa = (SignatureAlgorithm.RS256, SignatureAlgorithm.PS256)
    public_key = keys[SignatureAlgorithm.RS256].public_key()
    for algorithm in SignatureAlgorithm:
        if algorithm in rsa:
            check_fits(algorithm, public_key)
            continue
        for refusing in (lambda a=algorithm: check_fits(a, public_key), lambda a=algorithm: rsa_padding(a)):
            with pytest.raises(InvalidInput) as refused:
                refusing()
            assert refused.value.code is ErrorCode.KEY_REFUSED


@pytest.mark.real
@pytest.mark.parametrize("bits", [3072, 4096])
def test_openssl_verifies_what_a_pss_key_signed(tmp_path: Path, bits: int) -> None:
    key = UnsafeSoftKey.generate(SignatureAlgorithm.PS256, bits)
    spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, data in (("key.pem", spki), ("message", MESSAGE), ("signature", key.sign(MESSAGE))):
        (tmp_path / name).write_bytes(data)
    options = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", "-sigopt", "rsa_mgf1_md:sha256")
    judged = openssl(
        *("dgst", "-sha256", "-verify", tmp_path / "key.pem", *options),
        *("-signature", tmp_path / "signature", tmp_path / "message"),
    )
    assert judged.stdout.strip() == "Verified OK", judged.stderr
    assert getattr(key.public_key(), "key_size", 0) == bits
