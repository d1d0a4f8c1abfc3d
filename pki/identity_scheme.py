"""Whom certificates can be for: professions, kinds of centres, roles of systems, and how identifiers are written.

Schemes are read from files (`pki.identity_file`). A certificate says an object identifier and a title; files, scopes
and rows say the slug.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pki.errors import ErrorCode, InvalidInput
from pki.identity import CouncilNumber, LegalId, NationalCode, parse_council_number
from pki.oids import OidArc


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedRole:
    """What somebody is, as Admission says it: an object identifier and a title.

    The identifier is `oid` or, without one, `number` under the deployment's arc. Nobody new registers as what is
    `retired`. `admission_authority` is the organization that vouches for it, where it is not the deployment's own.
    """

    slug: str
    number: int
    oid: str | None = None
    title_fa: str
    title_en: str
    retired: bool = False
    admission_authority: str | None = None

    def oid_under(self, arc: OidArc) -> str:
        """Return its object identifier in a deployment of `arc`."""
        return self.oid or arc.profession(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profession(CodedRole):
    """A regulated profession, and the form of its council numbers."""

    council_number: re.Pattern[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstitutionKind(CodedRole):
    """A kind of centres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalRole(CodedRole):
    """What an information system is."""

    def oid_under(self, arc: OidArc) -> str:
        """Return its object identifier in a deployment of `arc`."""
        return self.oid or arc.technical_role(self.number)


def _unknown(what: str, slug: str) -> InvalidInput:
    return InvalidInput(
        ErrorCode.IDENTITY_INVALID, f"this deployment has no {what} {slug[:64]!r}", reason="file.role-unknown"
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdentityScheme:
    """Everything that a deployment knows of professions and identifiers; compared and hashed by identity.

    A prefix of identifiers is three letters of ETSI EN 319 412-1 §5.1.3 or §5.1.4 or, for a national scheme, two and
    a colon. Without `provinces`, any name is one.
    """

    name: str
    version: int
    person_prefix: str
    organization_prefix: str
    professions: Mapping[str, Profession] = field(repr=False)
    institutions: Mapping[str, InstitutionKind] = field(repr=False)
    technical_roles: Mapping[str, TechnicalRole] = field(repr=False)
    provinces: frozenset[str] = field(default=frozenset(), repr=False)

    def profession(self, slug: str) -> Profession:
        """Return the profession that goes by `slug`, retired or not; InvalidInput (`identity-invalid`)."""
        found = self.professions.get(slug)
        if found is None:
            raise _unknown("profession", slug)
        return found

    def institution(self, slug: str) -> InstitutionKind:
        """Return the kind of centres that goes by `slug`, retired or not; InvalidInput (`identity-invalid`)."""
        found = self.institutions.get(slug)
        if found is None:
            raise _unknown("kind of centres", slug)
        return found

    def technical_role(self, slug: str) -> TechnicalRole:
        """Return the role of systems that goes by `slug`; InvalidInput (`identity-invalid`)."""
        found = self.technical_roles.get(slug)
        if found is None:
            raise _unknown("technical role", slug)
        return found

    def council_number(self, text: str, profession: str) -> CouncilNumber:
        """Check a council number by the form that its profession's have; InvalidInput (`identity-invalid`)."""
        return parse_council_number(text, self.profession(profession).council_number)

    def person_identifier(self, country: str, code: NationalCode) -> str:
        """Return the natural person's semantics identifier (ETSI EN 319 412-1 §5.1.3)."""
        return f"{self.person_prefix}{country}-{code}"

    def organization_identifier(self, country: str, legal_id: LegalId) -> str:
        """Return the legal person's semantics identifier (ETSI EN 319 412-1 §5.1.4)."""
        return f"{self.organization_prefix}{country}-{legal_id}"

    def slug_of(self, oid: str, arc: OidArc) -> str | None:
        """Return the profession or kind of centres that an object identifier stands for under `arc`."""
        for role in (*self.professions.values(), *self.institutions.values()):
            if role.oid_under(arc) == oid:
                return role.slug
        return None

    def is_profession(self, oid: str, arc: OidArc) -> bool:
        """Tell whether an object identifier stands for a profession under `arc`."""
        return any(profession.oid_under(arc) == oid for profession in self.professions.values())
