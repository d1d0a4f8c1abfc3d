from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ca.errors import KeyRefused, LintFailed, TokenSpent
from ca.hierarchy import Hierarchy, authority_key
from ca.issuance import IssuanceToken, prepare, sign_prepared
from ca.profiles import IssuerName
from hsm.custodian.purposes import MessageKind, SigningRule, check_message
from hsm.provider import KeyPurpose, spki_of
from hsm.soft import UnsafeSoftKeys
from pki.certificates import Certificate
from pki.errors import VerificationFailed
from pki.keys import SignatureAlgorithm
from tests.ca.conftest import Ceremony
from tests.ca.mutants import content_of
from tests.ca.world import FILE_PROFILES, SETTINGS, FakeClock

PERSONS_KEY = authority_key(IssuerName.PERSONS)


@pytest.fixture(scope="module")
def hierarchy(ceremony: Ceremony) -> Hierarchy:
    return ceremony.hierarchy


def test_what_was_linted_is_what_is_signed(ceremony: Ceremony) -> None:
    content = content_of("clin-sign", ceremony.hierarchy)
    prepared = prepare(content, SETTINGS)
    (certificate_der,) = sign_prepared([prepared], ceremony.keys, PERSONS_KEY, content.issuer)
    certificate = Certificate.parse(certificate_der)
    assert sha256(certificate.tbs).digest() == prepared.tbs_sha256
    certificate.verify_signed_by(Certificate.parse(ceremony.hierarchy.certificate("persons")))


def test_a_token_signs_once(ceremony: Ceremony) -> None:
    prepared = prepare(content_of("clin-sign", ceremony.hierarchy), SETTINGS)
    issuer = prepared.content.issuer
    sign_prepared([prepared], ceremony.keys, PERSONS_KEY, issuer)
    with pytest.raises(TokenSpent):
        sign_prepared([prepared], ceremony.keys, PERSONS_KEY, issuer)


def test_a_token_gives_its_bytes_away_once() -> None:
    token = IssuanceToken(b"tbs")
    assert token.spend() == b"tbs"
    with pytest.raises(TokenSpent):
        token.spend()
    assert not hasattr(token, "__dict__")


def test_a_refused_key_reaches_no_builder(hierarchy: Hierarchy) -> None:
    weak = ec.generate_private_key(ec.SECP256K1()).public_key()
    with pytest.raises(KeyRefused):
        prepare(content_of("clin-sign", hierarchy, key=weak), SETTINGS)


def test_a_key_that_the_deployer_refuses_reaches_no_builder(hierarchy: Hierarchy) -> None:
    content = content_of("clin-sign", hierarchy)
    listed = replace(SETTINGS, refused_keys=frozenset({sha256(content.spki_der).digest()}))
    with pytest.raises(KeyRefused, match="block list"):
        prepare(content, listed)


def test_a_certificate_that_breaks_a_rule_gets_no_token(hierarchy: Hierarchy) -> None:
    content = content_of("clin-sign", hierarchy)
    assert content.issuer.not_after is not None
    with pytest.raises(LintFailed) as caught:
        prepare(replace(content, not_after=content.not_before), SETTINGS)
    assert {"rfc5280.validity_runs_forward"} <= {finding.code for finding in caught.value.findings}


def test_a_device_that_signs_with_another_key_is_found_out(ceremony: Ceremony) -> None:
    content = content_of("clin-sign", ceremony.hierarchy)
    another = UnsafeSoftKeys(FakeClock())
    another.generate(PERSONS_KEY, SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
    with pytest.raises(VerificationFailed):
        sign_prepared([prepare(content, SETTINGS)], another, PERSONS_KEY, content.issuer)


def test_certificates_of_two_issuers_are_not_signed_in_one_go(ceremony: Ceremony) -> None:
    persons, systems = (prepare(content_of(name, ceremony.hierarchy), SETTINGS) for name in ("clin-sign", "tls-server"))
    with pytest.raises(ValueError, match="another issuer"):
        sign_prepared([persons, systems], ceremony.keys, PERSONS_KEY, persons.content.issuer)


@pytest.mark.parametrize("profile", [*FILE_PROFILES, "ocsp", "tsa", "seal"])
def test_the_custodians_reading_accepts_every_profile(profile: str, ceremony: Ceremony) -> None:
    prepared = prepare(content_of(profile, ceremony.hierarchy), SETTINGS)
    issuer = prepared.content.issuer
    rule = SigningRule(
        purpose=KeyPurpose.CERTIFICATE_AUTHORITY,
        algorithm=issuer.algorithm,
        spki_der=spki_of(issuer.public_key),
        issuer_der=issuer.name_der,
    )
    assert check_message(rule, prepared.token.spend()).kind is MessageKind.CERTIFICATE


class OneByOne:
    """A provider that cannot sign many at once."""

    def __init__(self, ceremony: Ceremony) -> None:
        self.signing_key = ceremony.keys.signing_key


def test_a_provider_without_batches_signs_one_by_one(ceremony: Ceremony) -> None:
    content = content_of("clin-sign", ceremony.hierarchy)
    prepared = [prepare(replace(content, serial=content.serial + n), SETTINGS) for n in range(2)]
    signed = sign_prepared(prepared, OneByOne(ceremony), PERSONS_KEY, content.issuer)  # type: ignore[arg-type]  # has what is used
    assert [Certificate.parse(der).serial for der in signed] == [content.serial, content.serial + 1]
