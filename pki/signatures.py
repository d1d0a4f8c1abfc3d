"""Checking signature values by their AlgorithmIdentifier, for certificates, CRLs, CMS and tokens of others.

Wider than what Mohr signs with: every ECDSA curve `cryptography` knows (brainpool included) in both spellings
of a value, RSA v1.5 and PSS, DSA, Ed25519, Ed448, ML-DSA, SHA-3, and MD5 and SHA-1 where they must be recognised.
Whether an algorithm is still trusted is the validation policy's question, not this module's.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput, VerificationFailed

HASHES: dict[str, hashes.HashAlgorithm] = {
    oids.MD5: hashes.MD5(),  # noqa: S303 - recognised in foreign files; the policy decides what it is worth
    oids.SHA1: hashes.SHA1(),  # noqa: S303 - as above
    oids.SHA224: hashes.SHA224(),
    oids.SHA256: hashes.SHA256(),
    oids.SHA384: hashes.SHA384(),
    oids.SHA512: hashes.SHA512(),
    oids.SHA512_256: hashes.SHA512_256(),
    oids.SHA3_224: hashes.SHA3_224(),
    oids.SHA3_256: hashes.SHA3_256(),
    oids.SHA3_384: hashes.SHA3_384(),
    oids.SHA3_512: hashes.SHA3_512(),
}

_SHA3: Final = (oids.SHA3_224, oids.SHA3_256, oids.SHA3_384, oids.SHA3_512)
_SIGNATURE_HASHES: Final = {
    "1.2.840.113549.1.1.4": oids.MD5,
    "1.2.840.113549.1.1.5": oids.SHA1,
    "1.3.14.3.2.29": oids.SHA1,  # the name that RSA with SHA-1 has in older files (ISO/IEC JTC 1 SC 21)
    "1.2.840.113549.1.1.14": oids.SHA224,
    oids.SHA256_WITH_RSA: oids.SHA256,
    oids.SHA384_WITH_RSA: oids.SHA384,
    oids.SHA512_WITH_RSA: oids.SHA512,
    "1.2.840.113549.1.1.16": oids.SHA512_256,
    "1.2.840.10045.4.1": oids.SHA1,
    "1.2.840.10045.4.3.1": oids.SHA224,
    oids.ECDSA_WITH_SHA256: oids.SHA256,
    oids.ECDSA_WITH_SHA384: oids.SHA384,
    oids.ECDSA_WITH_SHA512: oids.SHA512,
    "1.2.840.10040.4.3": oids.SHA1,
    "2.16.840.1.101.3.4.3.1": oids.SHA224,
    "2.16.840.1.101.3.4.3.2": oids.SHA256,
    **{f"2.16.840.1.101.3.4.3.{9 + index}": name for index, name in enumerate(_SHA3)},  # ECDSA
    **{f"2.16.840.1.101.3.4.3.{13 + index}": name for index, name in enumerate(_SHA3)},  # RSA v1.5
    "0.4.0.127.0.7.1.1.4.1.1": oids.SHA1,  # plain ECDSA (BSI TR-03111 §5.2.1)
    "0.4.0.127.0.7.1.1.4.1.2": oids.SHA224,
    "0.4.0.127.0.7.1.1.4.1.3": oids.SHA256,
    "0.4.0.127.0.7.1.1.4.1.4": oids.SHA384,
    "0.4.0.127.0.7.1.1.4.1.5": oids.SHA512,
}
_PLAIN_ECDSA: Final = "0.4.0.127.0.7.1.1.4.1."
_KEY_TYPES: Final = (oids.RSA_ENCRYPTION, oids.EC_PUBLIC_KEY, "1.2.840.10040.4.1")
"""What CMS may name instead of a signature algorithm: the hash is then the signer's digest algorithm."""

_HASHLESS: Final = {
    oids.ED25519: ed25519.Ed25519PublicKey,
    oids.ED448: ed448.Ed448PublicKey,
    "2.16.840.1.101.3.4.3.17": mldsa.MLDSA44PublicKey,
    "2.16.840.1.101.3.4.3.18": mldsa.MLDSA65PublicKey,
    "2.16.840.1.101.3.4.3.19": mldsa.MLDSA87PublicKey,
}

AnyPublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
SubjectKey = AnyPublicKey | mldsa.MLDSA65PublicKey  # what may be certified
_HashlessKey = (
    ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)
ForeignPublicKey = AnyPublicKey | _HashlessKey | dsa.DSAPublicKey
"""What others sign with."""


def load_public_key(spki_der: bytes) -> AnyPublicKey:
    """Load a SubjectPublicKeyInfo; InvalidInput (`key-refused`) for a type that Mohr does not work with."""
    key = load_foreign_key(spki_der)
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported key type {type(key).__name__}")
    return key


def load_foreign_key(spki_der: bytes) -> ForeignPublicKey:
    """Load a key that a signature is to be checked with; InvalidInput (`key-refused`) for any other."""
    try:
        key = load_der_public_key(spki_der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "public key cannot be read") from error
    if not isinstance(key, ForeignPublicKey):
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported key type {type(key).__name__}")
    return key


