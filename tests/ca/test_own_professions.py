"""A deployer adds a profession by a file alone: it registers, is issued, passes both linters, is found, is scoped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ca.config import AuthoritySettings, validate_settings
from ca.identity_register import IdentityRegister
from ca.inventory.desk import InventoryDesk
from ca.inventory.search import parse_search
from ca.officers.identity import Act, Officer, Role
from ca.officers.scopes import Scope
from ca.service import CertificateAuthority
from pki.certificates import Certificate
from pki.errors import NotAllowed, ServiceError
from signer.validation.identity import is_clinician, signer_identity
from tests.ca import linters
from tests.ca.officers.conftest import Offices, founded, offices, realms
from tests.ca.world import CENTRE, CLINICIAN, RAW_SETTINGS, World, new_csr
from tests.support.officers import EveryOfficer

__all__ = ["founded", "offices", "realms"]

OWN = """
format = "mohr-identities/1"
name = "eye hospital"
version = 1
extends = "pilot"
person_identifier = "IDC"

[professions.optometrist]
number = 21
title_fa = "بینایی‌سنج"
title_en = "Optometrist"
council_number = "OP-[0-9]{5}"
admission_authority = "انجمن آزمایشی بینایی‌سنجی"

[institutions.eye-clinic]
number = 121
oid = "1.3.6.1.4.1.32473.99.121"
title_fa = "درمانگاه چشم"
title_en = "Eye clinic"
"""
OPTOMETRIST: dict[str, Any] = {
    **CLINICIAN,
    "profession": "optometrist",
    "council_number": "OP-12345",
    "province": "تهران",
}
EYE_CLINIC = {**CENTRE, "centre_kind": "eye-clinic"}


def settings_with(scheme: str, **changes: Any) -> AuthoritySettings:
    return validate_settings(replace(RAW_SETTINGS, identities=scheme.encode(), **changes))


def under(world: World, settings: AuthoritySettings) -> World:
    """The same deployment, started again with other settings."""
    authority = CertificateAuthority(world.database, world.keys, settings, world.clock, gate=EveryOfficer())
    IdentityRegister(world.database, world.clock).adopt(authority.identities, "mohr")
    return replace(world, authority=authority, settings=settings)


@pytest.fixture
def eyes(world: World) -> World:
    return under(world, settings_with(OWN))


def test_the_pilot_does_not_know_it(world: World) -> None:
    with pytest.raises(ServiceError) as caught:
        world.submitted(OPTOMETRIST)
    assert caught.value.reason == "registration.malformed"


def test_a_deployers_profession_is_registered_issued_linted_found_and_scoped(eyes: World, realms: Offices) -> None:
    issued = eyes.issue("clin-sign", OPTOMETRIST)
    read = Certificate.parse(issued.der)
    assert read.admission is not None
    assert read.admission.profession_items == ("بینایی‌سنج",)
    assert read.admission.profession_oids == (eyes.settings.oids.profession(21),)
    assert read.admission.registration_number == "OP-12345"
    assert "انجمن آزمایشی بینایی‌سنجی".encode() in read.extensions["1.3.36.8.3.3"].value
    assert b"IDCIR-0000012343" in read.subject_der
    assert linters.lint_certificate(issued.der) == []
    assert linters.lint_etsi(issued.der, linters.PERSON) == []

    desk = InventoryDesk(eyes.database, EveryOfficer(), eyes.clock)
    page = desk.search(parse_search({"profession": "optometrist"}), Officer(id="auditor"))
    assert [entry.serial for entry in page.entries] == [issued.serial_hex]

    scope = eyes.authority.file(issued_file(eyes, issued.serial_hex)).registration.scope
    limited = Scope(professions=frozenset({"optometrist"}), provinces=frozenset({"تهران"}))
    assert limited.covers(scope)
    office = Offices(eyes, realms.keys, realms.certificates)
    office.enrol("nikan", "ministry", office.of("parsa"), office.of("bahrami"))
    office.grant("nikan", Role.APPROVER, "ministry", office.of("parsa"), office.of("bahrami"), limited)
    office.allow(office.of("nikan"), Act.REGISTRATION_APPROVE, scope)
    with pytest.raises(NotAllowed) as caught:
        office.allow(office.of("nikan"), Act.REGISTRATION_APPROVE, eyes.submitted(CLINICIAN).registration.scope)
    assert caught.value.reason == "officer.out-of-profession"

    scheme, arc = eyes.settings.identities, eyes.settings.oids
    identity = signer_identity(read, arc, scheme)
    assert (identity.profession, identity.council_number) == ("optometrist", "OP-12345")
    assert is_clinician(identity, arc, scheme)


def issued_file(world: World, serial: str) -> str:
    file_id = world.authority.get(serial).file_id
    assert file_id is not None
    return file_id


def test_a_deployers_kind_of_centre_has_its_own_identifier(eyes: World) -> None:
    read = Certificate.parse(eyes.issue("hix-seal", EYE_CLINIC).der)
    assert read.admission is not None
    assert read.admission.profession_oids == ("1.3.6.1.4.1.32473.99.121",)
    assert eyes.settings.identities.slug_of("1.3.6.1.4.1.32473.99.121", eyes.settings.oids) == "eye-clinic"


@pytest.mark.parametrize("number", ["12345", "OP-1234", "op-12345", "OP-123456"])
def test_its_numbers_keep_its_form(eyes: World, number: str) -> None:
    with pytest.raises(ServiceError) as caught:
        eyes.submitted({**OPTOMETRIST, "council_number": number})
    assert caught.value.reason == "identity.council-number-form"


def test_provinces_may_be_a_closed_set(world: World) -> None:
    own = under(world, settings_with(OWN.replace('person_identifier = "IDC"', 'provinces = ["تهران", "فارس"]')))
    own.submitted(OPTOMETRIST)
    for members in ({**OPTOMETRIST, "province": "Atlantis"}, {**CENTRE, "province": "Atlantis"}):
        with pytest.raises(ServiceError) as caught:
            own.submitted(members)
        assert caught.value.reason == "registration.malformed"


def test_nobody_new_registers_for_what_is_retired_and_old_files_are_served(eyes: World) -> None:
    file = eyes.approved(OPTOMETRIST)
    ended = OWN.replace("number = 21", "number = 21\nretired = true").replace("version = 1", "version = 2")
    retired = under(eyes, settings_with(ended))
    with pytest.raises(ServiceError):
        retired.submitted(OPTOMETRIST)
    assert retired.authority.issue("clin-sign", file.id, new_csr(), "clerk").der


def test_a_file_of_what_is_no_longer_known_is_still_read_and_issues_nothing(eyes: World, world: World) -> None:
    file = eyes.approved(OPTOMETRIST)
    assert world.authority.file(file.id).registration.scope.professions == frozenset({"optometrist"})
    with pytest.raises(ServiceError) as caught:
        world.authority.issue("clin-sign", file.id, new_csr(), "clerk")
    assert caught.value.reason == "file.role-unknown"
