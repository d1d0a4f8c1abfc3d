"""Identity schemes as files: TOML read strictly, every refusal named by member and rule (`identities-invalid`).

The pilot's scheme is data of this package; docs/identities.md says how a deployer writes another.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pki.errors import ErrorCode, InvalidInput
from pki.identity import parse_name
from pki.identity_scheme import CodedRole, IdentityScheme, InstitutionKind, Profession, TechnicalRole
from pki.jose import canonical_json
from pki.oids import NATIONAL_ARC, PILOT_ARC, UUID_ARC
from pki.strict_table import StrictTable

FORMAT: Final = "mohr-identities/1"
PILOT: Final = "pilot"
MAX_OCTETS: Final = 256 * 1024
MAX_ROLES: Final = 500
MAX_PROVINCES: Final = 200
MAX_SLUG: Final = 32

_SLUG: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9]\d{0,17})){2,20}")
_PERSON: Final = re.compile(r"PAS|IDC|PNO|TIN|[A-Z]{2}:")
_ORGANIZATION: Final = re.compile(r"VAT|NTR|PSD|LEI|[A-Z]{2}:")
# What scopes of officers call holders without a profession.
_KINDS_OF_HOLDERS: Final = frozenset({"authority", "service", "clinician", "citizen", "centre", "system", "officer"})
# A form is read in one pass over a number: no groups, no alternatives, no unbounded repetition.
_FORM: Final = re.compile(r"(?:(?:\[[^\[\]\\^]{1,40}\]|[A-Za-z0-9-])(?:\?|\{[0-9]{1,2}(?:,[0-9]{1,2})?\})?){1,12}")

_Role = TypeVar("_Role", bound=CodedRole)


class IdentitiesInvalid(InvalidInput):
    """An identity scheme breaks a rule; the detail names the member and the rule."""

    def __init__(self, member: str, rule: str) -> None:
        super().__init__(ErrorCode.IDENTITIES_INVALID, f"{member}: {rule}")
        self.member = member
        self.rule = rule


def _named(table: StrictTable, member: str, default: str | None = None) -> str:
    """Take a text that may stand in a certificate."""
    text = table.text(member, default)
    try:
        return parse_name(text)
    except InvalidInput as error:
        raise IdentitiesInvalid(table.at(member), error.detail) from error


def _oid(table: StrictTable, arc: str) -> str | None:
    if not table.has("oid"):
        return None
    oid = table.text("oid")
    foreign = any(f"{oid}.".startswith(f"{found}.") for found in (NATIONAL_ARC, UUID_ARC, arc))
    if foreign or len(oid) > 64 or not _OID.fullmatch(oid):
        rule = f"is an object identifier outside {NATIONAL_ARC}, {UUID_ARC} and {arc}, under which `number` says it"
        raise IdentitiesInvalid(table.at("oid"), rule)
    return oid


def _form(table: StrictTable) -> re.Pattern[str]:
    member, text = table.at("council_number"), table.text("council_number")
    try:
        if _FORM.fullmatch(text):
            return re.compile(text)
    except (re.error, OverflowError) as error:
        raise IdentitiesInvalid(member, f"is no form: {error}"[:200]) from error
    raise IdentitiesInvalid(member, "is letters, digits, hyphens and [classes], each with ? or {m,n}, at most 12")


def _role(slug: str, path: str, members: object, arc: str) -> tuple[StrictTable, dict[str, Any]]:
    """Read what every role has; the table still holds what only some have."""
    if len(slug) > MAX_SLUG or not _SLUG.fullmatch(slug):
        raise IdentitiesInvalid(path, f"is at most {MAX_SLUG} small letters and digits in words with hyphens between")
    if slug in _KINDS_OF_HOLDERS:
        raise IdentitiesInvalid(path, "is what holders without a profession are called")
    table = StrictTable(path, members, IdentitiesInvalid)
    return table, {
        "slug": slug,
        "number": table.number("number", 1, 9999),
        "oid": _oid(table, arc),
        "title_fa": _named(table, "title_fa"),
        "title_en": _named(table, "title_en"),
        "retired": table.flag("retired"),
        "admission_authority": _named(table, "admission_authority") if table.has("admission_authority") else None,
    }


def _profession(slug: str, path: str, members: object, arc: str) -> Profession:
    table, shared = _role(slug, path, members, arc)
    found = Profession(**shared, council_number=_form(table))
    table.end()
    return found


def _institution(slug: str, path: str, members: object, arc: str) -> InstitutionKind:
    table, shared = _role(slug, path, members, arc)
    table.end()
    return InstitutionKind(**shared)


def _technical(slug: str, path: str, members: object, arc: str) -> TechnicalRole:
    table, shared = _role(slug, path, members, arc)
    table.end()
    return TechnicalRole(**shared)


def _section(
    top: StrictTable,
    name: str,
    read: Callable[[str, str, object, str], _Role],
    inherited: Mapping[str, _Role],
    arc: str,
) -> Mapping[str, _Role]:
    tables = top.tables(name)
    own = {slug: read(slug, f"{name}.{slug[:64]}", members, arc) for slug, members in tables.items()}
    found = {**inherited, **own}
    if len(found) > MAX_ROLES:
        raise IdentitiesInvalid(name, f"are at most {MAX_ROLES}")
    return MappingProxyType(found)


def _prefix(top: StrictTable, member: str, form: re.Pattern[str], inherited: str | None) -> str:
    text = top.text(member, inherited)
    if not form.fullmatch(text):
        raise IdentitiesInvalid(member, f"is one of {form.pattern.replace('|', ', ')} (ETSI EN 319 412-1 §5.1)")
    return text


def _provinces(top: StrictTable, inherited: frozenset[str]) -> frozenset[str]:
    if not top.has("provinces"):
        return inherited

    def read(text: str, member: str) -> str:
        try:
            return parse_name(text)
        except InvalidInput as error:
            raise IdentitiesInvalid(member, error.detail) from error

    found = frozenset(top.listed("provinces", read))
    if len(found) > MAX_PROVINCES:
        raise IdentitiesInvalid("provinces", f"are at most {MAX_PROVINCES}")
    return found


def _check_distinct(roles: Iterable[tuple[str, CodedRole]]) -> None:
    """One identifier, one meaning: by number under the arc, or whole; and one name for each in files and scopes."""
    seen: dict[object, str] = {}
    for path, role in roles:
        for key in (role.slug, role.number, role.oid):
            if key is not None and seen.setdefault(key, path) != path:
                raise IdentitiesInvalid(path, f"has the name or identifier of {seen[key]}")


def role_members(role: CodedRole) -> dict[str, Any]:
    """Return a role as the members of its table in a file, those of no effect left out."""
    members = {
        "number": role.number,
        "oid": role.oid,
        "title_fa": role.title_fa,
        "title_en": role.title_en,
        "council_number": role.council_number.pattern if isinstance(role, Profession) else None,
        "admission_authority": role.admission_authority,
        "retired": role.retired or None,
    }
    return {name: value for name, value in members.items() if value is not None}


def scheme_members(scheme: IdentityScheme) -> dict[str, Any]:
    """Return a scheme as the members of a file that extends none."""
    members = {
        "format": FORMAT,
        "name": scheme.name,
        "version": scheme.version,
        "person_identifier": scheme.person_prefix,
        "organization_identifier": scheme.organization_prefix,
        "provinces": sorted(scheme.provinces) or None,
        "professions": {slug: role_members(role) for slug, role in scheme.professions.items()},
        "institutions": {slug: role_members(role) for slug, role in scheme.institutions.items()},
        "technical_roles": {slug: role_members(role) for slug, role in scheme.technical_roles.items()},
    }
    return {name: value for name, value in members.items() if value is not None}


def scheme_body(scheme: IdentityScheme) -> bytes:
    """Return a scheme as canonical JSON: equal octets for equal schemes, however the file wrote them."""
    return canonical_json(scheme_members(scheme))


def parse_identities(data: bytes, arc: str = PILOT_ARC) -> IdentityScheme:
    """Read a scheme for a deployment of `arc`; IdentitiesInvalid names the member and the rule that it breaks."""
    if len(data) > MAX_OCTETS:
        raise IdentitiesInvalid("file", f"has at most {MAX_OCTETS} octets")
    try:
        top = StrictTable("", tomllib.loads(data.decode()), IdentitiesInvalid)
    except (ValueError, RecursionError) as error:
        raise IdentitiesInvalid("file", "is TOML in UTF-8") from error
    if top.text("format") != FORMAT:
        raise IdentitiesInvalid("format", f"is {FORMAT}")
    name = top.text("name")
    if not (0 < len(name) <= 64 and name.isprintable()):
        raise IdentitiesInvalid("name", "has 1 to 64 printable characters")
    base = _base_of(top)
    person, organization = (None, None) if base is None else (base.person_prefix, base.organization_prefix)
    scheme = IdentityScheme(
        name=name,
        version=top.number("version", 1, 1_000_000),
        person_prefix=_prefix(top, "person_identifier", _PERSON, person),
        organization_prefix=_prefix(top, "organization_identifier", _ORGANIZATION, organization),
        provinces=_provinces(top, base.provinces if base else frozenset()),
        professions=_section(top, "professions", _profession, base.professions if base else {}, arc),
        institutions=_section(top, "institutions", _institution, base.institutions if base else {}, arc),
        technical_roles=_section(top, "technical_roles", _technical, base.technical_roles if base else {}, arc),
    )
    top.end()
    named = {"professions": scheme.professions, "institutions": scheme.institutions}
    _check_distinct((f"{section}.{role.slug}", role) for section, roles in named.items() for role in roles.values())
    _check_distinct((f"technical_roles.{role.slug}", role) for role in scheme.technical_roles.values())
    return scheme


def _base_of(top: StrictTable) -> IdentityScheme | None:
    if not top.has("extends"):
        return None
    if top.text("extends") != PILOT:
        raise IdentitiesInvalid("extends", f"is {PILOT}")
    return pilot_identities()


@lru_cache(maxsize=1)
def pilot_identities() -> IdentityScheme:
    """Return the scheme of the pilot."""
    return parse_identities(resources.files("pki").joinpath("identity_schemes/pilot.toml").read_bytes())
