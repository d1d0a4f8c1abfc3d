"""An independent linter finds nothing above NOTICE in anything that the authority signs."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.issuance import prepare
from ca.profiles import HolderKind
from ca.status.revocation import RevocationReason
from ca.tbs import build_twin
from pki import der
from tests.ca import linters
from tests.ca.conftest import Ceremony
from tests.ca.mutants import Mutant, content_of
from tests.ca.world import CLERK, FILE_PROFILES, SETTINGS, START, World

PERSONS = [p.name for p in SETTINGS.profiles if p.holder in (HolderKind.CLINICIAN, HolderKind.CITIZEN)]
CENTRES = [p.name for p in SETTINGS.profiles if p.holder is HolderKind.CENTRE]


@pytest.mark.parametrize("profile", FILE_PROFILES)
def test_issued_certificates_are_clean(profile: str, world: World) -> None:
    assert linters.lint_certificate(world.issue(profile).der) == []


@pytest.mark.parametrize("name", ["root", "persons", "institutions", "systems", "ocsp-persons", "tsa", "service-seal"])
def test_the_ceremonys_certificates_are_clean(name: str, ceremony: Ceremony) -> None:
    assert linters.lint_certificate(ceremony.hierarchy.certificate(name)) == []


@pytest.mark.parametrize("profile", PERSONS)
def test_persons_certificates_keep_the_etsi_profile(profile: str, world: World) -> None:
    assert linters.lint_etsi(world.issue(profile).der, linters.PERSON) == []


@pytest.mark.parametrize("profile", CENTRES)
def test_centres_certificates_keep_the_etsi_profile(profile: str, world: World) -> None:
    assert linters.lint_etsi(world.issue(profile).der, linters.CENTRE) == []


def test_a_cards_rsa_key_is_clean_too(ceremony: Ceremony) -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    content = content_of("clin-sign", ceremony.hierarchy, key=key)
    prepare(content, SETTINGS)
    assert linters.lint_certificate(build_twin(content, SETTINGS).der) == []


def test_crls_are_clean_empty_and_full(world: World, ceremony: Ceremony) -> None:
    for reason in RevocationReason:
        issued = world.issue()
        if reason is RevocationReason.CERTIFICATE_HOLD:
            world.authority.hold(issued.serial_hex, CLERK)
        else:
            world.authority.revoke(issued.serial_hex, reason, CLERK, invalidity_date=START)
    published = world.authority.publish_all_crls()
    assert sum(crl.entries for crl in published) == len(RevocationReason)
    for crl_der in (*(crl.der for crl in published), ceremony.hierarchy.root_crl.der):
        assert linters.lint_crl(crl_der) == []


def test_ocsp_responses_are_clean(world: World) -> None:
    issued = world.issue()
    assert linters.lint_ocsp(world.authority.ocsp(world.request_for(issued))) == []
    assert linters.lint_ocsp(world.authority.ocsp(world.request_for(issued, nonce=b"n" * 32))) == []
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    assert linters.lint_ocsp(world.authority.ocsp(world.request_for(issued))) == []


def test_the_linter_would_see_a_fault(ceremony: Ceremony) -> None:
    mutant = Mutant("clin-sign", ceremony.hierarchy)
    mutant.criticality("2.5.29.15", critical=False)
    tbs = der.sequence(*mutant.fields)
    twin = der.sequence(tbs, der.parse(tbs).sequence()[2].raw, der.bit_string(b"x"))
    assert linters.lint_certificate(twin) != []
