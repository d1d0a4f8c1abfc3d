"""ML-DSA-65 keys of holders, as an experiment: requested, certified under P-256, read back by others (RFC 9881)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha1

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ca.config import validate_settings
from ca.errors import KeyRefused
from ca.service import CertificateAuthority
from pki import der
from pki.certificates import Certificate
from pki.csr import parse_csr
from pki.errors import ErrorCode, InvalidInput
from pki.signatures import load_public_key
from storage.engine import Database
from tests.ca import linters
from tests.ca.conftest import Ceremony
from tests.ca.profile_documents import with_change
from tests.ca.world import RAW_SETTINGS, FakeClock, World
from tests.support.officers import EveryOfficer

ML_DSA_65 = "2.16.840.1.101.3.4.3.18"
TRIAL = with_change("clin-sign", keys=["P-256", "ML-DSA-65"], status="experimental", version=2)


def request(key: mldsa.MLDSA65PrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a wish")])
    )
    return builder.sign(key, None).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def key() -> mldsa.MLDSA65PrivateKey:
    return mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes(range(32)))


@pytest.fixture
def trial(database: Database, ceremony: Ceremony) -> World:
    settings, clock = validate_settings(replace(RAW_SETTINGS, profiles=TRIAL)), FakeClock()
    authority = CertificateAuthority(database, ceremony.keys, settings, clock, gate=EveryOfficer())
    return World(
        authority=authority,
        database=database,
        keys=ceremony.keys,
        hierarchy=ceremony.hierarchy,
        clock=clock,
        settings=settings,
    )


def test_a_trial_profile_certifies_it(trial: World, key: mldsa.MLDSA65PrivateKey) -> None:
    issued = trial.authority.issue("clin-sign", trial.approved().id, request(key), "clerk")
    found = x509.load_der_x509_certificate(issued.der)
    assert found.public_key() == key.public_key()
    found.verify_directly_issued_by(trial.issuer())
    spki = Certificate.parse(issued.der).spki_der
    algorithm, bits = der.parse(spki).sequence()
    assert [node.oid() for node in algorithm.sequence()] == [ML_DSA_65]  # no parameters (RFC 9881 §2)
    identifier = found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert identifier == sha1(bits.bits(), usedforsecurity=False).digest()
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.content_commitment
    assert not usage.key_encipherment
    assert linters.lint_certificate(issued.der) == []


def test_other_profiles_refuse_it(world: World, key: mldsa.MLDSA65PrivateKey) -> None:
    with pytest.raises(KeyRefused, match="ML-DSA-65 is not allowed"):
        world.authority.issue("clin-sign", world.approved().id, request(key), "clerk")


def test_a_request_that_its_key_did_not_sign_is_refused(key: mldsa.MLDSA65PrivateKey) -> None:
    wrong = bytearray(request(key))
    assert parse_csr(bytes(wrong)).public_key == key.public_key()
    wrong[-1] ^= 1
    with pytest.raises(InvalidInput) as caught:
        parse_csr(bytes(wrong))
    assert caught.value.code is ErrorCode.CSR_PROOF_INVALID


@pytest.mark.parametrize("other", [mldsa.MLDSA44PrivateKey, mldsa.MLDSA87PrivateKey])
def test_other_sets_of_parameters_are_refused(other: type[mldsa.MLDSA44PrivateKey]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_csr(request(other.generate()))  # type: ignore[arg-type]  # that is the point
    assert caught.value.code is ErrorCode.KEY_REFUSED


def test_nothing_that_it_signed_is_checked(key: mldsa.MLDSA65PrivateKey) -> None:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(InvalidInput) as caught:
        load_public_key(spki)
    assert caught.value.code is ErrorCode.KEY_REFUSED
