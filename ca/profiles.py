"""The certificate profiles as data: frozen, checked for contradictions, versioned.

A profile says everything about a certificate that does not depend on its holder. Adding one is adding an
entry here; builder, lint and service read only these fields. Type OIDs come from the deployer's arc.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from ca.errors import ProfileUnknown
from ca.key_policy import KeyKind
from pki import oids


@unique
class ProfileName(StrEnum):
    """Profiles by the names of the command line."""

    ROOT = "root"
    ISSUING_CA = "issuing-ca"
    CLIN_SIGN = "clin-sign"
    CLIN_AUTH = "clin-auth"
    CIT_SIGN = "cit-sign"
    CIT_AUTH = "cit-auth"
    HIX_TLS = "hix-tls"
    HIX_SEAL = "hix-seal"
    TLS_SERVER = "tls-server"
    OCSP = "ocsp"
    TSA = "tsa"
    SEAL = "seal"


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


@unique
class KeyUsage(StrEnum):
    """Key usages by their RFC 5280 §4.2.1.3 names."""

    DIGITAL_SIGNATURE = "digitalSignature"
    NON_REPUDIATION = "nonRepudiation"
    KEY_CERT_SIGN = "keyCertSign"
    CRL_SIGN = "cRLSign"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProfile:
    """Everything about a certificate that its holder does not decide.

    `issuer` None: the issuing CA that the certificate serves. `software_validity` shortens the life of keys
    that are not in hardware. `status_pointers`: AIA and CDP. `type_number` (group, number) under the arc.
    """

    name: ProfileName
    version: int = 1
    holder: HolderKind
    issuer: IssuerName | None
    type_number: tuple[int, int] | None
    key_usage: frozenset[KeyUsage]
    extended_key_usage: tuple[str, ...] = ()
    extended_key_usage_critical: bool = False
    keys: frozenset[KeyKind]
    validity: timedelta
    software_validity: timedelta | None = None
    private_key_usage: timedelta | None = None
    path_length: int | None = None
    admission: bool = False
    pseudonym: bool = False
    alternative_name: bool = False
    status_pointers: bool = True
    ocsp_no_check: bool = False

    def __post_init__(self) -> None:
        for broken, rule in (
            (not self.key_usage, "key usage must not be empty"),
            (
                {KeyUsage.NON_REPUDIATION, KeyUsage.DIGITAL_SIGNATURE} <= self.key_usage,
                "commitment and login share no key",
            ),
            (self.is_ca != (KeyUsage.KEY_CERT_SIGN in self.key_usage), "CAs and only CAs sign certificates"),
            (self.is_ca == (self.type_number is not None), "end entities and only they have a type OID"),
            (self.path_length is not None and not self.is_ca, "a path length belongs to a CA"),
            (self.validity <= timedelta(), "validity must be positive"),
            (
                self.software_validity is not None and self.software_validity > self.validity,
                "software keys live shorter",
            ),
            (self.ocsp_no_check and self.extended_key_usage != (oids.EKU_OCSP_SIGNING,), "nocheck is for responders"),
            (self.ocsp_no_check and self.status_pointers, "a responder's own status is not asked for"),
            (
                self.extended_key_usage_critical and self.extended_key_usage != (oids.EKU_TIME_STAMPING,),
                "only time-stamping asks for a critical EKU (RFC 3161 §2.3)",
            ),
            (self.private_key_usage is not None and self.private_key_usage > self.validity, "key outlives certificate"),
        ):
            if broken:
                raise ValueError(f"profile {self.name}: {rule}")

    @property
    def is_ca(self) -> bool:
        """Whether it is for a certification authority."""
        return self.holder is HolderKind.AUTHORITY

    @property
    def needs_file(self) -> bool:
        """Whether an approved registration file must stand behind each certificate."""
        return self.holder not in (HolderKind.AUTHORITY, HolderKind.SERVICE)

    def lifetime(self, *, hardware: bool) -> timedelta:
        """How long a certificate lives, by where its key is."""
        return self.validity if hardware or self.software_validity is None else self.software_validity


_COMMITMENT: Final = frozenset({KeyUsage.NON_REPUDIATION})
_LOGIN: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE})
_AUTHORITY: Final = frozenset({KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN})
_EC: Final = frozenset({KeyKind.P256, KeyKind.P384})
_SOFTWARE: Final = _EC | {KeyKind.RSA_3072}
_CARD: Final = _SOFTWARE | {KeyKind.RSA_2048}  # cards in the field have RSA-2048 engines
_YEAR: Final = timedelta(days=365)

_ALL: Final = (
    CertificateProfile(
        name=ProfileName.ROOT,
        holder=HolderKind.AUTHORITY,
        issuer=IssuerName.ROOT,
        type_number=None,
        key_usage=_AUTHORITY,
        keys=frozenset({KeyKind.P384}),
        validity=20 * _YEAR,
        status_pointers=False,
    ),
    CertificateProfile(
        name=ProfileName.ISSUING_CA,
        holder=HolderKind.AUTHORITY,
        issuer=IssuerName.ROOT,
        type_number=None,
        key_usage=_AUTHORITY,
        keys=_EC,
        validity=8 * _YEAR,
        path_length=0,
    ),
    CertificateProfile(
        name=ProfileName.CLIN_SIGN,
        holder=HolderKind.CLINICIAN,
        issuer=IssuerName.PERSONS,
        type_number=(1, 1),
        key_usage=_COMMITMENT,
        keys=_CARD,
        validity=3 * _YEAR,
        admission=True,
    ),
    CertificateProfile(
        name=ProfileName.CLIN_AUTH,
        holder=HolderKind.CLINICIAN,
        issuer=IssuerName.PERSONS,
        type_number=(1, 2),
        key_usage=_LOGIN,
        extended_key_usage=(oids.EKU_CLIENT_AUTH,),
        keys=_CARD,
        validity=3 * _YEAR,
        admission=True,
    ),
    CertificateProfile(
        name=ProfileName.CIT_SIGN,
        holder=HolderKind.CITIZEN,
        issuer=IssuerName.PERSONS,
        type_number=(2, 1),
        key_usage=_COMMITMENT,
        keys=_CARD,
        validity=3 * _YEAR,
    ),
    CertificateProfile(
        name=ProfileName.CIT_AUTH,
        holder=HolderKind.CITIZEN,
        issuer=IssuerName.PERSONS,
        type_number=(2, 2),
        key_usage=_LOGIN,
        extended_key_usage=(oids.EKU_CLIENT_AUTH,),
        keys=_CARD,
        validity=3 * _YEAR,
        pseudonym=True,
    ),
    CertificateProfile(
        name=ProfileName.HIX_TLS,
        holder=HolderKind.CENTRE,
        issuer=IssuerName.INSTITUTIONS,
        type_number=(3, 1),
        key_usage=_LOGIN,
        extended_key_usage=(oids.EKU_CLIENT_AUTH,),
        keys=_SOFTWARE,
        validity=_YEAR,
        software_validity=timedelta(days=90),
        admission=True,
        alternative_name=True,
    ),
    CertificateProfile(
        name=ProfileName.HIX_SEAL,
        holder=HolderKind.CENTRE,
        issuer=IssuerName.INSTITUTIONS,
        type_number=(3, 2),
        key_usage=_COMMITMENT,
        keys=_SOFTWARE,
        validity=3 * _YEAR,
        admission=True,
    ),
    CertificateProfile(
        name=ProfileName.TLS_SERVER,
        holder=HolderKind.SYSTEM,
        issuer=IssuerName.SYSTEMS,
        type_number=(4, 1),
        key_usage=_LOGIN,
        extended_key_usage=(oids.EKU_SERVER_AUTH,),
        keys=_SOFTWARE,
        validity=timedelta(days=90),
        alternative_name=True,
    ),
    CertificateProfile(
        name=ProfileName.OCSP,
        holder=HolderKind.SERVICE,
        issuer=None,
        type_number=(5, 1),
        key_usage=_LOGIN,
        extended_key_usage=(oids.EKU_OCSP_SIGNING,),
        keys=_EC,
        validity=timedelta(days=30),
        status_pointers=False,
        ocsp_no_check=True,
    ),
    CertificateProfile(
        name=ProfileName.TSA,
        holder=HolderKind.SERVICE,
        issuer=IssuerName.SYSTEMS,
        type_number=(5, 2),
        key_usage=_COMMITMENT,
        extended_key_usage=(oids.EKU_TIME_STAMPING,),
        extended_key_usage_critical=True,
        keys=_EC,
        validity=5 * _YEAR,
        private_key_usage=_YEAR,
    ),
    CertificateProfile(
        name=ProfileName.SEAL,
        holder=HolderKind.SERVICE,
        issuer=IssuerName.SYSTEMS,
        type_number=(5, 3),
        key_usage=_LOGIN,
        keys=_EC,
        validity=3 * _YEAR,
    ),
)

PROFILES: Final[Mapping[ProfileName, CertificateProfile]] = MappingProxyType({p.name: p for p in _ALL})

# What each issuing CA's own EKU extension confines its certificates to (RFC 5280 §4.2.1.12 leaves the
# meaning in CA certificates open; OpenSSL, Windows and browsers read it as a limit).
AUTHORITY_USAGES: Final[Mapping[IssuerName, tuple[str, ...]]] = MappingProxyType(
    {
        IssuerName.ROOT: (),
        IssuerName.PERSONS: (oids.EKU_CLIENT_AUTH, oids.EKU_DOCUMENT_SIGNING, oids.EKU_OCSP_SIGNING),
        IssuerName.INSTITUTIONS: (oids.EKU_CLIENT_AUTH, oids.EKU_DOCUMENT_SIGNING, oids.EKU_OCSP_SIGNING),
        IssuerName.SYSTEMS: (
            oids.EKU_SERVER_AUTH,
            oids.EKU_CLIENT_AUTH,
            oids.EKU_DOCUMENT_SIGNING,
            oids.EKU_TIME_STAMPING,
            oids.EKU_OCSP_SIGNING,
        ),
    }
)


def profile_named(name: str) -> CertificateProfile:
    """Return the profile that goes by `name`; ProfileUnknown."""
    try:
        return PROFILES[ProfileName(name)]
    except ValueError as error:
        raise ProfileUnknown(name) from error
