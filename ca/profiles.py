"""What a certificate profile is, frozen and checked for contradictions; and the set that a deployment issues by.

A profile says everything about a certificate that does not depend on its holder. Sets are read from files
(`ca.profile_file`); builder, lint and service read only these fields. Type OIDs come from the deployer's arc.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum, unique
from types import MappingProxyType
from typing import ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric import rsa

from ca.errors import ProfileInvalid, ProfileRetired, ProfileUnknown
from ca.key_policy import KeyKind
from pki import oids
from pki.oids import OidArc
from pki.signatures import SubjectKey

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
MAX_NAME: Final = 32


class ProfileName(str):
    """The name of a profile: an open set, of which these are the pilot's."""

    __slots__ = ()

    ROOT: ClassVar["ProfileName"]
    ISSUING_CA: ClassVar["ProfileName"]
    CLIN_SIGN: ClassVar["ProfileName"]
    CLIN_AUTH: ClassVar["ProfileName"]
    CIT_SIGN: ClassVar["ProfileName"]
    CIT_AUTH: ClassVar["ProfileName"]
    HIX_TLS: ClassVar["ProfileName"]
    HIX_SEAL: ClassVar["ProfileName"]
    HIX_ENC: ClassVar["ProfileName"]
    TLS_SERVER: ClassVar["ProfileName"]
    OFFICER_AUTH: ClassVar["ProfileName"]
    INFOSYS: ClassVar["ProfileName"]
    INFOSYS_SERVER: ClassVar["ProfileName"]
    OCSP: ClassVar["ProfileName"]
    TSA: ClassVar["ProfileName"]
    SEAL: ClassVar["ProfileName"]

    def __new__(cls, text: str) -> Self:
        """Take a name of small letters, digits and single hyphens; ValueError."""
        if len(text) > MAX_NAME or not _NAME.fullmatch(text):
            raise ValueError("a profile's name is small letters and digits in words with hyphens between them")
        return super().__new__(cls, text)


ProfileName.ROOT = ProfileName("root")
ProfileName.ISSUING_CA = ProfileName("issuing-ca")
ProfileName.CLIN_SIGN = ProfileName("clin-sign")
ProfileName.CLIN_AUTH = ProfileName("clin-auth")
ProfileName.CIT_SIGN = ProfileName("cit-sign")
ProfileName.CIT_AUTH = ProfileName("cit-auth")
ProfileName.HIX_TLS = ProfileName("hix-tls")
ProfileName.HIX_SEAL = ProfileName("hix-seal")
ProfileName.HIX_ENC = ProfileName("hix-enc")
ProfileName.TLS_SERVER = ProfileName("tls-server")
ProfileName.OFFICER_AUTH = ProfileName("officer-auth")
ProfileName.INFOSYS = ProfileName("infosys")
ProfileName.INFOSYS_SERVER = ProfileName("infosys-server")
ProfileName.OCSP = ProfileName("ocsp")
ProfileName.TSA = ProfileName("tsa")
ProfileName.SEAL = ProfileName("seal")


@unique
class IssuerName(StrEnum):
    """The authorities of a deployment; PARENT stands for those of others that certified one of them."""

    ROOT = "root"
    PERSONS = "persons"
    INSTITUTIONS = "institutions"
    SYSTEMS = "systems"
    PARENT = "parent"


ISSUING_AUTHORITIES: Final = (IssuerName.PERSONS, IssuerName.INSTITUTIONS, IssuerName.SYSTEMS)


@unique
class HolderKind(StrEnum):
    """Who a certificate is for. AUTHORITY and SERVICE are the deployment itself and need no registration file."""

    AUTHORITY = "authority"
    SERVICE = "service"
    CLINICIAN = "clinician"
    CITIZEN = "citizen"
    CENTRE = "centre"
    SYSTEM = "system"
    OFFICER = "officer"


@unique
class KeyUsage(StrEnum):
    """Key usages by their RFC 5280 §4.2.1.3 names."""

    DIGITAL_SIGNATURE = "digitalSignature"
    NON_REPUDIATION = "nonRepudiation"
    KEY_ENCIPHERMENT = "keyEncipherment"
    KEY_AGREEMENT = "keyAgreement"
    KEY_CERT_SIGN = "keyCertSign"
    CRL_SIGN = "cRLSign"


# How each kind of keys serves encryption: RFC 8813 §3 of elliptic curves, RFC 3279 §2.3.1 of RSA.
_ENCRYPTING: Final[Mapping[KeyKind, KeyUsage]] = MappingProxyType(
    {
        KeyKind.P256: KeyUsage.KEY_AGREEMENT,
        KeyKind.P384: KeyUsage.KEY_AGREEMENT,
        KeyKind.RSA_2048: KeyUsage.KEY_ENCIPHERMENT,
        KeyKind.RSA_3072: KeyUsage.KEY_ENCIPHERMENT,
    }
)
ENCRYPTION: Final = frozenset(_ENCRYPTING.values())


