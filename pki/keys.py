"""Keys as the layers above see them: something that signs whole messages and shows its public half.

A `SigningKey` takes the message, never a digest, so whoever holds the key can read what it signs.
Signature values use the X.509 encodings: DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3), RSASSA-PKCS1-v1_5 or
RSASSA-PSS octets (RFC 8017 §8), 64 raw octets for Ed25519 (RFC 8410 §6).

A key signs with one algorithm for life. A public RSA key does not say whether that is PKCS#1 v1.5 or PSS:
who reads what a PSS key signed must be told.
"""

from enum import StrEnum, unique
from typing import Final, Protocol, runtime_checkable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from pki.errors import ErrorCode, InvalidInput, VerificationFailed

DEFAULT_RSA_BITS: Final = 3072
PS256_PADDING: Final = padding.PSS(padding.MGF1(hashes.SHA256()), 32)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@unique
class SignatureAlgorithm(StrEnum):
    """Algorithms that Mohr signs with, by their JOSE names (RFC 7518 §3.1, RFC 8037 §3.1).

    PS256 is RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 octets (RFC 7518 §3.5).
    """

    ES256 = "ES256"
    ES384 = "ES384"
    RS256 = "RS256"
    PS256 = "PS256"
    EDDSA = "EdDSA"


_HASHES: dict[SignatureAlgorithm, hashes.HashAlgorithm] = {
    SignatureAlgorithm.ES256: hashes.SHA256(),
    SignatureAlgorithm.ES384: hashes.SHA384(),
    SignatureAlgorithm.RS256: hashes.SHA256(),
    SignatureAlgorithm.PS256: hashes.SHA256(),
}

# AlgorithmIdentifier, DER. ECDSA has no parameters (RFC 5758 §3.2), RSA has NULL (RFC 4055 §5),
# PSS its hash, mask and salt (RFC 4055 §3.1), all of which differ from the defaults.
_ALGORITHM_IDENTIFIERS = {
    SignatureAlgorithm.ES256: bytes.fromhex("300a06082a8648ce3d040302"),
    SignatureAlgorithm.ES384: bytes.fromhex("300a06082a8648ce3d040303"),
    SignatureAlgorithm.RS256: bytes.fromhex("300d06092a864886f70d01010b0500"),
    SignatureAlgorithm.PS256: bytes.fromhex(
        "304106092a864886f70d01010a3034a00f300d06096086480165030402010500"
        "a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120"
    ),
    SignatureAlgorithm.EDDSA: bytes.fromhex("300506032b6570"),
}


# RFC 9053 §2.1, RFC 8230 §2, RFC 8812 §2; EdDSA signs no documents.
COSE_ALGORITHMS: Final = {
    SignatureAlgorithm.ES256: -7,
    SignatureAlgorithm.ES384: -35,
    SignatureAlgorithm.PS256: -37,
    SignatureAlgorithm.RS256: -257,
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


@runtime_checkable
class ReadsContent(Protocol):
    """A key whose holder reads not only the signed attributes of a CMS signature but what they digest."""

    def sign_attributes(self, attributes: bytes, content: bytes) -> bytes:
        """Sign the SET of `attributes`, whose message-digest is that of `content`, as `SigningKey.sign` does."""
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


def rsa_padding(algorithm: SignatureAlgorithm) -> padding.PKCS1v15 | padding.PSS:
    """Return the padding of an RSA `algorithm`; InvalidInput for any other."""
    match algorithm:
        case SignatureAlgorithm.RS256:
            return padding.PKCS1v15()
        case SignatureAlgorithm.PS256:
            return PS256_PADDING
    raise InvalidInput(ErrorCode.KEY_REFUSED, f"{algorithm} has no RSA padding")


def algorithm_for(public_key: object) -> SignatureAlgorithm:
    """Return the algorithm Mohr uses with `public_key` by default: PKCS#1 v1.5 for RSA.

    InvalidInput for a key type it does not sign with.
    """
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


def check_fits(algorithm: SignatureAlgorithm, public_key: object) -> None:
    """Refuse an algorithm that keys of this kind do not sign with; InvalidInput (`key-refused`)."""
    default = algorithm_for(public_key)
    if algorithm is not default and (default, algorithm) != (SignatureAlgorithm.RS256, SignatureAlgorithm.PS256):
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"{algorithm} does not fit the key")


def verify_signature(
    public_key: PublicKey, signature: bytes, message: bytes, algorithm: SignatureAlgorithm | None = None
) -> None:
    """Check `signature` (X.509 encoding) over `message`; VerificationFailed when it does not hold.

    Without `algorithm`, it is the key's default. InvalidInput for one that does not fit the key.
    """
    if algorithm is None:
        algorithm = algorithm_for(public_key)
    else:
        check_fits(algorithm, public_key)
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, message, ec.ECDSA(hash_of(algorithm)))
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, message, rsa_padding(algorithm), hash_of(algorithm))
        else:
            public_key.verify(signature, message)
    except InvalidSignature as error:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "signature value does not match") from error


_COORDINATE_OCTETS: Final = {SignatureAlgorithm.ES256: 32, SignatureAlgorithm.ES384: 48}


def jose_signature(algorithm: SignatureAlgorithm, signature: bytes) -> bytes:
    """Turn an X.509-encoded signature into its JWS form: `r || s` for ECDSA (RFC 7518 §3.4)."""
    size = _COORDINATE_OCTETS.get(algorithm)
    if size is None:
        return signature
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def x509_signature(algorithm: SignatureAlgorithm, signature: bytes) -> bytes:
    """Turn a JWS signature into its X.509 form; VerificationFailed for a wrong length."""
    size = _COORDINATE_OCTETS.get(algorithm)
    if size is None:
        return signature
    if len(signature) != 2 * size:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"{algorithm} signature is not {2 * size} octets")
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
