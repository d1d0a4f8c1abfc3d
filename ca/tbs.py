"""From profile, subject, issuer, serial and times to a signed twin: pure, no key of ours is touched.

The twin is a complete certificate made by `cryptography`'s builder and signed with a throw-away key of the
issuer's algorithm. Its to-be-signed bytes are what the lint gate reads and, unchanged, what the device signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca.config import AuthoritySettings
from ca.extensions import qualified_statements
from ca.issuer_limits import IssuerLimits
from ca.profiles import CertificateProfile, IssuerName, KeyUsage
from ca.subjects import Subject
from pki import oids
from pki.builder_keys import builder_padding
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm, algorithm_for, check_fits, hash_of
from pki.signatures import AnyPublicKey, SubjectKey

SERIAL_OCTETS: Final = 20

_THROW_AWAY_BITS: Final = 2048  # nobody checks its signature: only the algorithm is read
_QC_STATEMENTS: Final = x509.ObjectIdentifier(oids.QC_STATEMENTS)
_DIRECTORY_ATTRIBUTES: Final = x509.ObjectIdentifier(oids.SUBJECT_DIRECTORY_ATTRIBUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An authority as the certificates it issues show it. It has no times when it is about to sign its own."""

    label: IssuerName
    name: x509.Name
    name_der: bytes
    key_identifier: bytes
    public_key: AnyPublicKey
    algorithm: SignatureAlgorithm
    not_before: datetime | None
    not_after: datetime | None
    limits: IssuerLimits = field(default_factory=IssuerLimits)

    @staticmethod
    def of(label: IssuerName, certificate: Certificate, above: Sequence[Certificate] = ()) -> "Issuer":
        """Take an authority from its own certificate and those above it, the anchor last.

        InvalidInput when its own is no CA's.
        """
        key_identifier = certificate.subject_key_identifier
        if not certificate.is_ca or key_identifier is None:
            raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, f"{label}: not a CA certificate")
        return Issuer(
            label=label,
            name=x509.load_der_x509_certificate(certificate.der).subject,
            name_der=certificate.subject_der,
            key_identifier=key_identifier,
            public_key=certificate.public_key,
            algorithm=algorithm_for(certificate.public_key),
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            limits=IssuerLimits.of((certificate, *above)),
        )

    @staticmethod
    def self_signed(label: IssuerName, name: x509.Name, public_key: AnyPublicKey) -> "Issuer":
        """Take an authority that is about to sign its own certificate."""
        return Issuer(
            label=label,
            name=name,
            name_der=name.public_bytes(),
            key_identifier=x509.SubjectKeyIdentifier.from_public_key(public_key).digest,
            public_key=public_key,
            algorithm=algorithm_for(public_key),
            not_before=None,
            not_after=None,
        )

    def signing_with(self, algorithm: SignatureAlgorithm) -> "Issuer":
        """Return it as an issuer that signs with `algorithm`: an RSA key does not say which padding is its own."""
        check_fits(algorithm, self.public_key)
        return self if algorithm is self.algorithm else replace(self, algorithm=algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateContent:
    """Everything that a certificate will say. Times are aware UTC, whole seconds."""

    profile: CertificateProfile
    subject: Subject
    issuer: Issuer
    public_key: SubjectKey
    spki_der: bytes
    serial: int
    not_before: datetime
    not_after: datetime
    hardware: bool = True
    unapproved: bool = False
    authority: IssuerName | None = None  # for a CA's own certificate: which one it is

    @property
    def self_signed(self) -> bool:
        """Whether this is an authority's own root certificate."""
        return self.authority is not None and self.authority is self.issuer.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A certificate signed by a throw-away key, and the bytes that the real key is to sign."""

    der: bytes
    tbs: bytes


def serial_from(random: bytes) -> int:
    """Make a serial number from 20 random octets: positive and exactly 20 octets long (RFC 5280 §4.1.2.2).

    158 of its bits are random.
    """
    if len(random) != SERIAL_OCTETS:
        raise ValueError("a serial number takes 20 random octets")
    return int.from_bytes(bytes((random[0] & 0x3F | 0x40,)) + random[1:], "big")


def validity(
    profile: CertificateProfile, issuer: Issuer, now: datetime, settings: AuthoritySettings, *, hardware: bool = True
) -> tuple[datetime, datetime]:
    """Return notBefore and notAfter: backdated for slow clocks, within the issuer's own validity."""
    not_before = now.replace(microsecond=0) - settings.backdate
    if issuer.not_before is not None:
        not_before = max(not_before, issuer.not_before)
    not_after = not_before + profile.lifetime(hardware=hardware) - timedelta(seconds=1)
    return not_before, not_after if issuer.not_after is None else min(not_after, issuer.not_after)


def policy_oids(profile: CertificateProfile, settings: AuthoritySettings, *, unapproved: bool) -> tuple[str, ...]:
    """Return the policies a certificate asserts: one certificate policy and exactly one type (for CAs: any)."""
    kind = profile.type_under(settings.oids)
    if kind is None:
        return (oids.ANY_POLICY,)
    return settings.oids.unapproved_pilot_policy if unapproved else settings.oids.certificate_policy, kind


def _policies(
    profile: CertificateProfile, settings: AuthoritySettings, *, unapproved: bool
) -> x509.CertificatePolicies:
    first, *rest = (x509.ObjectIdentifier(name) for name in policy_oids(profile, settings, unapproved=unapproved))
    # By-law of art. 32, art. 11: a certificate for internal use says so in its policy.
    notice = x509.UserNotice(None, settings.policy_notice)
    return x509.CertificatePolicies(
        [x509.PolicyInformation(first, [notice]), *(x509.PolicyInformation(name, None) for name in rest)]
    )


def key_usage_of(usages: frozenset[KeyUsage]) -> x509.KeyUsage:
    """Write key usages as the extension's value."""
    return x509.KeyUsage(
        digital_signature=KeyUsage.DIGITAL_SIGNATURE in usages,
        content_commitment=KeyUsage.NON_REPUDIATION in usages,
        key_encipherment=KeyUsage.KEY_ENCIPHERMENT in usages,
        data_encipherment=False,
        key_agreement=KeyUsage.KEY_AGREEMENT in usages,
        key_cert_sign=KeyUsage.KEY_CERT_SIGN in usages,
        crl_sign=KeyUsage.CRL_SIGN in usages,
        encipher_only=False,
        decipher_only=False,
    )


def _extension(value: x509.ExtensionType, *, critical: bool = False) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, critical, value)