@unique
class ProfileStatus(StrEnum):
    """Whether a profile is issued by: as part of the pilot, as a trial, or no longer."""

    PILOT = "pilot"
    EXPERIMENTAL = "experimental"
    RETIRED = "retired"


_EVERY_EXTENSION: Final = frozenset(
    {
        oids.AUTHORITY_KEY_IDENTIFIER,
        oids.SUBJECT_KEY_IDENTIFIER,
        oids.KEY_USAGE,
        oids.BASIC_CONSTRAINTS,
        oids.CERTIFICATE_POLICIES,
    }
)


@unique
class Activation(StrEnum):
    """Who makes a new certificate good: its holder by codes, the centre's token being activated, nobody."""

    HOLDER = "holder"
    TOKEN = "token"
    NONE = "none"


@unique
class QcStatement(StrEnum):
    """Statements of a qualified certificate (ETSI EN 319 412-5 §4, EN 319 412-1 §5.1)."""

    SEMANTICS = "semantics"
    COMPLIANCE = "compliance"
    LEGISLATION = "legislation"
    SSCD = "sscd"
    TYPE = "type"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CertificateProfile:
    """Everything about a certificate that its holder does not decide; compared and hashed by identity.

    `issuer` None: the issuing CA that the certificate serves. `software_validity` shortens the life of keys
    that are not in hardware. `status_pointers`: AIA and CDP. The type OID is
    `type_number` (group, number) under the deployment's arc or, whole, `type_oid`; an authority has none.
    `renewal_window`: how long before its end a successor may be issued. `linters`: what of pkilint judges it.
    `technical_role` (a slug) is what a system's Admission says instead of a profession. `hc_role`: ISO 17090-2's, of
    clinicians. `title`: a clinician's profession in the subject too; `organizational_unit`: a centre's, if its file
    has one.
    """

    name: ProfileName
    version: int = 1
    status: ProfileStatus = ProfileStatus.PILOT
    activation: Activation = Activation.NONE
    renewal_window: timedelta = timedelta()
    linters: tuple[str, ...] = ()
    holder: HolderKind
    issuer: IssuerName | None
    type_number: tuple[int, int] | None = None
    type_oid: str | None = None
    key_usage: frozenset[KeyUsage]
    extended_key_usage: tuple[str, ...] = ()
    extended_key_usage_critical: bool = False
    keys: frozenset[KeyKind]
    validity: timedelta
    software_validity: timedelta | None = None
    private_key_usage: timedelta | None = None
    path_length: int | None = None
    admission: bool = False
    technical_role: str | None = None
    hc_role: bool = False
    title: bool = False
    organizational_unit: bool = False
    qc_statements: tuple[QcStatement, ...] = ()
    pseudonym: bool = False
    alternative_name: bool = False
    status_pointers: bool = True
    ocsp_no_check: bool = False

    def __post_init__(self) -> None:
        """Refuse a contradiction within the profile; ProfileInvalid. Members go by their names in files."""
        for member, broken, rule in (
            ("version", self.version < 1, "counts from 1"),
            ("key_usage", not self.key_usage, "must not be empty"),
            (
                "key_usage",
                {KeyUsage.NON_REPUDIATION, KeyUsage.DIGITAL_SIGNATURE} <= self.key_usage,
                "commitment and login share no key",
            ),
            (
                "key_usage",
                self.is_ca != (KeyUsage.KEY_CERT_SIGN in self.key_usage),
                "CAs and only CAs sign certificates",
            ),
            ("key_usage", not self.is_ca and KeyUsage.CRL_SIGN in self.key_usage, "only CAs sign CRLs"),
            ("keys", not self.keys, "must not be empty"),
            (
                "key_usage",
                bool(self.key_usage & ENCRYPTION) and self.key_usage != {_ENCRYPTING.get(kind) for kind in self.keys},
                "encryption stands alone: keyAgreement for curves, keyEncipherment for RSA, each where such keys are",
            ),
            (
                "type",
                (self.type_number is not None) + (self.type_oid is not None) != (not self.is_ca),
                "end entities and only they have a type OID, one",
            ),
            ("path_length", self.path_length is not None and not self.is_ca, "belongs to a CA"),
            ("validity_days", self.validity <= timedelta(), "must be positive"),
            (
                "software_validity_days",
                self.software_validity is not None and not timedelta() < self.software_validity <= self.validity,
                "software keys live, and shorter",
            ),
            (
                "private_key_usage_days",
                self.private_key_usage is not None and not timedelta() < self.private_key_usage <= self.validity,
                "a key is used, and no longer than its certificate",
            ),
            (
                "renewal_days",
                not timedelta() <= self.renewal_window < self.lifetime(hardware=False),
                "renewal begins within the life",
            ),
            (
                "ocsp_no_check",
                self.ocsp_no_check and self.extended_key_usage != (oids.EKU_OCSP_SIGNING,),
                "is for responders",
            ),
            (
                "status_pointers",
                self.ocsp_no_check and self.status_pointers,
                "a responder's own status is not asked for",
            ),
            (
                "extended_key_usage_critical",
                self.extended_key_usage_critical != (oids.EKU_TIME_STAMPING in self.extended_key_usage),
                "time-stamping alone asks for it (RFC 3161 §2.3)",
            ),
            (
                "extended_key_usage",
                oids.EKU_TIME_STAMPING in self.extended_key_usage and len(self.extended_key_usage) > 1,
                "time-stamping stands alone (RFC 3161 §2.3)",
            ),
            (
                "activation",
                self.activation is not Activation.NONE and not self.needs_file,
                "only holders of files activate",
            ),
        ):
            if broken:
                raise ProfileInvalid(f"profiles.{self.name}.{member}", rule)

    @property
    def is_ca(self) -> bool:
        """Whether it is for a certification authority."""
        return self.holder is HolderKind.AUTHORITY

    @property
    def extensions(self) -> frozenset[str]:
        """Every extension that its certificates may carry."""
        carried = {
            oids.AUTHORITY_INFO_ACCESS: self.status_pointers,
            oids.CRL_DISTRIBUTION_POINTS: self.status_pointers,
            oids.EXTENDED_KEY_USAGE: self.is_ca or bool(self.extended_key_usage),
            oids.SUBJECT_ALT_NAME: self.alternative_name,
            oids.ADMISSION: self.admission,
            oids.SUBJECT_DIRECTORY_ATTRIBUTES: self.hc_role,
            oids.QC_STATEMENTS: bool(self.qc_statements),
            oids.PRIVATE_KEY_USAGE_PERIOD: self.private_key_usage is not None,
            oids.OCSP_NO_CHECK: self.ocsp_no_check,
        }
        return _EVERY_EXTENSION | {name for name, present in carried.items() if present}

    @property
    def needs_file(self) -> bool:
        """Whether an approved registration file must stand behind each certificate."""
        return self.holder not in (HolderKind.AUTHORITY, HolderKind.SERVICE)

    def usage_of(self, key: SubjectKey) -> frozenset[KeyUsage]:
        """Return what a certificate of this key is for: of encryption, what the key can do."""
        if not self.key_usage <= ENCRYPTION:
            return self.key_usage
        rsa_key = isinstance(key, rsa.RSAPublicKey)
        return frozenset({KeyUsage.KEY_ENCIPHERMENT if rsa_key else KeyUsage.KEY_AGREEMENT})

    def type_under(self, arc: OidArc) -> str | None:
        """Return the type OID in a deployment of `arc`; None for an authority."""
        return self.type_oid if self.type_number is None else arc.profile_type(*self.type_number)

    def lifetime(self, *, hardware: bool) -> timedelta:
        """How long a certificate lives, by where its key is."""
        return self.validity if hardware or self.software_validity is None else self.software_validity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileSet:
    """The profiles that a deployment issues by, in the order of their file; compared and hashed by identity.

    `usages` is what each authority's own EKU extension confines its certificates to: RFC 5280 §4.2.1.12 leaves
    the meaning in CA certificates open; OpenSSL, Windows and browsers read it as a limit. `digest`: SHA-256.
    """

    name: str
    profiles: Mapping[str, CertificateProfile] = field(repr=False)
    usages: Mapping[IssuerName, tuple[str, ...]] = field(repr=False)
    digest: bytes = field(repr=False)

    def __iter__(self) -> Iterator[CertificateProfile]:
        return iter(self.profiles.values())

    def get(self, name: str) -> CertificateProfile:
        """Return the profile that goes by `name`, retired or not; ProfileUnknown."""
        found = self.profiles.get(name)
        if found is None:
            raise ProfileUnknown(name)
        return found

    def to_issue(self, name: str) -> CertificateProfile:
        """Return the profile that goes by `name` for a new certificate; ProfileUnknown, ProfileRetired."""
        found = self.get(name)
        if found.status is ProfileStatus.RETIRED:
            raise ProfileRetired(name)
        return found

    def issued_by(self, issuer: IssuerName) -> tuple[CertificateProfile, ...]:
        """Return what an authority issues, with what every authority issues for its own services."""
        return tuple(profile for profile in self if profile.issuer in (issuer, None))

    def authority_usages(self, issuer: IssuerName) -> tuple[str, ...]:
        """Return the extended key usages in an authority's own certificate; none for no limit."""
        return self.usages.get(issuer, ())
