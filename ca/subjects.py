"""From a checked registration to what a certificate says of its holder: Name, Admission, alternative names.

Names follow ETSI EN 319 412-2 §4.2.4 (natural persons) and EN 319 412-3 §4.2.1 (legal persons); Admission is
the extension of Common PKI part 1 table 29. A request's own subject is never used.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from ca.config import AuthoritySettings, PersonSerial
from ca.extensions import healthcare_role
from ca.profiles import CertificateProfile
from ca.registration import OfficerIdentity, Registration, SystemIdentity
from pki import der
from pki.identity import CentreIdentity, ClinicianIdentity, PersonIdentity, build_name
from pki.identity_scheme import CodedRole

MAX_COMMON_NAME_OCTETS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a certificate says of its holder. `registration_number` repeats what Admission carries.

    `directory_attributes` is the value (DER) of the extension of that name.
    """

    name: x509.Name = field(repr=False)
    admission: x509.Admissions | None = field(default=None, repr=False)
    registration_number: str | None = field(default=None, repr=False)
    alternative_names: tuple[x509.GeneralName, ...] = ()
    directory_attributes: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudonyms:
    """Names that stand for a person: `yearly` in place of the name, `lasting` in place of the national code."""

    yearly: str
    lasting: str


def common_name(text: str) -> str:
    """Shorten a name to a commonName's 64 octets, at a word's end where there is one.

    The bound of RFC 5280 appendix A.1 counts characters, but readers are around that count UTF-8 octets; the
    whole name is in surname and givenName, or in organizationName.
    """
    if len(text.encode()) <= MAX_COMMON_NAME_OCTETS:
        return text
    cut = text.encode()[:MAX_COMMON_NAME_OCTETS].decode("utf-8", "ignore")
    return (cut.rpartition(" ")[0] or cut).rstrip("\u200c ")


def _admission(settings: AuthoritySettings, role: CodedRole, registration_number: str | None) -> x509.Admissions:
    authority, vouching = None, role.admission_authority or settings.admission_authority
    if vouching is not None:
        name = build_name((NameOID.COUNTRY_NAME, settings.country), (NameOID.ORGANIZATION_NAME, vouching))
        authority = x509.DirectoryName(name)
    oid = x509.ObjectIdentifier(role.oid_under(settings.oids))
    info = x509.ProfessionInfo(None, [role.title_fa], [oid], registration_number, None)
    return x509.Admissions(authority, [x509.Admission(None, None, [info])])


def _person_subject(
    profile: CertificateProfile, person: PersonIdentity, settings: AuthoritySettings, pseudonyms: Pseudonyms | None
) -> Subject:
    country = (NameOID.COUNTRY_NAME, settings.country)
    if pseudonyms is None and (profile.pseudonym or settings.person_serial is PersonSerial.OPAQUE):
        raise ValueError("this subject needs pseudonyms")
    if profile.pseudonym and pseudonyms is not None:
        return Subject(
            name=build_name(country, (NameOID.PSEUDONYM, pseudonyms.yearly), (NameOID.COMMON_NAME, pseudonyms.yearly))
        )
    opaque = settings.person_serial is PersonSerial.OPAQUE and pseudonyms is not None
    identifier = settings.identities.person_identifier(settings.country, person.national_code)
    profession = settings.identities.profession(person.profession) if isinstance(person, ClinicianIdentity) else None
    name = build_name(
        country,
        (NameOID.SURNAME, person.surname),
        (NameOID.GIVEN_NAME, person.given_name),
        (NameOID.SERIAL_NUMBER, pseudonyms.lasting if opaque and pseudonyms else identifier),
        (NameOID.COMMON_NAME, common_name(person.common_name)),
        (NameOID.TITLE, None if profession is None or not profile.title else profession.title_fa),
    )
    if profession is None or not isinstance(person, ClinicianIdentity):
        return Subject(name=name)
    number = str(person.council_number)
    role = healthcare_role(profession.oid_under(settings.oids), profession.title_en) if profile.hc_role else None
    if not profile.admission:
        return Subject(name=name, directory_attributes=role)
    return Subject(
        name=name,
        admission=_admission(settings, profession, number),
        registration_number=number,
        directory_attributes=role,
    )