def signature_hash(algorithm: der.Node, digest_oid: str | None = None) -> str | None:
    """Return the OID of the hash a signature AlgorithmIdentifier applies; None for one that has none of its own.

    CMS may name the key type alone (`rsaEncryption`); the hash is then `digest_oid` (RFC 3370 §3.2).
    """
    parts = algorithm.sequence()
    if not parts:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "an algorithm without a name")
    name = parts[0].oid()
    if name in _HASHLESS:
        return None
    if name == oids.RSASSA_PSS:
        return _pss(parts)[0]
    found = _SIGNATURE_HASHES.get(name) or (digest_oid if name in _KEY_TYPES else None)
    if found is None:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported signature algorithm {name}")
    return found


def fits(key: ForeignPublicKey, algorithm: der.Node) -> bool:
    """Say whether an algorithm can belong to a key at all; true for algorithms that are not known."""
    name = algorithm.sequence()[0].oid()
    if name in _HASHLESS:
        return isinstance(key, _HASHLESS[name])
    if name.startswith(("1.2.840.10045.4.", _PLAIN_ECDSA)) or name == oids.EC_PUBLIC_KEY:
        return isinstance(key, ec.EllipticCurvePublicKey)
    return not name.startswith("1.2.840.113549.1.1.") or isinstance(key, rsa.RSAPublicKey)


def _pss(parts: tuple[der.Node, ...]) -> tuple[str, str, int]:
    """Read hash, hash of the mask and salt length of RSASSA-PSS parameters (RFC 4055 §3.1)."""
    digest, mask_digest, salt = oids.SHA1, oids.SHA1, 20
    try:
        for part in parts[1].sequence() if len(parts) > 1 and parts[1].tag != der.NULL else ():
            if part.tag == 0xA0:
                digest = part.inner().sequence()[0].oid()
            elif part.tag == 0xA1:
                mask, hashed = part.inner().sequence()
                if mask.oid() != oids.MGF1:
                    raise InvalidInput(ErrorCode.KEY_REFUSED, "PSS with another mask than MGF1")
                mask_digest = hashed.sequence()[0].oid()
            elif part.tag == 0xA2:
                salt = part.inner().integer()
            elif part.tag == 0xA3 and part.inner().integer() != 1:
                raise InvalidInput(ErrorCode.KEY_REFUSED, "PSS with another trailer")
    except (IndexError, ValueError) as error:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "PSS parameters are not of their form") from error
    return digest, mask_digest, salt


def _hash(name: str) -> hashes.HashAlgorithm:
    found = HASHES.get(name)
    if found is None:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported hash {name}")
    return found


def verify_value(
    key: ForeignPublicKey, algorithm: der.Node, signature: bytes, message: bytes, *, digest_oid: str | None = None
) -> None:
    """Check `signature` over `message` under the AlgorithmIdentifier `algorithm`.

    VerificationFailed when the value does not hold; InvalidInput (`key-refused`) when the algorithm is
    unsupported or does not fit the key, so that "cannot tell" is never "broken".
    """
    digest = signature_hash(algorithm, digest_oid)
    parts = algorithm.sequence()
    name = parts[0].oid()
    try:
        if not fits(key, algorithm):
            raise InvalidInput(ErrorCode.KEY_REFUSED, f"{name} does not fit the key")
        if isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
            value = _from_plain(key, signature) if name.startswith(_PLAIN_ECDSA) else signature
            key.verify(value, message, ec.ECDSA(_hash(digest)))
        elif isinstance(key, rsa.RSAPublicKey) and name == oids.RSASSA_PSS:
            hashed, mask, salt = _pss(parts)
            key.verify(signature, message, padding.PSS(padding.MGF1(_hash(mask)), salt), _hash(hashed))
        elif isinstance(key, rsa.RSAPublicKey) and digest is not None:
            key.verify(signature, message, padding.PKCS1v15(), _hash(digest))
        elif isinstance(key, dsa.DSAPublicKey) and digest is not None:
            key.verify(signature, message, _hash(digest))
        elif isinstance(key, _HashlessKey) and digest is None:
            key.verify(signature, message)
        else:
            raise InvalidInput(ErrorCode.KEY_REFUSED, f"{name} does not fit the key")
    except InvalidSignature as error:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "signature value does not match") from error
    except (UnsupportedAlgorithm, ValueError) as error:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"{name} cannot be checked") from error


def _from_plain(key: ec.EllipticCurvePublicKey, value: bytes) -> bytes:
    """Turn `r || s` into its X.509 form; a value of wrong length becomes one that holds nowhere."""
    size = (key.curve.group_order.bit_length() + 7) // 8
    if len(value) != 2 * size:
        return b""
    return encode_dss_signature(int.from_bytes(value[:size], "big"), int.from_bytes(value[size:], "big"))
