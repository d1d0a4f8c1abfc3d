"""Profile sets as files: TOML read strictly, every refusal named by member and rule (`profile-invalid`).

The pilot's set is data of this package; docs/profiles.md says how a deployer writes another.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from ca.errors import ProfileInvalid
from ca.key_policy import KeyKind
from ca.profile_rules import NCP_CENTRE, NCP_PERSON, QCP_PERSON, check_set
from ca.profiles import (
    Activation,
    CertificateProfile,
    HolderKind,
    IssuerName,
    KeyUsage,
    ProfileName,
    ProfileSet,
    ProfileStatus,
    QcStatement,
)
from pki import oids
from pki.jose import canonical_json
from pki.oids import PILOT_ARC
from pki.strict_table import StrictTable

FORMAT: Final = "mohr-profiles/1"
PILOT: Final = "pilot"
MAX_OCTETS: Final = 256 * 1024
MAX_PROFILES: Final = 100
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9]\d{0,17})){2,20}")
LINTERS: Final = ("pkix", NCP_PERSON, NCP_CENTRE, QCP_PERSON)

KEY_PURPOSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "serverAuth": oids.EKU_SERVER_AUTH,
        "clientAuth": oids.EKU_CLIENT_AUTH,
        "timeStamping": oids.EKU_TIME_STAMPING,
        "OCSPSigning": oids.EKU_OCSP_SIGNING,
        "documentSigning": oids.EKU_DOCUMENT_SIGNING,
        "smartcardLogon": oids.EKU_SMARTCARD_LOGON,
    }
)
_PURPOSE_NAMES: Final = MappingProxyType({value: name for name, value in KEY_PURPOSES.items()})


def _key_purpose(text: str, member: str) -> str:
    if text not in KEY_PURPOSES:
        raise ProfileInvalid(member, f"is of {', '.join(KEY_PURPOSES)}")
    return KEY_PURPOSES[text]


def _linter(text: str, member: str) -> str:
    if text not in LINTERS:
        raise ProfileInvalid(member, f"is of {', '.join(LINTERS)}")
    return text


def _type_of(table: StrictTable, arc: str) -> dict[str, Any]:
    """Read `type`: [group, number] under the deployment's arc, or an object identifier outside it."""
    rule = f"is [group, number], each from 0 to 9999, or an object identifier outside {arc}"
    match table.take("type"):
        case None:
            return {}
        case [int(group), int(number)] if {type(group), type(number)} == {int} and max(group, number) <= 9999:
            if min(group, number) >= 0:
                return {"type_number": (group, number)}
        case str(text) if _OID.fullmatch(text) and len(text) <= 64 and not text.startswith(f"{arc}."):
            return {"type_oid": text}
    raise ProfileInvalid(table.at("type"), rule)


def _profile(name: str, members: object, arc: str) -> CertificateProfile:
    path = f"profiles.{name[:64]}"
    try:
        profile_name = ProfileName(name)
    except ValueError as error:
        raise ProfileInvalid(path, str(error)) from error
    table = StrictTable(path, members, ProfileInvalid)
    values: dict[str, Any] = {
        "version": table.number("version", 1, 1_000_000),
        "status": table.choice("status", ProfileStatus),
        "activation": table.choice("activation", Activation, Activation.NONE),
        "renewal_window": table.days("renewal_days", 0),
        "linters": table.listed("linters", _linter, ["pkix"]),
        "holder": table.choice("holder", HolderKind),
        "issuer": table.choice("issuer", IssuerName) if table.has("issuer") else None,
        **_type_of(table, arc),
        "key_usage": table.choices("key_usage", KeyUsage),
        "extended_key_usage": table.listed("extended_key_usage", _key_purpose, []),
        "extended_key_usage_critical": table.flag("extended_key_usage_critical"),
        "keys": table.choices("keys", KeyKind),
        "validity": table.days("validity_days"),
        "software_validity": table.days("software_validity_days") if table.has("software_validity_days") else None,
        "private_key_usage": table.days("private_key_usage_days") if table.has("private_key_usage_days") else None,
        "path_length": table.number("path_length", 0, 10) if table.has("path_length") else None,
        "admission": table.flag("admission"),
        "technical_role": table.text("technical_role") if table.has("technical_role") else None,
        "hc_role": table.flag("hc_role"),
        "title": table.flag("title"),
        "organizational_unit": table.flag("organizational_unit"),
        "qc_statements": table.listed_words("qc_statements", QcStatement),
        "pseudonym": table.flag("pseudonym"),
        "alternative_name": table.flag("alternative_name"),
        "status_pointers": table.flag("status_pointers", default=True),
        "ocsp_no_check": table.flag("ocsp_no_check"),
    }
    table.end()
    return CertificateProfile(name=profile_name, **values)


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
        "type": profile.type_oid if profile.type_number is None else list(profile.type_number),
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
        "technical_role": profile.technical_role,
        "hc_role": profile.hc_role or None,
        "title": profile.title or None,
        "organizational_unit": profile.organizational_unit or None,
        "qc_statements": [str(statement) for statement in profile.qc_statements] or None,
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


def parse_profiles(data: bytes, arc: str = PILOT_ARC) -> ProfileSet:
    """Read a profile set for a deployment of `arc`; ProfileInvalid names the member and the rule that it breaks."""
    if len(data) > MAX_OCTETS:
        raise ProfileInvalid("file", f"has at most {MAX_OCTETS} octets")
    try:
        top = StrictTable("", tomllib.loads(data.decode()), ProfileInvalid)
    except (ValueError, RecursionError) as error:
        raise ProfileInvalid("file", "is TOML in UTF-8") from error
    if top.text("format") != FORMAT:
        raise ProfileInvalid("format", f"is {FORMAT}")
    name = top.text("name")
    if not (0 < len(name) <= 64 and name.isprintable()):
        raise ProfileInvalid("name", "has 1 to 64 printable characters")
    base = _base_of(top)
    confined = StrictTable("authorities", top.tables("authorities"), ProfileInvalid)
    usages = {label: confined.listed(label, _key_purpose) for label in IssuerName if confined.has(label)}
    confined.end()
    tables = top.tables("profiles")
    top.end()
    if len(tables) > MAX_PROFILES:
        raise ProfileInvalid("profiles", f"are at most {MAX_PROFILES}")
    own = {text: _profile(text, members, arc) for text, members in tables.items()}
    if base is None:
        return _checked(name, own, usages)
    return _checked(name, {**base.profiles, **own}, {**base.usages, **usages})


def _base_of(top: StrictTable) -> ProfileSet | None:
    if not top.has("extends"):
        return None
    if top.text("extends") != PILOT:
        raise ProfileInvalid("extends", f"is {PILOT}")
    return pilot_profiles()


def _checked(
    name: str, profiles: Mapping[str, CertificateProfile], usages: Mapping[IssuerName, tuple[str, ...]]
) -> ProfileSet:
    check_set(profiles, usages)
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
