"""Profile sets as files: TOML read strictly, every refusal named by member and rule (`profile-invalid`).

The pilot's set is data of this package; docs/profiles.md says how a deployer writes another.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, TypeVar

from ca.errors import ProfileInvalid
from ca.key_policy import KeyKind
from ca.profiles import (
    Activation,
    CertificateProfile,
    HolderKind,
    IssuerName,
    KeyUsage,
    ProfileName,
    ProfileSet,
    ProfileStatus,
)
from pki import oids
from pki.jose import canonical_json

FORMAT: Final = "mohr-profiles/1"
MAX_OCTETS: Final = 256 * 1024
MAX_PROFILES: Final = 100
MAX_DAYS: Final = 365 * 50
LINTERS: Final = ("pkix", "NCP_NATURAL_PERSON_CERTIFICATE", "NCP_LEGAL_PERSON_CERTIFICATE")

KEY_PURPOSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "serverAuth": oids.EKU_SERVER_AUTH,
        "clientAuth": oids.EKU_CLIENT_AUTH,
        "timeStamping": oids.EKU_TIME_STAMPING,
        "OCSPSigning": oids.EKU_OCSP_SIGNING,
        "documentSigning": oids.EKU_DOCUMENT_SIGNING,
    }
)
_PURPOSE_NAMES: Final = MappingProxyType({value: name for name, value in KEY_PURPOSES.items()})

_Value = TypeVar("_Value")
_Enum = TypeVar("_Enum", bound=StrEnum)


class _Table:
    """One table of the file, whose members are taken one by one; what is left at the end is refused."""

    def __init__(self, path: str, members: Any) -> None:
        if not isinstance(members, dict):
            raise ProfileInvalid(path, "is a table")
        self._path, self._left = path, dict(members)

    def at(self, member: str) -> str:
        return f"{self._path}.{member}" if self._path else member

    def has(self, member: str) -> bool:
        return member in self._left

    def take(self, member: str, kind: type[_Value], rule: str, default: _Value | None = None) -> _Value:
        value = self._left.pop(member, default)
        if type(value) is not kind:  # a bool is no whole number
            raise ProfileInvalid(self.at(member), rule if value is not None else f"is missing; it {rule}")
        return value

    def text(self, member: str, default: str | None = None) -> str:
        return self.take(member, str, "is text", default)

    def flag(self, member: str, *, default: bool = False) -> bool:
        return self.take(member, bool, "is true or false", default)

    def number(self, member: str, low: int, high: int, default: int | None = None) -> int:
        rule = f"is a whole number from {low} to {high}"
        value = self.take(member, int, rule, default)
        if not low <= value <= high:
            raise ProfileInvalid(self.at(member), rule)
        return value

    def days(self, member: str, default: int | None = None) -> timedelta:
        return timedelta(days=self.number(member, 0, MAX_DAYS, default))

    def choice(self, member: str, kind: type[_Enum], default: _Enum | None = None) -> _Enum:
        return self._member_of(kind)(self.text(member, None if default is None else default.value), self.at(member))

    def choices(self, member: str, kind: type[_Enum]) -> frozenset[_Enum]:
        return frozenset(self.listed(member, self._member_of(kind)))

    def listed(
        self, member: str, read: Callable[[str, str], _Value], default: list[str] | None = None
    ) -> tuple[_Value, ...]:
        """Take a list of different texts; `read` gets each with the member's name."""
        texts = self.take(member, list, "is a list", default)
        if not all(isinstance(text, str) for text in texts) or len(set(texts)) != len(texts):
            raise ProfileInvalid(self.at(member), "is a list of different texts")
        return tuple(read(text, self.at(member)) for text in texts)

    def end(self) -> None:
        if self._left:
            raise ProfileInvalid(self.at(min(self._left)), "is not a member here")

    @staticmethod
    def _member_of(kind: type[_Enum]) -> Callable[[str, str], _Enum]:
        def read(text: str, member: str) -> _Enum:
            try:
                return kind(text)
            except ValueError as error:
                raise ProfileInvalid(member, f"is one of {', '.join(kind)}") from error

        return read


def _key_purpose(text: str, member: str) -> str:
    if text not in KEY_PURPOSES:
        raise ProfileInvalid(member, f"is of {', '.join(KEY_PURPOSES)}")
    return KEY_PURPOSES[text]


def _linter(text: str, member: str) -> str:
    if text not in LINTERS:
        raise ProfileInvalid(member, f"is of {', '.join(LINTERS)}")
    return text


def _type_number(table: _Table) -> tuple[int, int] | None:
    if not table.has("type"):
        return None
    rule = "is two whole numbers from 0 to 9999"
    match table.take("type", list, rule):
        case [int(group), int(number)] if not {type(group), type(number)} - {int}:
            if 0 <= group <= 9999 and 0 <= number <= 9999:
                return group, number
    raise ProfileInvalid(table.at("type"), rule)


