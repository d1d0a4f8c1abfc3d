"""Certificate requests (RFC 2986): made with any signing key, read only with their proof checked."""

import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID

from pki import der
from pki.builder_keys import builder_key, builder_padding
from pki.errors import ErrorCode, InvalidInput
from pki.identity import build_name
from pki.key_shapes import load_certifiable_key
from pki.keys import SigningKey, hash_of
from pki.signatures import SubjectKey

MAX_CSR_OCTETS: Final = 32 * 1024
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)
_LABELS: Final = (b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST")
_OTHER_LABELS: Final = {b"CERTIFICATE": "is-certificate", b"X509 CERTIFICATE": "is-certificate"}
_CHALLENGE_PASSWORD: Final = "1.2.840.113549.1.9.7"
_MAX_CHALLENGE: Final = 255  # pkcs-9-ub-challengePassword
_ATTRIBUTES: Final = 0xA0
_STRINGS: Final = {der.PRINTABLE_STRING: "ascii", der.UTF8_STRING: "utf-8"}
_CERTIFICATE_VERSION: Final = 0xA0
_WEAK_SIGNATURES: Final = {
    "1.2.840.113549.1.1.4": "md5",
    "1.2.840.113549.1.1.5": "sha1",
    "1.2.840.10045.4.1": "sha1",
    "1.2.840.10040.4.3": "sha1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Csr:
    """A request whose proof of possession held. Its subject is a wish; the registration file decides."""

    der: bytes
    public_key: SubjectKey
    spki_der: bytes


def build_csr(key: SigningKey, common_name: str, *, challenge: str | None = None) -> bytes:
    """Make a DER request for `key`, signed by it."""
    return build_request(key, build_name((NameOID.COMMON_NAME, common_name)), challenge=challenge)


def build_request(
    key: SigningKey,
    name: x509.Name,
    extensions: Sequence[x509.Extension[x509.ExtensionType]] = (),
    *,
    challenge: str | None = None,
) -> bytes:
    """Make a DER request for `key` under a whole name, signed by it; InvalidInput for an Ed25519 key.

    `extensions` are what the issuer is asked to put into the certificate (RFC 2985 §5.4.2), `challenge` becomes the
    challenge password (§5.4.1).
    """
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in extensions:
        request = request.add_extension(extension.value, critical=extension.critical)
    if challenge is not None:
        request = request.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    signed = request.sign(builder_key(key), hash_of(key.algorithm), rsa_padding=builder_padding(key.algorithm))  # type: ignore[arg-type]  # the stubs list hashes one by one
    return signed.public_bytes(Encoding.DER)


def parse_csr(data: bytes) -> Csr:
    """Read a DER or PEM request and check its proof of possession.

    InvalidInput with `csr-malformed`, `csr-proof-invalid` or `key-refused`; its reason names the very rule.
    """
    octets = _octets(data)
    spki = _spki(octets)
    key = load_certifiable_key(spki)
    try:
        request = x509.load_der_x509_csr(octets)
        proven = request.is_signature_valid
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise _refuse("malformed") from error
    if not proven:
        raise InvalidInput(ErrorCode.CSR_PROOF_INVALID, reason="csr.signature-wrong")
    return Csr(der=octets, public_key=key, spki_der=spki)


def challenge_password(csr_der: bytes) -> str | None:
    """Return the challenge password of a request that `parse_csr` took (RFC 2985 §5.4.1), or None without one.

    InvalidInput (`csr-malformed`) where it is there twice, has not one value, or that is not 1 to 255 characters of
    PrintableString or UTF8String.
    """
    try:
        information = der.parse(csr_der).sequence()[0].sequence()
        attributes = [one.sequence() for one in information[3].expect(_ATTRIBUTES).children()]
        found = [values for kind, values in attributes if kind.oid() == _CHALLENGE_PASSWORD]
        if not found:
            return None
        ((value,),) = (values.set_of() for values in found)
        text = value.content.decode(_STRINGS[value.tag])
    except (ValueError, LookupError, InvalidInput) as error:
        raise _refuse("challenge-malformed") from error
    if not 1 <= len(text) <= _MAX_CHALLENGE:
        raise _refuse("challenge-malformed")
    return text


def _refuse(reason: str) -> InvalidInput:
    return InvalidInput(ErrorCode.CSR_MALFORMED, "not a certificate request", reason=f"csr.{reason}")


def _octets(data: bytes) -> bytes:
    """Take the armour off."""
    if not data.strip():
        raise _refuse("empty")
    if len(data) > MAX_CSR_OCTETS:
        raise InvalidInput(ErrorCode.CSR_MALFORMED, "larger than 32 KiB", reason="csr.too-large")
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    armour = _PEM.fullmatch(data.strip())
    if armour is None:
        raise _refuse("malformed")
    label, text = armour[1], b"".join(armour[2].split())
    if label in _OTHER_LABELS or label.endswith(b"PRIVATE KEY"):
        raise _refuse(_OTHER_LABELS.get(label, "is-private-key"))
    if label not in _LABELS:
        raise _refuse("malformed")
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise _refuse("malformed") from error


def _spki(octets: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of what has the form of a request (RFC 2986 §4)."""
    try:
        whole = der.parse(octets)
    except InvalidInput as error:
        raise _refuse("trailing-octets" if _is_longer_than_its_value(octets) else "malformed") from error
    try:
        information, algorithm, signature = whole.sequence()
        signature.bits()  # a library looks past unused bits, so that one request would have several spellings
        fields = information.sequence()
        if fields[0].tag == _CERTIFICATE_VERSION:
            raise _refuse("is-certificate")
        if fields[0].integer():
            raise _refuse("wrong-version")
        weak = _WEAK_SIGNATURES.get(algorithm.sequence()[0].oid())
        spki = fields[2].raw
    except (ValueError, IndexError) as error:
        raise _refuse("malformed") from error
    except InvalidInput as error:
        raise (error if error.reason else _refuse("malformed")) from error
    if weak is not None:
        raise InvalidInput(ErrorCode.CSR_PROOF_INVALID, f"signed over {weak}", reason=f"csr.signature-{weak}")
    return spki


def _is_longer_than_its_value(octets: bytes) -> bool:
    try:
        return der.parse_at(octets, 0, len(octets)).end_offset < len(octets)
    except InvalidInput:
        return False
