from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ca.config import AuthoritySettings, PersonSerial
from ca.registration import parse_registration
from ca.subjects import Pseudonyms, Subject, common_name, service_subject, subject_of
from pki import der
from pki.identity_file import pilot_identities
from tests.ca.world import CENTRE, CITIZEN, CLINICIAN, SETTINGS, SYSTEM, file_json

PSEUDONYMS = Pseudonyms(yearly="0123456789abcdef0123", lasting="MH:IR-89abcdef89abcdef89ab")


def subject(
    profile: str, members: dict[str, Any], settings: AuthoritySettings = SETTINGS, pseudonyms: Pseudonyms | None = None
) -> Subject:
    registration = parse_registration(file_json(members), pilot_identities())
    return subject_of(settings.profiles.get(profile), registration, settings, file_id="f1", pseudonyms=pseudonyms)


def attributes(found: Subject) -> list[tuple[x509.ObjectIdentifier, str | bytes]]:
    return [(attribute.oid, attribute.value) for attribute in found.name]


def professions(found: Subject) -> x509.ProfessionInfo:
    assert found.admission is not None
    (admission,) = found.admission
    infos: list[x509.ProfessionInfo] = list(admission.profession_infos)
    assert len(infos) == 1
    return infos[0]


def test_a_clinician_is_named_and_admitted() -> None:
    found = subject("clin-sign", CLINICIAN)
    assert attributes(found) == [
        (NameOID.COUNTRY_NAME, "IR"),
        (NameOID.SURNAME, "رضایی"),
        (NameOID.GIVEN_NAME, "علی"),
        (NameOID.SERIAL_NUMBER, "PNOIR-0000012343"),
        (NameOID.COMMON_NAME, "علی رضایی"),
    ]
    info = professions(found)
    assert info.profession_items == ["پزشک"]
    assert info.profession_oids == [x509.ObjectIdentifier("1.3.6.1.4.1.32473.364.3.1")]
    assert info.registration_number == found.registration_number == "12345"


def test_both_certificates_of_a_card_carry_the_same_admission() -> None:
    sign, login = subject("clin-sign", CLINICIAN), subject("clin-auth", CLINICIAN)
    assert (sign.name, sign.admission) == (login.name, login.admission)


def test_the_admission_authority_is_named_where_the_deployer_says_it() -> None:
    found = subject("clin-sign", CLINICIAN, replace(SETTINGS, admission_authority="سازمان نظام پزشکی (آزمایشی)"))
    assert found.admission is not None
    assert isinstance(found.admission.authority, x509.DirectoryName)


def test_a_citizen_has_no_admission() -> None:
    assert subject("cit-sign", CITIZEN).admission is None


def test_a_citizens_login_certificate_names_nobody() -> None:
    found = subject("cit-auth", CITIZEN, pseudonyms=PSEUDONYMS)
    assert attributes(found) == [
        (NameOID.COUNTRY_NAME, "IR"),
        (NameOID.PSEUDONYM, PSEUDONYMS.yearly),
        (NameOID.COMMON_NAME, PSEUDONYMS.yearly),
    ]


def test_the_serial_number_is_opaque_where_the_deployer_wants_it() -> None:
    settings = replace(SETTINGS, person_serial=PersonSerial.OPAQUE)
    found = subject("clin-sign", CLINICIAN, settings, PSEUDONYMS)
    assert (NameOID.SERIAL_NUMBER, PSEUDONYMS.lasting) in attributes(found)
    assert "0000012343" not in str(attributes(found))


def test_a_pseudonym_that_is_needed_is_never_left_out() -> None:
    with pytest.raises(ValueError, match="pseudonyms"):
        subject("cit-auth", CITIZEN)


def test_a_centre_is_a_legal_person_with_its_siam_id() -> None:
    found = subject("hix-tls", CENTRE)
    assert attributes(found) == [
        (NameOID.COUNTRY_NAME, "IR"),
        (NameOID.STATE_OR_PROVINCE_NAME, "تهران"),
        (NameOID.LOCALITY_NAME, "تهران"),
        (NameOID.ORGANIZATION_NAME, "بیمارستان آزمایشی"),
        (NameOID.ORGANIZATION_IDENTIFIER, "NTRIR-11234567890"),
        (NameOID.SERIAL_NUMBER, "c-1001"),
        (NameOID.COMMON_NAME, "بیمارستان آزمایشی"),
    ]
    info = professions(found)
    assert (info.profession_items, info.registration_number) == (["بیمارستان"], "c-1001")
    (token,) = found.alternative_names
    assert isinstance(token, x509.OtherName)
    assert (token.type_id.dotted_string, der.parse(token.value).text()) == ("1.3.6.1.4.1.32473.364.6.1", "f1")


def test_a_centres_seal_names_no_connection_token() -> None:
    assert subject("hix-seal", CENTRE).alternative_names == ()


def test_a_system_is_reached_by_names_and_addresses() -> None:
    found = subject("tls-server", SYSTEM)
    assert [type(name) for name in found.alternative_names] == [x509.DNSName, x509.IPAddress]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("علی رضایی", "علی رضایی"),
        ("a" * 64, "a" * 64),
        ("a" * 65, "a" * 64),
        ("بیمارستان آموزشی و درمانی آزمایشی شهر نمونه", "بیمارستان آموزشی و درمانی آزمایشی"),
        ("ب" * 40, "ب" * 32),
        ("ب" * 30 + "\u200cب" + "ب" * 9, "ب" * 30),
    ],
)
def test_a_common_name_is_cut_to_what_every_reader_takes(name: str, expected: str) -> None:
    assert common_name(name) == expected
    assert len(common_name(name).encode()) <= 64


def test_a_long_persian_name_stays_whole_beside_its_common_name() -> None:
    long = {**CLINICIAN, "given_name": "سید محمدحسین", "surname": "طباطبایی نژاد اصفهانی آزمایشی"}
    found = dict(attributes(subject("clin-sign", long)))
    assert found[NameOID.SURNAME] == "طباطبایی نژاد اصفهانی آزمایشی"
    assert found[NameOID.COMMON_NAME] == "سید محمدحسین طباطبایی نژاد"


def test_names_are_utf8_where_x520_leaves_the_choice() -> None:
    for name in (subject("clin-sign", CLINICIAN).name, service_subject(SETTINGS, "A CA").name):
        for relative in der.parse(name.public_bytes()).sequence():
            ((kind, value),) = (attribute.sequence() for attribute in relative.set_of())
            printable = kind.oid() in ("2.5.4.6", "2.5.4.5")
            assert value.tag == (der.PRINTABLE_STRING if printable else der.UTF8_STRING)
