from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ca.hierarchy import Hierarchy
from ca.profiles import IssuerName
from ca.tbs import Issuer, build_twin, policy_oids, serial_from, validity
from pki import der
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from tests.ca.conftest import Ceremony
from tests.ca.mutants import content_of
from tests.ca.world import CLINICIAN, SETTINGS, START


@pytest.fixture(scope="module")
def hierarchy(ceremony: Ceremony) -> Hierarchy:
    return ceremony.hierarchy


@given(st.binary(min_size=20, max_size=20))
def test_every_serial_is_positive_and_twenty_octets(random: bytes) -> None:
    serial = serial_from(random)
    assert serial > 0
    assert len(der.parse(der.integer(serial)).content) == 20


@given(st.binary(min_size=20, max_size=20))
def test_a_serial_keeps_158_random_bits(random: bytes) -> None:
    assert serial_from(random) & ((1 << 158) - 1) == int.from_bytes(random, "big") & ((1 << 158) - 1)


def test_a_serial_takes_twenty_octets() -> None:
    with pytest.raises(ValueError, match="20 random octets"):
        serial_from(b"x" * 16)


def test_a_certificate_begins_a_little_earlier_and_lives_exactly_its_time(hierarchy: Hierarchy) -> None:
    issuer = content_of("clin-sign", hierarchy).issuer
    not_before, not_after = validity(SETTINGS.profiles.get("clin-sign"), issuer, START, SETTINGS)
    assert START - not_before == timedelta(minutes=5)
    # Both ends are within the validity (RFC 5280 §4.1.2.5).
    assert not_after - not_before + timedelta(seconds=1) == timedelta(days=3 * 365)


def test_a_certificate_never_outlives_its_issuer(hierarchy: Hierarchy) -> None:
    issuer = content_of("clin-sign", hierarchy).issuer
    assert issuer.not_after is not None
    late = issuer.not_after - timedelta(days=30)
    assert validity(SETTINGS.profiles.get("clin-sign"), issuer, late, SETTINGS)[1] == issuer.not_after


def test_a_certificate_never_begins_before_its_issuer(hierarchy: Hierarchy) -> None:
    issuer = replace(content_of("clin-sign", hierarchy).issuer, not_before=START - timedelta(seconds=10))
    not_before, not_after = validity(SETTINGS.profiles.get("clin-sign"), issuer, START, SETTINGS)
    assert not_before == issuer.not_before
    assert not_after - not_before + timedelta(seconds=1) == timedelta(days=3 * 365)


@pytest.mark.parametrize("name", list(SETTINGS.profiles.profiles))
def test_a_twin_is_a_whole_certificate_with_a_signature_that_is_not_the_issuers(
    name: str, hierarchy: Hierarchy
) -> None:
    content = content_of(name, hierarchy)
    twin = build_twin(content, SETTINGS)
    read = Certificate.parse(twin.der)
    assert read.tbs == twin.tbs
    assert x509.load_der_x509_certificate(twin.der).serial_number == content.serial
    assert read.issuer_der == content.issuer.name_der
    with pytest.raises(Exception, match="verification-failed"):
        read.verify_signed_by(replace(read, spki_der=hierarchy_spki(content.issuer)))


def hierarchy_spki(issuer: Issuer) -> bytes:
    from hsm.provider import spki_of

    return spki_of(issuer.public_key)


def test_two_twins_of_one_content_have_the_same_bytes_to_sign(hierarchy: Hierarchy) -> None:
    content = content_of("hix-tls", hierarchy)
    assert build_twin(content, SETTINGS).tbs == build_twin(content, SETTINGS).tbs


def test_software_keys_live_shorter(hierarchy: Hierarchy) -> None:
    soft = content_of("hix-tls", hierarchy, hardware=False)
    assert soft.not_after - soft.not_before < timedelta(days=90)


def test_the_shard_is_in_the_certificate_and_follows_from_its_serial(hierarchy: Hierarchy) -> None:
    content = content_of("clin-sign", hierarchy)
    for serial in range(content.serial, content.serial + 4):
        read = Certificate.parse(build_twin(replace(content, serial=serial), SETTINGS).der)
        assert read.crl_urls == (f"http://pki.example.org:8080/crl/persons/{serial % 4}.crl",)


def test_the_root_points_nowhere_and_an_issuing_authority_only_to_the_roots_crl(hierarchy: Hierarchy) -> None:
    root = Certificate.parse(build_twin(content_of("root", hierarchy), SETTINGS).der)
    assert (root.crl_urls, root.issuer_urls, root.ocsp_urls, root.policies) == ((), (), (), ())
    issuing = Certificate.parse(build_twin(content_of("issuing-ca", hierarchy), SETTINGS).der)
    assert issuing.crl_urls == ("http://pki.example.org:8080/crl/root/0.crl",)
    assert issuing.ocsp_urls == ()
    assert (issuing.is_ca, issuing.path_length, issuing.policies) == (True, 0, ("2.5.29.32.0",))


def test_policies_are_one_policy_and_one_type() -> None:
    assert policy_oids(SETTINGS.profiles.get("clin-sign"), SETTINGS, unapproved=False) == (
        "1.3.6.1.4.1.32473.364.1.0",
        "1.3.6.1.4.1.32473.364.2.1.1",
    )
    assert policy_oids(SETTINGS.profiles.get("clin-sign"), SETTINGS, unapproved=True)[0] == "1.3.6.1.4.1.32473.364.1.9"


def test_a_certificate_that_is_no_authoritys_makes_no_issuer(hierarchy: Hierarchy) -> None:
    leaf = Certificate.parse(hierarchy.certificate("tsa"))
    with pytest.raises(InvalidInput) as caught:
        Issuer.of(IssuerName.PERSONS, leaf)
    assert caught.value.code is ErrorCode.CERTIFICATE_MALFORMED


names = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd"), max_codepoint=0x7FF), min_size=1, max_size=20)


@given(names, names)
def test_any_acceptable_name_passes_the_gate_unchanged(hierarchy: Hierarchy, given_name: str, surname: str) -> None:
    from ca.lint.gate import check_twin
    from pki.errors import ServiceError

    try:
        content = content_of(
            "clin-sign", hierarchy, members={**CLINICIAN, "given_name": given_name, "surname": surname}
        )
    except ServiceError:
        return
    twin = build_twin(content, SETTINGS)
    assert check_twin(twin.der, content, SETTINGS) == ()
    assert Certificate.parse(twin.der).subject_der == content.subject.name.public_bytes()