def _profile(name: str, members: Any) -> CertificateProfile:
    path = f"profiles.{name[:64]}"
    try:
        profile_name = ProfileName(name)
    except ValueError as error:
        raise ProfileInvalid(path, str(error)) from error
    table = _Table(path, members)
    values: dict[str, Any] = {
        "version": table.number("version", 1, 1_000_000),
        "status": table.choice("status", ProfileStatus),
        "activation": table.choice("activation", Activation, Activation.NONE),
        "renewal_window": table.days("renewal_days", 0),
        "linters": table.listed("linters", _linter, ["pkix"]),
        "holder": table.choice("holder", HolderKind),
        "issuer": table.choice("issuer", IssuerName) if table.has("issuer") else None,
        "type_number": _type_number(table),
        "key_usage": table.choices("key_usage", KeyUsage),
        "extended_key_usage": table.listed("extended_key_usage", _key_purpose, []),
        "extended_key_usage_critical": table.flag("extended_key_usage_critical"),
        "keys": table.choices("keys", KeyKind),
        "validity": table.days("validity_days"),
        "software_validity": table.days("software_validity_days") if table.has("software_validity_days") else None,
        "private_key_usage": table.days("private_key_usage_days") if table.has("private_key_usage_days") else None,
        "path_length": table.number("path_length", 0, 10) if table.has("path_length") else None,
        "admission": table.flag("admission"),
        "pseudonym": table.flag("pseudonym"),
        "alternative_name": table.flag("alternative_name"),
        "status_pointers": table.flag("status_pointers", default=True),
        "ocsp_no_check": table.flag("ocsp_no_check"),
    }
    table.end()
    try:
        return CertificateProfile(name=profile_name, **values)
    except ValueError as error:
        raise ProfileInvalid(path, str(error)) from error


def _days(span: timedelta | None) -> int | None:
    return None if span is None else span.days


def _purpose_names(usages: Iterable[str]) -> list[str]:
    return [_PURPOSE_NAMES[usage] for usage in usages]


def profile_members(profile: CertificateProfile) -> dict[str, Any]:
    """Return a profile as the members of its table in a file, those of no effect left out."""
    members = {
        "version": profile.version,
        "status": profile.status.value,
        "holder": profile.holder.value,
        "issuer": None if profile.issuer is None else profile.issuer.value,
        "type": None if profile.type_number is None else list(profile.type_number),
        "key_usage": sorted(profile.key_usage),
        "extended_key_usage": _purpose_names(profile.extended_key_usage) or None,
        "extended_key_usage_critical": profile.extended_key_usage_critical or None,
        "keys": sorted(profile.keys),
        "validity_days": _days(profile.validity),
        "software_validity_days": _days(profile.software_validity),
        "private_key_usage_days": _days(profile.private_key_usage),
        "renewal_days": _days(profile.renewal_window) or None,
        "path_length": profile.path_length,
        "admission": profile.admission or None,
        "pseudonym": profile.pseudonym or None,
        "alternative_name": profile.alternative_name or None,
        "status_pointers": None if profile.status_pointers else False,
        "ocsp_no_check": profile.ocsp_no_check or None,
        "activation": None if profile.activation is Activation.NONE else profile.activation.value,
        "linters": list(profile.linters),
    }
    return {name: value for name, value in members.items() if value is not None}


def profile_body(profile: CertificateProfile) -> bytes:
    """Return a profile as canonical JSON: equal octets for equal profiles, however the file wrote them."""
    return canonical_json(profile_members(profile))


def _digest(profiles: Mapping[str, CertificateProfile], usages: Mapping[IssuerName, tuple[str, ...]]) -> bytes:
    confined = canonical_json({label.value: _purpose_names(found) for label, found in usages.items()})
    return sha256(b"\n".join([confined, *(name.encode() + profile_body(profiles[name]) for name in profiles)])).digest()


def parse_profiles(data: bytes) -> ProfileSet:
    """Read a profile set; ProfileInvalid names the member and the rule that it breaks."""
    if len(data) > MAX_OCTETS:
        raise ProfileInvalid("file", f"has at most {MAX_OCTETS} octets")
    try:
        top = _Table("", tomllib.loads(data.decode()))
    except (ValueError, RecursionError) as error:
        raise ProfileInvalid("file", "is TOML in UTF-8") from error
    if top.text("format") != FORMAT:
        raise ProfileInvalid("format", f"is {FORMAT}")
    name = top.text("name")
    if not (0 < len(name) <= 64 and name.isprintable()):
        raise ProfileInvalid("name", "has 1 to 64 printable characters")
    confined = _Table("authorities", top.take("authorities", dict, "is a table"))
    usages = {label: confined.listed(label, _key_purpose) for label in IssuerName if confined.has(label)}
    confined.end()
    tables = top.take("profiles", dict, "is a table")
    top.end()
    if len(tables) > MAX_PROFILES:
        raise ProfileInvalid("profiles", f"are at most {MAX_PROFILES}")
    profiles: dict[str, CertificateProfile] = {text: _profile(text, members) for text, members in tables.items()}
    return ProfileSet(
        name=name,
        profiles=MappingProxyType(profiles),
        usages=MappingProxyType(usages),
        digest=_digest(profiles, usages),
    )


@lru_cache(maxsize=1)
def pilot_profiles() -> ProfileSet:
    """Return the profiles of the pilot."""
    return parse_profiles(resources.files("ca").joinpath("profile_sets/pilot.toml").read_bytes())
