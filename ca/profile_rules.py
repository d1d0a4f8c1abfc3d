"""What must hold between the profiles of one set, and what the names that programs know must mean."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from ca.errors import ProfileInvalid
from ca.key_policy import KeyKind
from ca.profiles import (
    ENCRYPTION,
    ISSUING_AUTHORITIES,
    CertificateProfile,
    HolderKind,
    IssuerName,
    KeyUsage,
    ProfileName,
    ProfileStatus,
    QcStatement,
)
from pki import oids
from pki.identity_scheme import IdentityScheme
from pki.oids import NATIONAL_ARC, UUID_ARC

Profiles = Mapping[str, CertificateProfile]
Usages = Mapping[IssuerName, tuple[str, ...]]
Fault = tuple[str, str]

NCP_PERSON: Final = "NCP_NATURAL_PERSON_CERTIFICATE"
NCP_CENTRE: Final = "NCP_LEGAL_PERSON_CERTIFICATE"
QCP_PERSON: Final = "QCP_N_QSCD_NON_EIDAS_FINAL_CERTIFICATE"

_COMMITMENT: Final = frozenset({KeyUsage.NON_REPUDIATION})
_LOGIN: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE})
_LOGGING_IN: Final = frozenset({oids.EKU_CLIENT_AUTH, oids.EKU_SERVER_AUTH, oids.EKU_SMARTCARD_LOGON})
_QUALIFIED: Final = frozenset({QcStatement.COMPLIANCE, QcStatement.LEGISLATION, QcStatement.SSCD})


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a name stands for wherever this program and relying parties know it."""

    holder: HolderKind
    type_number: tuple[int, int] | None
    key_usage: frozenset[KeyUsage] | None
    key_purposes: tuple[str, ...] = ()
    required: bool = False


_MEANINGS: Final[Mapping[str, _Meaning]] = MappingProxyType(
    {
        ProfileName.ROOT: _Meaning(HolderKind.AUTHORITY, None, None, required=True),
        ProfileName.ISSUING_CA: _Meaning(HolderKind.AUTHORITY, None, None, required=True),
        ProfileName.CLIN_SIGN: _Meaning(HolderKind.CLINICIAN, (1, 1), _COMMITMENT),
        ProfileName.CLIN_AUTH: _Meaning(HolderKind.CLINICIAN, (1, 2), _LOGIN, (oids.EKU_CLIENT_AUTH,)),
        ProfileName.CIT_SIGN: _Meaning(HolderKind.CITIZEN, (2, 1), _COMMITMENT),
        ProfileName.CIT_AUTH: _Meaning(HolderKind.CITIZEN, (2, 2), _LOGIN, (oids.EKU_CLIENT_AUTH,)),
        ProfileName.HIX_TLS: _Meaning(HolderKind.CENTRE, (3, 1), _LOGIN, (oids.EKU_CLIENT_AUTH,)),
        ProfileName.HIX_SEAL: _Meaning(HolderKind.CENTRE, (3, 2), _COMMITMENT),
        ProfileName.HIX_ENC: _Meaning(HolderKind.CENTRE, (3, 3), ENCRYPTION),
        ProfileName.TLS_SERVER: _Meaning(HolderKind.SYSTEM, (4, 1), _LOGIN, (oids.EKU_SERVER_AUTH,), required=True),
        ProfileName.INFOSYS: _Meaning(HolderKind.SYSTEM, (4, 2), _LOGIN, (oids.EKU_CLIENT_AUTH,)),
        ProfileName.INFOSYS_SERVER: _Meaning(HolderKind.SYSTEM, (4, 3), _LOGIN, (oids.EKU_SERVER_AUTH,)),
        ProfileName.OCSP: _Meaning(HolderKind.SERVICE, (5, 1), _LOGIN, (oids.EKU_OCSP_SIGNING,), required=True),
        ProfileName.TSA: _Meaning(HolderKind.SERVICE, (5, 2), _COMMITMENT, (oids.EKU_TIME_STAMPING,), required=True),
        ProfileName.SEAL: _Meaning(HolderKind.SERVICE, (5, 3), _LOGIN, required=True),
    }
)


