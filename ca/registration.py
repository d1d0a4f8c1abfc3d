"""Registration files: who asks for certificates and on what evidence, read strictly from JSON.

    {"kind": "clinician", "national_code": …, "given_name": …, "surname": …, "profession": "physician",
     "council_number": …, "key_storage": "hardware", "evidence": [{"what": …, "sha256": …}]}

`citizen` has the first three, `centre` has siam_id, name, centre_kind, legal_id, province, city and perhaps a unit,
`system` has organization, common_name and hosts, `officer` has officer_id, given_name and surname. `key_storage`
(default: hardware for persons, software else), `evidence`, `province` (where a person works) and `realm` (default: the
officer's own) are optional. Unknown members are refused.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from hashlib import sha256
from typing import Any, Final

from ca.officers.scopes import Scope
from ca.profiles import HolderKind
from ca.records import UNMARKED, HolderMarks
from ca.registration_states import FileState as FileState  # noqa: PLC0414 - where a file is goes with the file
from ca.strict_members import StrictMembers
from pki.errors import ErrorCode, InvalidInput
from pki.identity import (
    CentreIdentity,
    ClinicianIdentity,
    CouncilNumber,
    PersonIdentity,
    parse_legal_id,
    parse_name,
    parse_national_code,
    parse_siam_id,
)
from pki.identity_scheme import CodedRole, IdentityScheme
from pki.jose import canonical_json, json_object

MAX_FILE_OCTETS: Final = 16 * 1024
MAX_EVIDENCE: Final = 16
MAX_HOSTS: Final = 8
MAX_REASON: Final = 500
APPROVALS_NEEDED: Final = 2


@unique
class KeyStorage(StrEnum):
    """Where the holder's keys live; hardware keys get longer certificates."""

    HARDWARE = "hardware"
    SOFTWARE = "software"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemIdentity:
    """A system of the health network: who runs it, its name and the hosts it answers for."""

    organization: str
    common_name: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficerIdentity:
    """An officer of the deployment, known by the id that the register of officers has."""

    officer_id: str
    given_name: str
    surname: str

    @property
    def common_name(self) -> str:
        """Given name and surname."""
        return f"{self.given_name} {self.surname}"


Identity = PersonIdentity | CentreIdentity | SystemIdentity | OfficerIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A document that an officer saw: what it is, and the digest of its scan."""

    what: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a file says, checked."""

    kind: HolderKind
    identity: Identity = field(repr=False)
    key_storage: KeyStorage
    evidence: tuple[Evidence, ...] = ()
    works_in: str | None = None
    realm: str | None = None

    @property
    def province(self) -> str | None:
        """The province of a centre, or where a person works, where the file says so."""
        return self.identity.province if isinstance(self.identity, CentreIdentity) else self.works_in

    @property
    def holder(self) -> str:
        """The holder's identifier in the register: national code, SIAM id, officer's id or the system's name."""
        match self.identity:
            case PersonIdentity(national_code=code):
                return str(code)
            case CentreIdentity(siam_id=siam_id):
                return str(siam_id)
            case OfficerIdentity(officer_id=officer_id):
                return officer_id
        return self.identity.common_name

    @property
    def display_name(self) -> str:
        """The holder's name for people."""
        return self.identity.name if isinstance(self.identity, CentreIdentity) else self.identity.common_name

    @property
    def licence(self) -> str | None:
        """The council number of a clinician."""
        return str(self.identity.council_number) if isinstance(self.identity, ClinicianIdentity) else None

    @property
    def is_for_a_card(self) -> bool:
        """Whether the holder is a patient or clinician whose keys are made in hardware."""
        return self.key_storage is KeyStorage.HARDWARE and self.kind in (HolderKind.CLINICIAN, HolderKind.CITIZEN)

    @property
    def scope(self) -> Scope:
        """What an officer's role must cover: the profession, else the kind; the province, where it is said."""
        identity, province = self.identity, self.province
        profession = identity.profession if isinstance(identity, ClinicianIdentity) else self.kind.value
        return Scope(professions=frozenset({profession}), provinces=None if province is None else frozenset({province}))

    @property
    def marks(self) -> HolderMarks:
        """What the holder's certificates are found by."""
        match self.identity:
            case ClinicianIdentity(profession=profession):
                return HolderMarks(licence=self.licence, profession=profession, province=self.province)
            case CentreIdentity(province=province, siam_id=siam_id):
                return HolderMarks(province=province, siam_id=str(siam_id))
        return UNMARKED if self.province is None else HolderMarks(province=self.province)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One officer's yes. `silence_reason`: why they took it that a registry had not answered."""

    officer: str
    at: datetime
    silence_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationFile:
    """A registration in the register, with what officers decided about it.

    `rounds` counts how often the registries were asked, `previous` is the closed file that this one comes after, and
    an undecided file ends by itself at `expires_at`.
    """

    id: str
    registration: Registration
    state: FileState
    submitted_by: str
    submitted_at: datetime
    approvals: tuple[Approval, ...] = ()
    refused_by: str | None = None
    refused_at: datetime | None = None
    reason: str | None = None
    realm: str | None = None
    previous: str | None = None
    rounds: int = 0
    checked_at: datetime | None = None
    expires_at: datetime | None = None
    ended_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether the file's time to be decided has passed."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def digest(self) -> str:
        """The SHA-256 of the registration as it is stored, hexadecimal: what officers decide on."""
        return sha256(registration_json(self.registration)).hexdigest()


