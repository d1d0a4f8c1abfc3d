"""Registration files: who asks for certificates and on what evidence, read strictly from JSON.

    {"kind": "clinician", "national_code": …, "given_name": …, "surname": …, "profession": "physician",
     "council_number": …, "key_storage": "hardware", "evidence": [{"what": …, "sha256": …}]}

`citizen` has the first three, `centre` has siam_id, name, centre_kind, legal_id, province and city, `system`
has organization, common_name and hosts, `officer` has officer_id, given_name and surname. `key_storage` (default:
hardware for persons, software else) and `evidence` are optional. Unknown members are refused.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from hashlib import sha256
from typing import Any, Final

from ca.officers.identity import Officer as Officer  # noqa: PLC0414 - files are acted on by officers
from ca.officers.scopes import Scope
from ca.profiles import HolderKind
from ca.records import UNMARKED, HolderMarks
from pki.errors import ErrorCode, InvalidInput
from pki.identity import (
    CentreIdentity,
    ClinicianIdentity,
    InstitutionKind,
    PersonIdentity,
    Profession,
    parse_council_number,
    parse_legal_id,
    parse_name,
    parse_national_code,
    parse_siam_id,
)
from pki.jose import canonical_json, json_object

MAX_FILE_OCTETS: Final = 16 * 1024
MAX_EVIDENCE: Final = 16
MAX_HOSTS: Final = 8
MAX_REASON: Final = 500
APPROVALS_NEEDED: Final = 2


@unique
class FileState(StrEnum):
    """Where a registration file is."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REFUSED = "refused"


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
    def scope(self) -> Scope:
        """What an officer's role must cover: the profession, else the kind; the province, where it is said."""
        profession, province = self.kind.value, None
        match self.identity:
            case ClinicianIdentity():
                profession = self.identity.profession.slug
            case CentreIdentity():
                province = frozenset({self.identity.province})
        return Scope(professions=frozenset({profession}), provinces=province)

    @property
    def marks(self) -> HolderMarks:
        """What the holder's certificates are found by."""
        match self.identity:
            case ClinicianIdentity(profession=profession):
                return HolderMarks(licence=self.licence, profession=profession.slug)
            case CentreIdentity(province=province, siam_id=siam_id):
                return HolderMarks(province=province, siam_id=str(siam_id))
        return UNMARKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One officer's yes."""

    officer: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationFile:
    """A registration in the register, with what officers decided about it."""

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

    @property
    def digest(self) -> str:
        """The SHA-256 of the registration as it is stored, hexadecimal: what officers decide on."""
        return sha256(registration_json(self.registration)).hexdigest()


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"registration file: {what}")