Extensions = tuple[x509.Extension[x509.ExtensionType], ...]


@lru_cache(maxsize=4096)
def _constant_extensions(
    profile: CertificateProfile,
    issuer: IssuerName,
    key_identifier: bytes,
    shard: int,
    authority: IssuerName | None,
    settings: AuthoritySettings,
    unapproved: bool,  # noqa: FBT001 - part of the cache's key
    key_usage: frozenset[KeyUsage],
) -> Extensions:
    """Return the extensions that all certificates of a profile, issuer and shard share."""
    found = [
        _extension(x509.AuthorityKeyIdentifier(key_identifier, None, None)),
        _extension(key_usage_of(key_usage), critical=True),
        _extension(x509.BasicConstraints(ca=profile.is_ca, path_length=profile.path_length), critical=True),
    ]
    root = authority is IssuerName.ROOT
    if not root:
        found.append(_extension(_policies(profile, settings, unapproved=unapproved)))
    usages = profile.extended_key_usage if authority is None else settings.profiles.authority_usages(authority)
    if usages:
        value = x509.ExtendedKeyUsage([x509.ObjectIdentifier(name) for name in usages])
        found.append(_extension(value, critical=profile.extended_key_usage_critical))
    if profile.status_pointers:
        found += [_extension(_access(issuer, settings)), _extension(_distribution(issuer, shard, settings))]
    if profile.qc_statements:
        statements = qualified_statements(profile.qc_statements, profile.holder, settings.country)
        found.append(_extension(x509.UnrecognizedExtension(_QC_STATEMENTS, statements)))
    if profile.ocsp_no_check:
        found.append(_extension(x509.OCSPNoCheck()))
    return tuple(_encoded(extension) for extension in found)


