"""Keys as the layers above see them: something that signs whole messages and shows its public half.

A `SigningKey` takes the message, never a digest, so whoever holds the key can read what it signs.
Signature values use the X.509 encodings: DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3), RSASSA-PKCS1-v1_5
octets (RFC 8017 §8.2), 64 raw octets for Ed25519 (RFC 8410 §6).
"""

from enum import StrEnum, unique
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from pki.errors import ErrorCode, InvalidInput, VerificationFailed

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@unique
class SignatureAlgorithm(StrEnum):
    """Algorithms that Mohr signs with, by their JOSE names (RFC 7518 §3.1, RFC 8037 §3.1)."""

    ES256 = "ES256"
    ES384 = "ES384"
    RS256 = "RS256"
    EDDSA = "EdDSA"


_HASHES: dict[SignatureAlgorithm, hashes.HashAlgorithm] = {
    SignatureAlgorithm.ES256: hashes.SHA256(),
    SignatureAlgorithm.ES384: hashes.SHA384(),
    SignatureAlgorithm.RS256: hashes.SHA256(),
}

# AlgorithmIdentifier, DER. ECDSA has no parameters (RFC 5758 §3.2), RSA has NULL (RFC 4055 §5).
_ALGORITHM_IDENTIFIERS = {
    SignatureAlgorithm.ES256: bytes.fromhex("300a06082a8648ce3d040302"),
    SignatureAlgorithm.ES384: bytes.fromhex("300a06082a8648ce3d040303"),
    SignatureAlgorithm.RS256: bytes.fromhex("300d06092a864886f70d01010b0500"),
    SignatureAlgorithm.EDDSA: bytes.fromhex("300506032b6570"),
}


class SigningKey(Protocol):
    """A private key that stays where it is and signs what it is given."""

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """Name the one algorithm this key signs with."""
        ...

    def public_key(self) -> PublicKey:
        """Return the public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign the whole `message` and return the signature in its X.509 encoding."""
        ...


def hash_of(algorithm: SignatureAlgorithm) -> hashes.HashAlgorithm:
    """Return the hash that `algorithm` applies; InvalidInput for EdDSA, which has none of its own."""
    found = _HASHES.get(algorithm)
    if found is None:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"{algorithm} has no separate hash")
    return found


def algorithm_identifier(algorithm: SignatureAlgorithm) -> bytes:
    """Return the DER AlgorithmIdentifier of `algorithm`."""
    return _ALGORITHM_IDENTIFIERS[algorithm]


def algorithm_for(public_key: object) -> SignatureAlgorithm:
    """Return the algorithm Mohr uses with `public_key`; InvalidInput for a key type it does not sign with."""
    match public_key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return SignatureAlgorithm.ES256
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return SignatureAlgorithm.ES384
        case rsa.RSAPublicKey():
            return SignatureAlgorithm.RS256
        case ed25519.Ed25519PublicKey():
            return SignatureAlgorithm.EDDSA
    raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported key type {type(public_key).__name__}")


def verify_signature(public_key: PublicKey, signature: bytes, message: bytes) -> None:
    """Check `signature` (X.509 encoding) over `message`; VerificationFailed when it does not hold."""
    algorithm = algorithm_for(public_key)
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, message, ec.ECDSA(hash_of(algorithm)))
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, message, padding.PKCS1v15(), hash_of(algorithm))
        else:
            public_key.verify(signature, message)
    except InvalidSignature as error:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "signature value does not match") from error


def _coordinate_size(algorithm: SignatureAlgorithm) -> int:
    return 48 if algorithm is SignatureAlgorithm.ES384 else 32


def jose_signature(algorithm: SignatureAlgorithm, signature: bytes) -> bytes:
    """Turn an X.509-encoded signature into its JWS form: `r || s` for ECDSA (RFC 7518 §3.4)."""
    if algorithm not in (SignatureAlgorithm.ES256, SignatureAlgorithm.ES384):
        return signature
    r, s = decode_dss_signature(signature)
    size = _coordinate_size(algorithm)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def x509_signature(algorithm: SignatureAlgorithm, signature: bytes) -> bytes:
    """Turn a JWS signature into its X.509 form; VerificationFailed for a wrong length."""
    if algorithm not in (SignatureAlgorithm.ES256, SignatureAlgorithm.ES384):
        return signature
    size = _coordinate_size(algorithm)
    if len(signature) != 2 * size:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"{algorithm} signature is not {2 * size} octets")
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
