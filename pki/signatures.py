"""Checking signature values by their AlgorithmIdentifier, for certificates, CRLs, CMS and tokens of others.

Wider than what Mohr signs with: every ECDSA curve `cryptography` knows (brainpool included), RSA v1.5
and PSS, Ed25519, and SHA-1 where it must be recognised. Whether an algorithm is still trusted is the
validation policy's question, not this module's.
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput, VerificationFailed

HASHES: dict[str, hashes.HashAlgorithm] = {
    oids.SHA1: hashes.SHA1(),  # noqa: S303 - recognised in foreign files; the policy decides what it is worth
    oids.SHA256: hashes.SHA256(),
    oids.SHA384: hashes.SHA384(),
    oids.SHA512: hashes.SHA512(),
}

_SIGNATURE_HASHES = {
    "1.2.840.113549.1.1.5": oids.SHA1,
    oids.SHA256_WITH_RSA: oids.SHA256,
    oids.SHA384_WITH_RSA: oids.SHA384,
    oids.SHA512_WITH_RSA: oids.SHA512,
    "1.2.840.10045.4.1": oids.SHA1,
    oids.ECDSA_WITH_SHA256: oids.SHA256,
    oids.ECDSA_WITH_SHA384: oids.SHA384,
    oids.ECDSA_WITH_SHA512: oids.SHA512,
}

AnyPublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
SubjectKey = AnyPublicKey | mldsa.MLDSA65PublicKey  # what may be certified; nothing that ML-DSA signed is checked here


def load_public_key(spki_der: bytes) -> AnyPublicKey:
    """Load a SubjectPublicKeyInfo; InvalidInput (`key-refused`) for a type no signature is checked with."""
    try:
        key = load_der_public_key(spki_der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "public key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported key type {type(key).__name__}")
    return key


def signature_hash(algorithm: der.Node, digest_oid: str | None = None) -> str | None:
    """Return the OID of the hash a signature AlgorithmIdentifier applies; None for Ed25519.

    CMS may name the key type alone (`rsaEncryption`); the hash is then `digest_oid` (RFC 3370 §3.2).
    """
    parts = algorithm.sequence()
    if not parts:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "an algorithm without a name")
    name = parts[0].oid()
    if name == oids.ED25519:
        return None
    if name == oids.RSASSA_PSS:
        return _pss_hash(parts)[0]
    found = _SIGNATURE_HASHES.get(name) or (digest_oid if name == oids.RSA_ENCRYPTION else None)
    if found is None:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported signature algorithm {name}")
    return found


def _pss_hash(parts: tuple[der.Node, ...]) -> tuple[str, int]:
    """Read hash and salt length of RSASSA-PSS parameters (RFC 4055 §3.1); MGF1 must use the same hash."""
    digest, mask_digest, salt = oids.SHA1, oids.SHA1, 20
    try:
        for part in parts[1].sequence() if len(parts) > 1 else ():
            if part.tag == 0xA0:
                digest = part.inner().sequence()[0].oid()
            elif part.tag == 0xA1:
                mask_digest = part.inner().sequence()[1].sequence()[0].oid()
            elif part.tag == 0xA2:
                salt = part.inner().integer()
    except IndexError as error:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "PSS parameters are not of their form") from error
    if digest != mask_digest:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "PSS with two different hashes")
    return digest, salt


def _hash(name: str) -> hashes.HashAlgorithm:
    found = HASHES.get(name)
    if found is None:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"unsupported hash {name}")
    return found


def verify_value(
    key: AnyPublicKey, algorithm: der.Node, signature: bytes, message: bytes, *, digest_oid: str | None = None
) -> None:
    """Check `signature` over `message` under the AlgorithmIdentifier `algorithm`.

    VerificationFailed when the value does not hold; InvalidInput (`key-refused`) when the algorithm is
    unsupported or does not fit the key, so that "cannot tell" is never "broken".
    """
    digest = signature_hash(algorithm, digest_oid)
    parts = algorithm.sequence()
    name = parts[0].oid()
    try:
        if isinstance(key, ed25519.Ed25519PublicKey) and digest is None:
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None and name.startswith("1.2.840.10045.4"):
            key.verify(signature, message, ec.ECDSA(_hash(digest)))
        elif isinstance(key, rsa.RSAPublicKey) and name == oids.RSASSA_PSS:
            hashed, salt = _pss_hash(parts)
            used = _hash(hashed)
            key.verify(signature, message, padding.PSS(padding.MGF1(used), salt), used)
        elif isinstance(key, rsa.RSAPublicKey) and digest is not None and name.startswith("1.2.840.113549.1.1."):
            key.verify(signature, message, padding.PKCS1v15(), _hash(digest))
        else:
            raise InvalidInput(ErrorCode.KEY_REFUSED, f"{name} does not fit the key")
    except InvalidSignature as error:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "signature value does not match") from error
    except (UnsupportedAlgorithm, ValueError) as error:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"{name} cannot be checked") from error