def _names_keep_their_meaning(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, meaning in _MEANINGS.items():
        profile = profiles.get(name)
        if profile is None:
            if meaning.required:
                yield "profiles", f"lack {name}, which the deployment itself is issued by"
            continue
        if meaning.required and profile.status is ProfileStatus.RETIRED:
            yield f"profiles.{name}.status", "the deployment itself is issued by it"
        if profile.holder is not meaning.holder:
            yield f"profiles.{name}.holder", f"is {meaning.holder} under this name"
        if profile.type_number != meaning.type_number or profile.type_oid is not None:
            kind = None if meaning.type_number is None else list(meaning.type_number)
            yield f"profiles.{name}.type", f"is {kind} under this name"
        if meaning.key_usage is not None and not profile.key_usage <= meaning.key_usage:
            yield f"profiles.{name}.key_usage", f"is {' or '.join(sorted(meaning.key_usage))} alone under this name"
        if not set(meaning.key_purposes) <= set(profile.extended_key_usage):
            yield f"profiles.{name}.extended_key_usage", "lacks what this name promises"


def _types_are_distinct(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    seen: dict[tuple[int, int] | str, str] = {}
    for name, profile in profiles.items():
        kind = profile.type_oid if profile.type_number is None else profile.type_number
        if kind is None:
            continue
        if kind in seen:
            yield f"profiles.{name}.type", f"is that of {seen[kind]}"
        seen[kind] = name


def _types_are_ours_to_assert(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, profile in profiles.items():
        for arc in (NATIONAL_ARC, UUID_ARC):
            if profile.type_oid is not None and f"{profile.type_oid}.".startswith(f"{arc}."):
                yield f"profiles.{name}.type", f"is not under {arc}"


def _authorities_are_two_levels(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, profile in profiles.items():
        if profile.is_ca != (profile.issuer is IssuerName.ROOT):
            yield f"profiles.{name}.issuer", "the root issues to authorities and to nobody else"
        if profile.issuer is IssuerName.PARENT:
            yield f"profiles.{name}.issuer", "a parent's profiles are its own"
        if profile.issuer is None and profile.holder is not HolderKind.SERVICE:
            yield f"profiles.{name}.issuer", "is missing; only a service is issued by whom it serves"
        if name == ProfileName.ROOT and profile.path_length == 0:
            yield f"profiles.{name}.path_length", "the root certifies authorities"
        if profile.is_ca and name != ProfileName.ROOT and profile.path_length != 0:
            yield f"profiles.{name}.path_length", "is 0: issuing authorities certify no others"


def _nobody_outlives_the_issuer(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, profile in profiles.items():
        above = profiles.get(ProfileName.ROOT if profile.is_ca else ProfileName.ISSUING_CA)
        if above is not None and profile.validity > above.validity:
            yield f"profiles.{name}.validity_days", f"is beyond the {above.validity.days} days of the issuer"


def _purposes_are_within_the_authoritys(profiles: Profiles, usages: Usages) -> Iterator[Fault]:
    for label in usages:
        if label not in ISSUING_AUTHORITIES:
            yield f"authorities.{label}", "only issuing authorities are confined"
    for name, profile in profiles.items():
        for label in ISSUING_AUTHORITIES if profile.issuer is None else (profile.issuer,):
            confined = usages.get(label, ())
            if confined and not set(profile.extended_key_usage) <= set(confined):
                yield f"profiles.{name}.extended_key_usage", f"is not within that of the authority {label}"


def _purposes_fit_the_key_usage(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, profile in profiles.items():
        member, usages = f"profiles.{name}.extended_key_usage", set(profile.extended_key_usage)
        if profile.is_ca and usages:
            yield member, "an authority's is in the table of authorities"
        if profile.key_usage != _LOGIN and usages & _LOGGING_IN:
            yield member, "a key of commitment or encryption does not log in"
        if oids.EKU_SMARTCARD_LOGON in usages and profile.holder not in _PERSONS:
            yield member, "smartcardLogon belongs to the cards of persons"
        if oids.EKU_OCSP_SIGNING in usages and name != ProfileName.OCSP:
            yield member, "OCSPSigning belongs to the profile ocsp"
        if oids.EKU_TIME_STAMPING in usages and name != ProfileName.TSA:
            yield member, "timeStamping belongs to the profile tsa"
        if oids.EKU_SERVER_AUTH in usages and not profile.alternative_name:
            yield member, "a server has alternative names"
    tsa = profiles.get(ProfileName.TSA)
    if tsa is not None and tsa.private_key_usage is None:
        yield "profiles.tsa.private_key_usage_days", "is missing; a time-stamping key ends before its certificate"
    ocsp = profiles.get(ProfileName.OCSP)
    if ocsp is not None and not (ocsp.ocsp_no_check and ocsp.validity <= timedelta(days=30)):
        yield "profiles.ocsp", "lives at most 30 days, with ocsp_no_check"


_WITH_ADMISSION: Final = frozenset({HolderKind.CLINICIAN, HolderKind.CENTRE, HolderKind.SYSTEM})
_WITHOUT_CARDS: Final = frozenset({HolderKind.AUTHORITY, HolderKind.SERVICE, HolderKind.CENTRE, HolderKind.SYSTEM})
_PERSONS: Final = frozenset({HolderKind.CLINICIAN, HolderKind.CITIZEN})


def _subjects_are_what_their_files_hold(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, profile in profiles.items():
        path, holder = f"profiles.{name}", profile.holder
        if profile.admission and (holder not in _WITH_ADMISSION or profile.pseudonym):
            yield f"{path}.admission", "belongs to clinicians, centres and systems under their own names"
        if (profile.technical_role is not None) != (profile.admission and holder is HolderKind.SYSTEM):
            yield f"{path}.technical_role", "is what a system's Admission says, and nobody else's"
        if profile.hc_role and (holder is not HolderKind.CLINICIAN or profile.pseudonym):
            yield f"{path}.hc_role", "belongs to clinicians under their own names"
        if profile.title and (holder is not HolderKind.CLINICIAN or profile.pseudonym):
            yield f"{path}.title", "belongs to clinicians under their own names"
        if profile.organizational_unit and holder is not HolderKind.CENTRE:
            yield f"{path}.organizational_unit", "belongs to centres"
        if profile.pseudonym and holder not in _PERSONS:
            yield f"{path}.pseudonym", "belongs to persons"
        if profile.alternative_name and holder not in (HolderKind.CENTRE, HolderKind.SYSTEM):
            yield f"{path}.alternative_name", "belongs to centres and systems"
        if holder is HolderKind.SYSTEM and not profile.alternative_name:
            yield f"{path}.alternative_name", "is true: a system goes by its hosts"
        if KeyKind.RSA_2048 in profile.keys and holder in _WITHOUT_CARDS:
            yield f"{path}.keys", "RSA-2048 is for the cards of persons"
        if KeyKind.ML_DSA_65 in profile.keys and profile.status is not ProfileStatus.EXPERIMENTAL:
            yield f"{path}.keys", "ML-DSA-65 is for experimental profiles"
        if KeyKind.ML_DSA_65 in profile.keys and not profile.needs_file:
            yield f"{path}.keys", "ML-DSA-65 is for the holders of files: no authority or service of ours signs with it"
        if not profile.status_pointers and name not in (ProfileName.ROOT, ProfileName.OCSP):
            yield f"{path}.status_pointers", "only the root and responders tell of no status"


def _statements_are_true_of_the_holder(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, profile in profiles.items():
        path, stated = f"profiles.{name}.qc_statements", set(profile.qc_statements)
        if stated and profile.holder not in _PERSONS | {HolderKind.CENTRE}:
            yield path, "belong to persons and centres"
        if QcStatement.SEMANTICS in stated and profile.pseudonym:
            yield path, "semantics are those of an identifier, which a pseudonym is not"
        if QcStatement.COMPLIANCE in stated and QcStatement.LEGISLATION not in stated:
            yield path, "compliance needs legislation: outside the Union the law has a country (EN 319 412-5 §4.2.4)"
        if QcStatement.TYPE in stated and profile.key_usage != _COMMITMENT:
            yield path, "type is that of a signature or a seal"


def _linters_fit(profiles: Profiles, _usages: Usages) -> Iterator[Fault]:
    for name, profile in profiles.items():
        path, judging, stated = f"profiles.{name}.linters", set(profile.linters), set(profile.qc_statements)
        if judging & {NCP_PERSON, QCP_PERSON} and profile.holder not in _PERSONS:
            yield path, "of natural persons judge persons' profiles"
        if NCP_CENTRE in judging and profile.holder is not HolderKind.CENTRE:
            yield path, "of legal persons judge centres' profiles"
        if QCP_PERSON in judging and not stated >= _QUALIFIED:
            yield path, f"{QCP_PERSON} judges what states {', '.join(sorted(_QUALIFIED))}"


RULES: Final[tuple[Callable[[Profiles, Usages], Iterator[Fault]], ...]] = (
    _names_keep_their_meaning,
    _types_are_distinct,
    _types_are_ours_to_assert,
    _authorities_are_two_levels,
    _nobody_outlives_the_issuer,
    _purposes_are_within_the_authoritys,
    _purposes_fit_the_key_usage,
    _subjects_are_what_their_files_hold,
    _statements_are_true_of_the_holder,
    _linters_fit,
)


def check_roles(profiles: Iterable[CertificateProfile], scheme: IdentityScheme) -> None:
    """Refuse a technical role that the deployment does not have; ProfileInvalid."""
    for profile in profiles:
        if profile.technical_role is not None and profile.technical_role not in scheme.technical_roles:
            rule = f"is one of {', '.join(scheme.technical_roles)}: the identity scheme has no other"
            raise ProfileInvalid(f"profiles.{profile.name}.technical_role", rule)


def check_set(profiles: Profiles, usages: Usages) -> None:
    """Apply every rule; ProfileInvalid for the first fault."""
    for rule in RULES:
        for member, fault in rule(profiles, usages):
            raise ProfileInvalid(member, fault)