def _token_name(settings: AuthoritySettings, file_id: str) -> x509.OtherName:
    """Name a centre's connection token: stable over renewals from the same registration file.

    Not a URI: a `urn:` there is legal (RFC 5280 §4.2.1.6), but linters refuse one without a host.
    """
    return x509.OtherName(x509.ObjectIdentifier(settings.oids.connection_token), der.utf8(file_id))


def _centre_subject(
    profile: CertificateProfile, centre: CentreIdentity, settings: AuthoritySettings, file_id: str
) -> Subject:
    number, kind = str(centre.siam_id), settings.identities.institution(centre.kind)
    legal = settings.identities.organization_identifier(settings.country, centre.legal_id)
    return Subject(
        name=build_name(
            (NameOID.COUNTRY_NAME, settings.country),
            (NameOID.STATE_OR_PROVINCE_NAME, centre.province),
            (NameOID.LOCALITY_NAME, centre.city),
            (NameOID.ORGANIZATION_NAME, centre.name),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, centre.unit if profile.organizational_unit else None),
            (NameOID.ORGANIZATION_IDENTIFIER, legal),
            (NameOID.SERIAL_NUMBER, number),
            (NameOID.COMMON_NAME, common_name(centre.name)),
        ),
        admission=_admission(settings, kind, number) if profile.admission else None,
        registration_number=number if profile.admission else None,
        alternative_names=(_token_name(settings, file_id),) if profile.alternative_name else (),
    )


def host_name(host: str) -> x509.GeneralName:
    """Write a host as an alternative name: an address, else a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _instance_subject(role: CodedRole, system: SystemIdentity, settings: AuthoritySettings, file_id: str) -> Subject:
    """Name an instance of a product: its vendor, its first host and its registration file, which renewals keep."""
    return Subject(
        name=build_name(
            (NameOID.COUNTRY_NAME, settings.country),
            (NameOID.ORGANIZATION_NAME, system.organization),
            (NameOID.SERIAL_NUMBER, file_id),
            (NameOID.COMMON_NAME, common_name(system.hosts[0])),
        ),
        admission=_admission(settings, role, None),
        alternative_names=tuple(host_name(host) for host in system.hosts),
    )


def _system_subject(system: SystemIdentity, settings: AuthoritySettings) -> Subject:
    return Subject(
        name=build_name(
            (NameOID.COUNTRY_NAME, settings.country),
            (NameOID.ORGANIZATION_NAME, system.organization),
            (NameOID.COMMON_NAME, common_name(system.common_name)),
        ),
        alternative_names=tuple(host_name(host) for host in system.hosts),
    )


def _officer_subject(officer: OfficerIdentity, settings: AuthoritySettings) -> Subject:
    return Subject(
        name=build_name(
            (NameOID.COUNTRY_NAME, settings.country),
            (NameOID.SURNAME, officer.surname),
            (NameOID.GIVEN_NAME, officer.given_name),
            (NameOID.SERIAL_NUMBER, officer.officer_id),
            (NameOID.COMMON_NAME, common_name(officer.common_name)),
        )
    )


def subject_of(
    profile: CertificateProfile,
    registration: Registration,
    settings: AuthoritySettings,
    *,
    file_id: str,
    pseudonyms: Pseudonyms | None,
) -> Subject:
    """Build the subject of a certificate; `pseudonyms` where the profile or the settings ask for them."""
    match registration.identity:
        case PersonIdentity() as person:
            return _person_subject(profile, person, settings, pseudonyms)
        case CentreIdentity() as centre:
            return _centre_subject(profile, centre, settings, file_id)
        case OfficerIdentity() as officer:
            return _officer_subject(officer, settings)
    if profile.technical_role is not None:
        role = settings.identities.technical_role(profile.technical_role)
        return _instance_subject(role, registration.identity, settings, file_id)
    return _system_subject(registration.identity, settings)


def service_subject(settings: AuthoritySettings, name: str) -> Subject:
    """Build the subject of the deployment's own authorities and services."""
    return Subject(
        name=build_name(
            (NameOID.COUNTRY_NAME, settings.country),
            (NameOID.ORGANIZATION_NAME, settings.organization),
            (NameOID.COMMON_NAME, name),
        )
    )
