"""A small certification path for tests: root → intermediate → signer, with software keys.

Everything here is synthetic: names, numbers and OIDs under 1.3.6.1.4.1.32473. `make_path()` is cheap
(P-256); RSA keys are made once per process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hsm.soft import UnsafeSoftKey
from pki import oids
from pki.builder_keys import builder_key
from pki.certificates import Certificate, pem
from pki.identity import build_name
from pki.keys import PublicKey, SignatureAlgorithm

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ARC = oids.OidArc()


@lru_cache(maxsize=8)
def rsa_key(number: int = 0) -> UnsafeSoftKey:
    """Return an RSA key, the same one for the same number (making one takes a second)."""
    del number
    return UnsafeSoftKey.generate(SignatureAlgorithm.RS256)


def new_key(algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256) -> UnsafeSoftKey:
    """Make a key; RSA keys are shared."""
    return rsa_key() if algorithm is SignatureAlgorithm.RS256 else UnsafeSoftKey.generate(algorithm)


def key_usage(*names: str) -> x509.KeyUsage:
    """Build a keyUsage extension from `cryptography`'s field names."""
    fields = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{field: field in names for field in fields})


@dataclass(frozen=True, kw_only=True, repr=False)
class Holder:
    """A certificate, its key, and the certificates above it up to, without, the root."""

    x509: x509.Certificate
    key: UnsafeSoftKey
    issuers: tuple[Certificate, ...] = ()

    @cached_property
    def certificate(self) -> Certificate:
        """The certificate as Mohr reads it."""
        return Certificate.parse(self.x509.public_bytes(Encoding.DER))

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """Leaf first, then intermediates; no root."""
        return (self.certificate, *self.issuers)

    @property
    def pem(self) -> str:
        """The certificate as PEM."""
        return pem(self.certificate.der)


@dataclass(frozen=True, kw_only=True, repr=False)
class Issuer(Holder):
    """A CA that issues what a test asks for."""

    root: bool = False

    def _issue(
        self,
        name: x509.Name,
        public_key: PublicKey,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
        not_before: datetime,
        not_after: datetime,
        serial: int | None,
    ) -> x509.Certificate:
        issuer_key = self.key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.x509.subject)
            .public_key(public_key)
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(builder_key(self.key), hashes.SHA256())

    def issue(
        self,
        common_name: str = "نمونهٔ پزشک",
        *,
        key: UnsafeSoftKey | None = None,
        usage: Sequence[str] = ("content_commitment",),
        extended: Sequence[str] | None = (oids.EKU_DOCUMENT_SIGNING,),
        extended_critical: bool = False,
        policies: Sequence[str] = (ARC.certificate_policy,),
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
        not_before: datetime = NOW - timedelta(days=30),
        not_after: datetime = NOW + timedelta(days=335),
        serial: int | None = None,
    ) -> Holder:
        """Issue an end-entity certificate; by default a clinician's signing certificate."""
        key = key or new_key()
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (key_usage(*usage), True),
        ]
        if extended is not None:
            extensions.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(o) for o in extended]), extended_critical))
        if policies:
            information = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in policies]
            extensions.append((x509.CertificatePolicies(information), False))
        name = build_name(
            (NameOID.COUNTRY_NAME, "IR"),
            (NameOID.SERIAL_NUMBER, "PNOIR-0000012343"),
            (NameOID.COMMON_NAME, common_name),
        )
        issued = self._issue(name, key.public_key(), [*extensions, *extra], not_before, not_after, serial)
        return Holder(x509=issued, key=key, issuers=() if self.root else self.chain)

    def issue_tsa(self, common_name: str = "Test TSA", *, key: UnsafeSoftKey | None = None) -> Holder:
        """Issue a time-stamping certificate (RFC 3161 §2.3: one critical extended key usage)."""
        return self.issue(
            common_name,
            key=key,
            usage=("digital_signature",),
            extended=(oids.EKU_TIME_STAMPING,),
            extended_critical=True,
        )

    def issue_ca(
        self,
        common_name: str = "Test intermediate",
        *,
        key: UnsafeSoftKey | None = None,
        path_length: int | None = 0,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> "Issuer":
        """Issue a CA certificate, by default with path length 0."""
        key = key or new_key()
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (key_usage("key_cert_sign", "crl_sign"), True),
            *extra,
        ]
        name = build_name((NameOID.COUNTRY_NAME, "IR"), (NameOID.COMMON_NAME, common_name))
        issued = self._issue(
            name, key.public_key(), extensions, NOW - timedelta(days=365), NOW + timedelta(days=3650), None
        )
        return Issuer(x509=issued, key=key, issuers=() if self.root else self.chain)

    def crl(
        self,
        revoked: Mapping[int, datetime] | None = None,
        *,
        this_update: datetime = NOW - timedelta(hours=1),
        next_update: datetime = NOW + timedelta(days=1),
        number: int = 1,
        reason: x509.ReasonFlags | None = None,
        invalid_since: datetime | None = None,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
        entries: Sequence[x509.RevokedCertificate] = (),
    ) -> bytes:
        """Sign a full CRL, DER; `reason` and `invalid_since` go into every entry of `revoked`."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.x509.subject)
            .last_update(this_update)
            .next_update(next_update)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for serial, at in (revoked or {}).items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            if invalid_since is not None:
                entry = entry.add_extension(x509.InvalidityDate(invalid_since.replace(tzinfo=None)), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        for made in entries:
            builder = builder.add_revoked_certificate(made)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(builder_key(self.key), hashes.SHA256()).public_bytes(Encoding.DER)

    def ocsp_responder(self) -> Holder:
        """Issue a delegated OCSP responder's certificate (RFC 6960 §4.2.2.2)."""
        return self.issue(
            "Test OCSP",
            usage=("digital_signature",),
            extended=(ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string,),
            extra=((x509.OCSPNoCheck(), False),),
        )


def make_root(common_name: str = "Test root", *, key: UnsafeSoftKey | None = None) -> Issuer:
    """Make a self-signed root."""
    key = key or new_key()
    name = build_name((NameOID.COUNTRY_NAME, "IR"), (NameOID.COMMON_NAME, common_name))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=730))
        .not_valid_after(NOW + timedelta(days=7300))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(builder_key(key), hashes.SHA256())
    )
    return Issuer(x509=certificate, key=key, root=True)


@dataclass(frozen=True, kw_only=True, repr=False)
class TrustPath:
    """Root, intermediate, a clinician and a time-stamping authority."""

    root: Issuer
    intermediate: Issuer
    clinician: Holder
    tsa: Holder

    @property
    def anchors_pem(self) -> str:
        """What OpenSSL takes as -CAfile."""
        return self.root.pem


def make_path(algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256) -> TrustPath:
    """Make a whole path; the clinician's key has `algorithm`, all others are P-256."""
    root = make_root()
    intermediate = root.issue_ca()
    return TrustPath(
        root=root,
        intermediate=intermediate,
        clinician=intermediate.issue(key=new_key(algorithm)),
        tsa=intermediate.issue_tsa(),
    )
