"""What the rules look at: one twin, read from its bytes, beside what was meant to be in it.

Nothing of the builder's objects is trusted here: the certificate is parsed again by `pki`'s strict reader.
"""

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Final, NamedTuple, Protocol

from ca.config import AuthoritySettings
from ca.profiles import HolderKind
from ca.tbs import CertificateContent
from pki import der, oids
from pki.certificates import Certificate, Extension
from pki.der import Node

NATURAL_PERSONS: Final = frozenset({HolderKind.CLINICIAN, HolderKind.CITIZEN})

# How RFC 5280 appendix A bounds the attributes that we write, in characters.
UPPER_BOUNDS: Final = {
    oids.COMMON_NAME: 64,
    oids.SURNAME: 64,
    oids.SERIAL_NUMBER: 64,
    oids.COUNTRY: 2,
    oids.LOCALITY: 128,
    oids.STATE: 128,
    oids.ORGANIZATION: 64,
    oids.ORGANIZATIONAL_UNIT: 64,
    oids.TITLE: 64,
    oids.GIVEN_NAME: 64,
    oids.PSEUDONYM: 128,
    oids.ORGANIZATION_IDENTIFIER: 64,
}


class NameAttribute(NamedTuple):
    """One attribute of a Name as encoded: type, string tag and octets, and how many share its RDN."""

    kind: str
    tag: int
    content: bytes
    siblings: int

    @property
    def text(self) -> str:
        """The value as text."""
        return self.content.decode("utf-8", "replace")


@lru_cache(maxsize=64)
def _issuer_attributes(name_der: bytes) -> tuple[NameAttribute, ...]:
    return read_name(name_der)


def read_name(name_der: bytes) -> tuple[NameAttribute, ...]:
    """Read a Name with its string types."""
    found = []
    for relative in der.parse(name_der).sequence():
        attributes = relative.set_of()
        for attribute in attributes:
            kind, value = attribute.sequence()
            found.append(NameAttribute(kind=kind.oid(), tag=value.tag, content=value.content, siblings=len(attributes)))
    return tuple(found)


class SharedExtensions(Protocol):
    """The extensions that all certificates of one profile, issuer and shard have in common."""

    @property
    def key_usage(self) -> frozenset[str] | None: ...  # noqa: D102 - as in pki.certificates
    @property
    def extended_key_usage(self) -> tuple[str, ...] | None: ...  # noqa: D102 - as in pki.certificates
    @property
    def is_ca(self) -> bool: ...  # noqa: D102 - as in pki.certificates
    @property
    def path_length(self) -> int | None: ...  # noqa: D102 - as in pki.certificates
    @property
    def policies(self) -> tuple[str, ...]: ...  # noqa: D102 - as in pki.certificates
    @property
    def crl_urls(self) -> tuple[str, ...]: ...  # noqa: D102 - as in pki.certificates
    @property
    def issuer_urls(self) -> tuple[str, ...]: ...  # noqa: D102 - as in pki.certificates
    @property
    def ocsp_urls(self) -> tuple[str, ...]: ...  # noqa: D102 - as in pki.certificates


_SHARED: Final = (
    oids.KEY_USAGE,
    oids.EXTENDED_KEY_USAGE,
    oids.BASIC_CONSTRAINTS,
    oids.CERTIFICATE_POLICIES,
    oids.CRL_DISTRIBUTION_POINTS,
    oids.AUTHORITY_INFO_ACCESS,
)


class _Encoded:
    """A certificate that stands for the octets of its shared extensions: equal when those are equal."""

    __slots__ = ("certificate", "key")

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.key = tuple(certificate.extensions.get(name) for name in _SHARED)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Encoded) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=1024)
def _shared(encoded: _Encoded) -> SharedExtensions:
    """Return a reader of the shared extensions alone; each distinct encoding is decoded once."""
    only: dict[str, Extension] = {n: e for n, e in zip(_SHARED, encoded.key, strict=True) if e is not None}
    return replace(encoded.certificate, extensions=only)


class LintedCertificate:
    """One twin and what it was meant to be; every property is read from the bytes, once."""

    def __init__(self, twin_der: bytes, content: CertificateContent, settings: AuthoritySettings) -> None:
        """Read the twin; InvalidInput (`certificate-malformed`) when it is not even a certificate."""
        self.content = content
        self.settings = settings
        self.certificate = Certificate.parse_once(twin_der)

    @cached_property
    def shared(self) -> SharedExtensions:
        """The extensions that do not depend on the holder."""
        return _shared(_Encoded(self.certificate))

    @cached_property
    def fields(self) -> tuple[Node, ...]:
        """The fields of the to-be-signed part, in order."""
        return der.parse(self.certificate.tbs).sequence()

    @cached_property
    def subject(self) -> tuple[NameAttribute, ...]:
        """The subject's attributes."""
        return read_name(self.certificate.subject_der)

    @property
    def issuer(self) -> tuple[NameAttribute, ...]:
        """The issuer's attributes."""
        return _issuer_attributes(self.certificate.issuer_der)

    def count(self, kind: str) -> int:
        """How many subject attributes are of a type."""
        return sum(attribute.kind == kind for attribute in self.subject)

    def subject_text(self, kind: str) -> str | None:
        """The first subject attribute of a type."""
        return next((attribute.text for attribute in self.subject if attribute.kind == kind), None)

    def is_critical(self, extension: str) -> bool | None:
        """Whether an extension is critical; None when it is absent."""
        found = self.certificate.extensions.get(extension)
        return None if found is None else found.critical

    def value(self, extension: str) -> Node | None:
        """The decoded value of an extension."""
        found = self.certificate.extensions.get(extension)
        return None if found is None else der.parse(found.value)

    @property
    def is_end_entity(self) -> bool:
        """Whether the profile is not a CA's."""
        return not self.content.profile.is_ca
