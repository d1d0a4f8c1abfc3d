"""Certificate requests (RFC 2986): made with any signing key, read only with their proof checked."""

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from pki.builder_keys import builder_key, builder_padding
from pki.errors import ErrorCode, InvalidInput
from pki.identity import build_name
from pki.keys import SigningKey, hash_of
from pki.signatures import AnyPublicKey, load_public_key

MAX_CSR_OCTETS: Final = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Csr:
    """A request whose proof of possession held. Its subject is a wish; the registration file decides."""

    der: bytes
    public_key: AnyPublicKey
    spki_der: bytes


def build_csr(key: SigningKey, common_name: str) -> bytes:
    """Make a DER request for `key`, signed by it."""
    return build_request(key, build_name((NameOID.COMMON_NAME, common_name)))


def build_request(key: SigningKey, name: x509.Name) -> bytes:
    """Make a DER request for `key` under a whole name, signed by it; InvalidInput for an Ed25519 key."""
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(builder_key(key), hash_of(key.algorithm), rsa_padding=builder_padding(key.algorithm))  # type: ignore[arg-type]  # the stubs list hashes one by one
    return signed.public_bytes(Encoding.DER)


def parse_csr(data: bytes) -> Csr:
    """Read a DER or PEM request and check its proof of possession.

    InvalidInput with `csr-malformed`, `csr-proof-invalid` or `key-refused`.
    """
    if len(data) > MAX_CSR_OCTETS:
        raise InvalidInput(ErrorCode.CSR_MALFORMED, "larger than 32 KiB")
    try:
        is_pem = data.lstrip().startswith(b"-----BEGIN")
        request = x509.load_pem_x509_csr(data) if is_pem else x509.load_der_x509_csr(data)
        proven = request.is_signature_valid
        spki = request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise InvalidInput(ErrorCode.CSR_MALFORMED, "not a certificate request") from error
    if not proven:
        raise InvalidInput(ErrorCode.CSR_PROOF_INVALID)
    return Csr(der=request.public_bytes(Encoding.DER), public_key=load_public_key(spki), spki_der=spki)
