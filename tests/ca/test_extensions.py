"""Healthcare role, qualified certificate statements and technical roles: octets, lint, and a second linter's word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ca.config import AuthoritySettings, validate_settings
from ca.extensions import healthcare_role, qualified_statements
from ca.hierarchy import Hierarchy
from ca.lint.gate import check_twin, lint
from ca.lint.subject import LintedCertificate
from ca.profiles import HolderKind, QcStatement
from ca.tbs import build_twin
from pki import oids
from pki.certificates import Certificate
from tests.ca import linters
from tests.ca.conftest import Ceremony
from tests.ca.mutants import content_of
from tests.ca.profile_documents import with_change
from tests.ca.world import RAW_SETTINGS, SETTINGS, World

EVERYTHING = ["semantics", "compliance", "legislation", "sscd", "type"]


@pytest.fixture(scope="module")
def hierarchy(ceremony: Ceremony) -> Hierarchy:
    return ceremony.hierarchy


def settings_with(profile: str, **changes: Any) -> AuthoritySettings:
    return validate_settings(replace(RAW_SETTINGS, profiles=with_change(profile, **changes)))


def test_a_healthcare_role_is_a_coded_profession() -> None:
    assert healthcare_role("1.3.6.1.4.1.32473.364.3.1", "Physician").hex(" ") == (
        "30 35 30 33 06 06 28 81 85 42 00 01 "  # SEQUENCE OF Attribute: 1.0.17090.0.1
        "31 29 31 27 30 25 a0 23 31 21 "  # its values, HCActorData, HCActor, codedData [0], CodedData
        "a0 0d 06 0b 2b 06 01 04 01 81 fd 59 82 6c 03 "  # codingSchemeReference [0]
        "a1 03 12 01 31 "  # codeDataValue [1] NumericString "1"
        "a2 0b 0c 09 50 68 79 73 69 63 69 61 6e"  # codeDataFreeText [2] UTF8String
    )


def test_statements_are_those_of_the_standards() -> None:
    assert qualified_statements(tuple(QcStatement), HolderKind.CENTRE, "IR").hex(" ") == (
        "30 50 "
        "30 15 06 08 2b 06 01 05 05 07 0b 02 30 09 06 07 04 00 8b ec 49 01 02 "  # semantics of a legal person
        "30 08 06 06 04 00 8e 46 01 01 "  # compliance
        "30 0e 06 06 04 00 8e 46 01 07 30 04 13 02 49 52 "  # legislation: IR
        "30 08 06 06 04 00 8e 46 01 04 "  # SSCD
        "30 13 06 06 04 00 8e 46 01 06 30 09 06 07 04 00 8e 46 01 06 02"  # type: seal
    )
    assert qualified_statements((QcStatement.SEMANTICS,), HolderKind.CITIZEN, "IR").endswith(
        bytes.fromhex("04008bec490101")  # of a natural person
    )


@pytest.mark.parametrize("profile", ["clin-sign", "clin-auth"])
def test_a_clinicians_role_stands_beside_admission(profile: str, hierarchy: Hierarchy) -> None:
    settings = settings_with(profile, hc_role=True)
    content = content_of(profile, hierarchy, settings)
    twin = build_twin(content, settings)
    assert check_twin(twin.der, content, settings) == ()
    read = Certificate.parse(twin.der)
    extension = read.extensions[oids.SUBJECT_DIRECTORY_ATTRIBUTES]
    assert not extension.critical
    assert extension.value == healthcare_role(settings.oids.profession(1), "Physician")
    assert read.admission is not None
    assert linters.lint_certificate(twin.der) == []
    assert linters.lint_etsi(twin.der, linters.PERSON) == []
    absent = replace(content, subject=replace(content.subject, directory_attributes=None))
    found = {finding.code for finding in lint(LintedCertificate(build_twin(absent, settings).der, content, settings))}
    assert "house.directory_attributes_are_the_registered_ones" in found


@pytest.mark.parametrize(
    ("profile", "statements"), [("clin-sign", EVERYTHING), ("hix-seal", EVERYTHING), ("clin-auth", ["semantics"])]
)
def test_statements_are_in_the_certificate(profile: str, statements: list[str], hierarchy: Hierarchy) -> None:
    settings = settings_with(profile, qc_statements=statements)
    content = content_of(profile, hierarchy, settings)
    twin = build_twin(content, settings)
    assert check_twin(twin.der, content, settings) == ()
    value = Certificate.parse(twin.der).extensions[oids.QC_STATEMENTS].value
    assert value == qualified_statements(content.profile.qc_statements, content.profile.holder, "IR")
    assert linters.lint_certificate(twin.der) == []
    without = build_twin(replace(content, profile=SETTINGS.profiles.get(profile)), SETTINGS)
    found = {finding.code for finding in lint(LintedCertificate(without.der, content, settings))}
    assert "house.statements_are_the_profiles" in found


@pytest.mark.parametrize("profile", ["infosys", "infosys-server"])
def test_an_instance_has_a_technical_role_and_no_registration_number(profile: str, world: World) -> None:
    issued = world.issue(profile)
    record, read = world.authority.get(issued.serial_hex), Certificate.parse(issued.der)
    assert read.admission is not None
    assert read.admission.registration_number is None
    assert read.admission.profession_oids == (SETTINGS.oids.technical_role(1),)
    assert record.file_id is not None
    subject = LintedCertificate(issued.der, content_of(profile, world.hierarchy), SETTINGS)
    assert subject.subject_text(oids.SERIAL_NUMBER) == record.file_id
    assert subject.subject_text(oids.COMMON_NAME) == "exchange.example"
    assert read.policies[1] == SETTINGS.oids.profile_type(4, 2 if profile == "infosys" else 3)


def test_all_certificates_of_one_card_carry_the_same_admission(world: World) -> None:
    found = [Certificate.parse(world.issue(name).der) for name in ("clin-sign", "clin-auth")]
    assert len({certificate.extensions[oids.ADMISSION].value for certificate in found}) == 1