_WHAT: Final = "registration file"
_MALFORMED: Final = "registration.malformed"


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"{_WHAT}: {what}", reason=_MALFORMED)


def _person(members: StrictMembers, _scheme: IdentityScheme | None) -> PersonIdentity:
    return PersonIdentity(
        national_code=parse_national_code(members.text("national_code")),
        given_name=parse_name(members.text("given_name")),
        surname=parse_name(members.text("surname")),
    )


def _open_role(member: str, slug: str, known: Mapping[str, CodedRole]) -> str:
    if slug not in known or known[slug].retired:
        raise _refuse(f"{member} is one of {', '.join(name for name, role in known.items() if not role.retired)}")
    return slug


def _clinician(members: StrictMembers, scheme: IdentityScheme | None) -> ClinicianIdentity:
    profession, text = members.text("profession"), members.text("council_number")
    number = CouncilNumber(text)
    if scheme is not None:
        number = scheme.council_number(text, _open_role("profession", profession, scheme.professions))
    if not number.isascii():
        # registrationNumber of Admission is a PrintableString (Common PKI part 1, table 29).
        raise InvalidInput(
            ErrorCode.IDENTITY_INVALID,
            "a council number is written with a Latin letter",
            reason="identity.council-number-script",
        )
    person = _person(members, scheme)
    return ClinicianIdentity(
        national_code=person.national_code,
        given_name=person.given_name,
        surname=person.surname,
        profession=profession,
        council_number=number,
    )


def _province(text: str, scheme: IdentityScheme | None) -> str:
    name = parse_name(text)
    if scheme is not None and scheme.provinces and name not in scheme.provinces:
        raise _refuse("province is one of those that the deployment names")
    return name


def _centre(members: StrictMembers, scheme: IdentityScheme | None) -> CentreIdentity:
    kind, unit = members.text("centre_kind"), members.optional_text("unit")
    return CentreIdentity(
        siam_id=parse_siam_id(members.text("siam_id")),
        name=parse_name(members.text("name")),
        kind=kind if scheme is None else _open_role("centre_kind", kind, scheme.institutions),
        legal_id=parse_legal_id(members.text("legal_id")),
        province=_province(members.text("province"), scheme),
        city=parse_name(members.text("city")),
        unit=None if unit is None else parse_name(unit),
    )


_HOST: Final = re.compile(r"(?=.{1,253}$)(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)")


def _host(value: object) -> str:
    if not isinstance(value, str):
        raise _refuse("a host is text")
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if not _HOST.fullmatch(value) or value.rsplit(".", 1)[-1].isdecimal():
            raise _refuse("a host is a lower-case DNS name or an IP address") from None
        return value


def _system(members: StrictMembers, _scheme: IdentityScheme | None) -> SystemIdentity:
    hosts = tuple(_host(value) for value in members.items("hosts", MAX_HOSTS))
    if not hosts or len(set(hosts)) != len(hosts):
        raise _refuse("hosts must be named, each once")
    return SystemIdentity(
        organization=parse_name(members.text("organization")),
        common_name=parse_name(members.text("common_name")),
        hosts=hosts,
    )


_OFFICER_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")


def _officer(members: StrictMembers, _scheme: IdentityScheme | None) -> OfficerIdentity:
    officer_id = members.text("officer_id")
    if not _OFFICER_ID.fullmatch(officer_id):
        raise _refuse("officer_id is 1 to 64 small letters, digits, dots and hyphens")
    return OfficerIdentity(
        officer_id=officer_id,
        given_name=parse_name(members.text("given_name")),
        surname=parse_name(members.text("surname")),
    )


