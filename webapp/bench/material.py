"""What the signing benches work on: a software key with a chain, a prescription, a page."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hsm.soft import UnsafeSoftKey
from pki.builder_keys import builder_key
from pki.certificates import Certificate
from pki.identity import build_name
from pki.keys import PublicKey, SignatureAlgorithm
from signer.samples import sample_pdf, sample_prescription


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A P-256 signer in memory, its chain of leaf, intermediate and root, and documents."""

    key: UnsafeSoftKey
    chain: tuple[Certificate, ...]
    anchor: Certificate
    at: datetime
    prescription: bytes
    pdf: bytes


def certificate_of(
    name: str,
    issuer: str,
    key: PublicKey,
    issuer_key: UnsafeSoftKey,
    at: datetime,
    *,
    ca: bool,
    extended: x509.ObjectIdentifier | None = None,
) -> Certificate:
    """Make a certificate as a library's user would: no profile, no lint; `extended` is its one extended key usage."""
    usage = x509.KeyUsage(False, not ca, False, False, False, ca, ca, False, False)  # noqa: FBT003 - the builder's own order
    built = (
        x509.CertificateBuilder()
        .subject_name(build_name((NameOID.COUNTRY_NAME, "IR"), (NameOID.COMMON_NAME, name)))
        .issuer_name(build_name((NameOID.COUNTRY_NAME, "IR"), (NameOID.COMMON_NAME, issuer)))
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=365))
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if extended is not None:
        built = built.add_extension(x509.ExtendedKeyUsage([extended]), critical=True)
    return Certificate.parse(built.sign(builder_key(issuer_key), hashes.SHA256()).public_bytes(Encoding.DER))


def make_material() -> Material:
    """Make keys, certificates and documents afresh."""
    at = datetime.now(UTC).replace(microsecond=0)
    root, middle, leaf = (UnsafeSoftKey.generate(SignatureAlgorithm.ES256) for _ in range(3))
    anchor = certificate_of("Bench root", "Bench root", root.public_key(), root, at, ca=True)
    issuing = certificate_of("Bench issuing CA", "Bench root", middle.public_key(), root, at, ca=True)
    signer = certificate_of("Bench signer", "Bench issuing CA", leaf.public_key(), middle, at, ca=False)
    return Material(
        key=leaf,
        chain=(signer, issuing),
        anchor=anchor,
        at=at,
        prescription=sample_prescription(prescriber="سارا نمونه", council_number="12345"),
        pdf=sample_pdf(),
    )