def _encoded(extension: x509.Extension[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    """Encode an extension's value now, so that the builder need not do so for every certificate."""
    value = x509.UnrecognizedExtension(extension.oid, extension.value.public_bytes())
    return x509.Extension(extension.oid, extension.critical, value)


def _access(issuer: IssuerName, settings: AuthoritySettings) -> x509.AuthorityInformationAccess:
    places = [(AuthorityInformationAccessOID.CA_ISSUERS, settings.issuer_url(issuer))]
    if issuer is not IssuerName.ROOT:  # the root stays offline: its only status is its CRL
        places.insert(0, (AuthorityInformationAccessOID.OCSP, settings.ocsp_url))
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for method, url in places]
    )


def _distribution(issuer: IssuerName, shard: int, settings: AuthoritySettings) -> x509.CRLDistributionPoints:
    url = x509.UniformResourceIdentifier(settings.crl_url(issuer, shard))
    return x509.CRLDistributionPoints([x509.DistributionPoint([url], None, None, None)])


def _extensions(content: CertificateContent, settings: AuthoritySettings) -> list[x509.Extension[x509.ExtensionType]]:
    issuer, subject = content.issuer, content.subject
    shard = settings.shard_of(issuer.label, content.serial)
    found = list(
        _constant_extensions(
            content.profile,
            issuer.label,
            issuer.key_identifier,
            shard,
            content.authority,
            settings,
            content.unapproved,
            content.profile.usage_of(content.public_key),
        )
    )
    found.append(_extension(x509.SubjectKeyIdentifier.from_public_key(content.public_key)))
    if subject.alternative_names:
        found.append(_extension(x509.SubjectAlternativeName(subject.alternative_names)))
    if subject.admission is not None:
        found.append(_extension(subject.admission))
    if subject.directory_attributes is not None:
        found.append(_extension(x509.UnrecognizedExtension(_DIRECTORY_ATTRIBUTES, subject.directory_attributes)))
    if content.profile.private_key_usage is not None:
        end = min(content.not_before + content.profile.private_key_usage, content.not_after)
        found.append(_extension(x509.PrivateKeyUsagePeriod(content.not_before, end)))
    return found


@lru_cache(maxsize=4)
def _throw_away_key(algorithm: SignatureAlgorithm) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    match algorithm:
        case SignatureAlgorithm.ES256:
            return ec.generate_private_key(ec.SECP256R1())
        case SignatureAlgorithm.ES384:
            return ec.generate_private_key(ec.SECP384R1())
        case SignatureAlgorithm.RS256 | SignatureAlgorithm.PS256:
            return rsa.generate_private_key(65537, _THROW_AWAY_BITS)
    raise InvalidInput(ErrorCode.KEY_REFUSED, f"authorities do not sign with {algorithm}")


def build_twin(content: CertificateContent, settings: AuthoritySettings) -> Twin:
    """Build a certificate and sign it with a throw-away key."""
    algorithm = content.issuer.algorithm
    builder = x509.CertificateBuilder(
        issuer_name=content.issuer.name,
        subject_name=content.subject.name,
        public_key=content.public_key,
        serial_number=content.serial,
        not_valid_before=content.not_before.replace(tzinfo=None),
        not_valid_after=content.not_after.replace(tzinfo=None),
        extensions=_extensions(content, settings),
    )
    twin = builder.sign(_throw_away_key(algorithm), hash_of(algorithm), rsa_padding=builder_padding(algorithm))  # type: ignore[arg-type]  # the stubs list hashes one by one
    return Twin(der=twin.public_bytes(Encoding.DER), tbs=twin.tbs_certificate_bytes)