def _evidence(value: object) -> Evidence:
    members = StrictMembers(_WHAT, reason=_MALFORMED, members=value)
    found = Evidence(what=parse_name(members.text("what")), sha256=members.text("sha256"))
    members.end()
    if not re.fullmatch(r"[0-9a-f]{64}", found.sha256):
        raise _refuse("evidence sha256 is 64 lower-case hexadecimal digits")
    return found


_READERS: Final[
    Mapping[str, tuple[HolderKind, Callable[[StrictMembers, IdentityScheme | None], Identity], KeyStorage]]
] = {
    "clinician": (HolderKind.CLINICIAN, _clinician, KeyStorage.HARDWARE),
    "citizen": (HolderKind.CITIZEN, _person, KeyStorage.HARDWARE),
    "centre": (HolderKind.CENTRE, _centre, KeyStorage.SOFTWARE),
    "system": (HolderKind.SYSTEM, _system, KeyStorage.SOFTWARE),
    "officer": (HolderKind.OFFICER, _officer, KeyStorage.HARDWARE),
}


_REALM: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,35}")


def parse_registration(data: bytes, scheme: IdentityScheme) -> Registration:
    """Read a registration file from JSON.

    InvalidInput: `input-too-large`, `json-malformed`, `input-malformed` (a member), `identity-invalid` (an
    identifier or name); no message repeats an identifier.
    """
    return _read(data, scheme)


def stored_registration(body: bytes) -> Registration:
    """Read what `registration_json` wrote, of whatever profession: the deployment may know it no longer."""
    return _read(body, None)


def _read(data: bytes, scheme: IdentityScheme | None) -> Registration:
    if len(data) > MAX_FILE_OCTETS:
        raise InvalidInput(
            ErrorCode.INPUT_TOO_LARGE, "registration file larger than 16 KiB", reason="registration.too-large"
        )
    members = StrictMembers(_WHAT, reason=_MALFORMED, members=json_object(data))
    reader = _READERS.get(members.text("kind"))
    if reader is None:
        raise _refuse(f"kind is one of {', '.join(_READERS)}")
    kind, read, storage = reader
    try:
        key_storage = KeyStorage(members.text("key_storage", storage.value))
    except ValueError as error:
        raise _refuse("key_storage is hardware or software") from error
    evidence = tuple(_evidence(value) for value in members.items("evidence", MAX_EVIDENCE))
    identity = read(members, scheme)
    province = None if isinstance(identity, CentreIdentity) else members.optional_text("province")
    realm = members.optional_text("realm")
    members.end()
    if realm is not None and not _REALM.fullmatch(realm):
        raise _refuse("realm is 1 to 36 small letters, digits and hyphens")
    return Registration(
        kind=kind,
        identity=identity,
        key_storage=key_storage,
        evidence=evidence,
        works_in=None if province is None else _province(province, scheme),
        realm=realm,
    )


def registration_json(registration: Registration) -> bytes:
    """Write a registration as `parse_registration` and `stored_registration` read it; the form that is stored."""
    identity = registration.identity
    members: dict[str, Any] = {"kind": registration.kind.value, "key_storage": registration.key_storage.value}
    if registration.evidence:
        members["evidence"] = [{"what": item.what, "sha256": item.sha256} for item in registration.evidence]
    members |= {} if registration.works_in is None else {"province": registration.works_in}
    members |= {} if registration.realm is None else {"realm": registration.realm}
    match identity:
        case PersonIdentity():
            members |= {"national_code": identity.national_code, "given_name": identity.given_name}
            members["surname"] = identity.surname
            if isinstance(identity, ClinicianIdentity):
                members |= {"profession": identity.profession, "council_number": identity.council_number}
        case CentreIdentity():
            members |= {"siam_id": identity.siam_id, "name": identity.name, "centre_kind": identity.kind}
            members |= {"legal_id": identity.legal_id, "province": identity.province, "city": identity.city}
            members |= {} if identity.unit is None else {"unit": identity.unit}
        case SystemIdentity():
            members |= {"organization": identity.organization, "common_name": identity.common_name}
            members["hosts"] = list(identity.hosts)
        case OfficerIdentity():
            members |= {"officer_id": identity.officer_id, "given_name": identity.given_name}
            members["surname"] = identity.surname
    return canonical_json(members)
