"""What a Transit engine says of keys and signatures, read strictly into the custodian's own values.

Nothing in here is trusted to be what was asked for: a signature carries the version of the key that made it,
and a key description its type.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hsm.errors import DeviceLost, KeyAbsent, KeyMismatch, MechanismRefused
from hsm.transit.settings import Marshaling
from pki.errors import InvalidInput
from pki.jose import unb64url
from pki.keys import PublicKey, SignatureAlgorithm, check_fits, hash_of, rsa_padding, x509_signature

RSA_BITS: Final = (3072, 4096)
_COORDINATE_OCTETS: Final = {SignatureAlgorithm.ES256: 32, SignatureAlgorithm.ES384: 48}
_KEY_TYPES: Final[dict[SignatureAlgorithm, tuple[str, ...]]] = {
    SignatureAlgorithm.ES256: ("ecdsa-p256",),
    SignatureAlgorithm.ES384: ("ecdsa-p384",),
    SignatureAlgorithm.RS256: tuple(f"rsa-{bits}" for bits in RSA_BITS),
    SignatureAlgorithm.PS256: tuple(f"rsa-{bits}" for bits in RSA_BITS),
    SignatureAlgorithm.EDDSA: ("ed25519",),
}
_SIGNATURE: Final = re.compile(r"[a-z]{1,16}:v([1-9][0-9]{0,8}):([A-Za-z0-9+/_=-]+)")


def key_type(algorithm: SignatureAlgorithm, rsa_bits: int) -> str:
    """Return Transit's name of the key type; MechanismRefused for an RSA size that is not made."""
    if algorithm not in (SignatureAlgorithm.RS256, SignatureAlgorithm.PS256):
        return _KEY_TYPES[algorithm][0]
    if rsa_bits not in RSA_BITS:
        raise MechanismRefused(f"Transit makes RSA keys of {' or '.join(map(str, RSA_BITS))} bits here")
    return f"rsa-{rsa_bits}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitKey:
    """A key as the server describes it; `versions` holds each version's public half in the server's writing."""

    type: str
    latest_version: int
    versions: Mapping[int, str]
    exportable: bool
    plaintext_backup: bool
    deletion_allowed: bool
    derived: bool
    imported: bool

    @property
    def never_leaves(self) -> bool:
        """True when the server made the key and hands it out to nobody; neither permission can be taken back."""
        return not (self.exportable or self.plaintext_backup or self.imported)

    def public_key(self, version: int, algorithm: SignatureAlgorithm) -> PublicKey:
        """Return the public half; KeyAbsent when the version is not there, KeyMismatch for another kind of key."""
        public_key = self._public_key(version)
        if self.type not in _KEY_TYPES[algorithm] or self.derived:
            raise KeyMismatch("the server holds a key of another kind")
        try:
            check_fits(algorithm, public_key)
        except InvalidInput as error:
            raise KeyMismatch("the server shows a public key of another kind") from error
        return public_key

    def _public_key(self, version: int) -> PublicKey:
        text = self.versions.get(version)
        if text is None:
            raise KeyAbsent(f"the server has no version {version} of the key")
        return _read_public_key(text)

    def attributes(self, version: int) -> dict[str, str | int | bool]:
        """Return what the server says of one version, also in PKCS#11's words; KeyAbsent when it is not there."""
        public_key = self._public_key(version)
        return {
            "key_type": self.type,
            "bits": 256 if isinstance(public_key, ed25519.Ed25519PublicKey) else public_key.key_size,
            "version": version,
            "latest_version": self.latest_version,
            "exportable": self.exportable,
            "allow_plaintext_backup": self.plaintext_backup,
            "deletion_allowed": self.deletion_allowed,
            "derived": self.derived,
            "sensitive": not (self.exportable or self.plaintext_backup),
            "always_sensitive": self.never_leaves,
            "extractable": self.exportable or self.plaintext_backup,
            "never_extractable": self.never_leaves,
            "local": not self.imported,
        }


def read_key(data: Mapping[str, Any]) -> TransitKey:
    """Read the `data` of a key description; DeviceLost when it is malformed, KeyMismatch for a symmetric key.

    What a server does not mention counts as the dangerous answer, but for `imported_key`, which is younger
    than the engine.
    """
    versions = data.get("keys")
    if not isinstance(versions, dict) or not isinstance(data.get("type"), str):
        raise DeviceLost("the server's description of the key is malformed")
    if not all(isinstance(entry, dict) and isinstance(entry.get("public_key"), str) for entry in versions.values()):
        raise KeyMismatch("the server holds a key without a public half")
    return TransitKey(
        type=data["type"],
        latest_version=_number(data.get("latest_version")),
        versions={_number(name): entry["public_key"] for name, entry in versions.items()},
        exportable=data.get("exportable") is not False,
        plaintext_backup=data.get("allow_plaintext_backup") is not False,
        deletion_allowed=data.get("deletion_allowed") is not False,
        derived=data.get("derived") is not False,
        imported=data.get("imported_key", False) is not False,
    )


def _number(value: object) -> int:
    text = str(value)
    if type(value) not in (int, str) or not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise DeviceLost("the server's description of the key is malformed")
    return int(text)


def _read_public_key(text: str) -> PublicKey:
    """Read PEM, or the base64 of 32 octets that Transit writes for Ed25519."""
    try:
        if not text.startswith("-----"):
            return ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        public_key = load_pem_public_key(text.encode())
    except (ValueError, binascii.Error) as error:
        raise KeyMismatch("the server shows a public key that cannot be read") from error
    if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise KeyMismatch("the server shows a public key of another kind")
    return public_key


def read_signature(text: object, version: int, algorithm: SignatureAlgorithm, marshaling: Marshaling) -> bytes:
    """Return the raw signature: `r || s` for ECDSA, the octets of the others.

    DeviceLost when it is malformed, KeyMismatch when another version of the key made it.
    """
    match = _SIGNATURE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise DeviceLost("the server's signature is malformed")
    if int(match[1]) != version:
        raise KeyMismatch(f"the server signed with version {match[1]} of the key in place of version {version}")
    try:
        octets = unb64url(match[2]) if marshaling is Marshaling.JWS else base64.b64decode(match[2], validate=True)
        size = _COORDINATE_OCTETS.get(algorithm)
        if size is not None and marshaling is Marshaling.ASN1:
            r, s = decode_dss_signature(octets)
            octets = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    except (ValueError, OverflowError, InvalidInput) as error:
        raise DeviceLost("the server's signature is malformed") from error
    if len(octets) not in _sizes(algorithm):
        raise DeviceLost("the server's signature has a bad size")
    return octets


def check_made_by(public_key: PublicKey, algorithm: SignatureAlgorithm, data: bytes, signature: bytes) -> None:
    """Check a raw signature over what the primitive took; KeyMismatch when another key made it."""
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            digest = Prehashed(hash_of(algorithm))
            public_key.verify(x509_signature(algorithm, signature), data, ec.ECDSA(digest))
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, data, rsa_padding(algorithm), Prehashed(hash_of(algorithm)))
        else:
            public_key.verify(signature, data)
    except InvalidSignature as error:
        raise KeyMismatch("the server signed with another key than it showed") from error


def _sizes(algorithm: SignatureAlgorithm) -> tuple[int, ...]:
    if algorithm in (SignatureAlgorithm.RS256, SignatureAlgorithm.PS256):
        return tuple(bits // 8 for bits in RSA_BITS)
    return (2 * _COORDINATE_OCTETS.get(algorithm, 32),)