class _Members:
    """The members of one JSON object, taken one by one; what is left over is refused."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._left = dict(members)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._left.pop(name, default)
        if not isinstance(value, str):
            raise _refuse(f"{name} is missing or not text")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        value = self._left.pop(name, [])
        if not isinstance(value, list) or len(value) > limit:
            raise _refuse(f"{name} is a list of at most {limit}")
        return value

    def end(self) -> None:
        if self._left:
            raise _refuse(f"unknown member {min(self._left)[:64]!r}")


def _person(members: _Members) -> PersonIdentity:
    return PersonIdentity(
        national_code=parse_national_code(members.text("national_code")),
        given_name=parse_name(members.text("given_name")),
        surname=parse_name(members.text("surname")),
    )


def _clinician(members: _Members) -> ClinicianIdentity:
    slugs = {profession.slug: profession for profession in Profession}
    profession = slugs.get(members.text("profession"))
    if profession is None:
        raise _refuse(f"profession is one of {', '.join(slugs)}")
    number = parse_council_number(members.text("council_number"), profession)
    if not number.isascii():
        # registrationNumber of Admission is a PrintableString (Common PKI part 1, table 29).
        raise InvalidInput(ErrorCode.IDENTITY_INVALID, "a council number is written with a Latin letter")
    person = _person(members)
    return ClinicianIdentity(
        national_code=person.national_code,
        given_name=person.given_name,
        surname=person.surname,
        profession=profession,
        council_number=number,
    )


def _centre(members: _Members) -> CentreIdentity:
    slugs = {kind.slug: kind for kind in InstitutionKind}
    kind = slugs.get(members.text("centre_kind"))
    if kind is None:
        raise _refuse(f"centre_kind is one of {', '.join(slugs)}")
    return CentreIdentity(
        siam_id=parse_siam_id(members.text("siam_id")),
        name=parse_name(members.text("name")),
        kind=kind,
        legal_id=parse_legal_id(members.text("legal_id")),
        province=parse_name(members.text("province")),
        city=parse_name(members.text("city")),
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


def _system(members: _Members) -> SystemIdentity:
    hosts = tuple(_host(value) for value in members.items("hosts", MAX_HOSTS))
    if not hosts or len(set(hosts)) != len(hosts):
        raise _refuse("hosts must be named, each once")
    return SystemIdentity(
        organization=parse_name(members.text("organization")),
        common_name=parse_name(members.text("common_name")),
        hosts=hosts,
    )


_OFFICER_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")


def _officer(members: _Members) -> OfficerIdentity:
    officer_id = members.text("officer_id")
    if not _OFFICER_ID.fullmatch(officer_id):
        raise _refuse("officer_id is 1 to 64 small letters, digits, dots and hyphens")
    return OfficerIdentity(
        officer_id=officer_id,
        given_name=parse_name(members.text("given_name")),
        surname=parse_name(members.text("surname")),
    )


def _evidence(value: object) -> Evidence:
    if not isinstance(value, dict):
        raise _refuse("a piece of evidence is an object")
    members = _Members(value)
    found = Evidence(what=parse_name(members.text("what")), sha256=members.text("sha256"))
    members.end()
    if not re.fullmatch(r"[0-9a-f]{64}", found.sha256):
        raise _refuse("evidence sha256 is 64 lower-case hexadecimal digits")
    return found


_READERS: Final[Mapping[str, tuple[HolderKind, Callable[[_Members], Identity], KeyStorage]]] = {
    "clinician": (HolderKind.CLINICIAN, _clinician, KeyStorage.HARDWARE),
    "citizen": (HolderKind.CITIZEN, _person, KeyStorage.HARDWARE),
    "centre": (HolderKind.CENTRE, _centre, KeyStorage.SOFTWARE),
    "system": (HolderKind.SYSTEM, _system, KeyStorage.SOFTWARE),
    "officer": (HolderKind.OFFICER, _officer, KeyStorage.HARDWARE),
}


def parse_registration(data: bytes) -> Registration:
    """Read a registration file from JSON.

    InvalidInput: `input-too-large`, `json-malformed`, `input-malformed` (a member), `identity-invalid` (an
    identifier or name); no message repeats an identifier.
    """
    if len(data) > MAX_FILE_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "registration file larger than 16 KiB")
    members = _Members(json_object(data))
    reader = _READERS.get(members.text("kind"))
    if reader is None:
        raise _refuse(f"kind is one of {', '.join(_READERS)}")
    kind, read, storage = reader
    try:
        key_storage = KeyStorage(members.text("key_storage", storage.value))
    except ValueError as error:
        raise _refuse("key_storage is hardware or software") from error
    evidence = tuple(_evidence(value) for value in members.items("evidence", MAX_EVIDENCE))
    identity = read(members)
    members.end()
    return Registration(kind=kind, identity=identity, key_storage=key_storage, evidence=evidence)


def registration_json(registration: Registration) -> bytes:
    """Write a registration as `parse_registration` reads it; the form that is stored."""
    identity = registration.identity
    members: dict[str, Any] = {"kind": registration.kind.value, "key_storage": registration.key_storage.value}
    if registration.evidence:
        members["evidence"] = [{"what": item.what, "sha256": item.sha256} for item in registration.evidence]
    match identity:
        case PersonIdentity():
            members |= {"national_code": identity.national_code, "given_name": identity.given_name}
            members["surname"] = identity.surname
            if isinstance(identity, ClinicianIdentity):
                members |= {"profession": identity.profession.slug, "council_number": identity.council_number}
        case CentreIdentity():
            members |= {"siam_id": identity.siam_id, "name": identity.name, "centre_kind": identity.kind.slug}
            members |= {"legal_id": identity.legal_id, "province": identity.province, "city": identity.city}
        case SystemIdentity():
            members |= {"organization": identity.organization, "common_name": identity.common_name}
            members["hosts"] = list(identity.hosts)
        case OfficerIdentity():
            members |= {"officer_id": identity.officer_id, "given_name": identity.given_name}
            members["surname"] = identity.surname
    return canonical_json(members)
