"""Which public keys are certified: sizes, curves, exponents, and the weaknesses that can be seen from outside.

Not checked here: whether another holder has the key (the repository knows), and strength of the private half.
"""

import hashlib
from enum import StrEnum, unique
from math import gcd, isqrt, prod
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.errors import KeyRefused
from pki.signatures import SubjectKey


@unique
class KeyKind(StrEnum):
    """Kinds of keys that a profile may allow."""

    P256 = "P-256"
    P384 = "P-384"
    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    ML_DSA_65 = "ML-DSA-65"


MIN_EXPONENT: Final = 65537  # ETSI TS 119 312 §6.2.2.1, FIPS 186-5 §5.1
MAX_EXPONENT_BITS: Final = 256
MAX_RSA_BITS: Final = 4096
_FERMAT_ROUNDS: Final = 100


def _primes_below(limit: int) -> tuple[int, ...]:
    return tuple(n for n in range(2, limit) if all(n % d for d in range(2, isqrt(n) + 1)))


SMALL_PRIMES: Final = prod(_primes_below(752))  # FIPS 186-5 and CA/B BR §6.1.6 ask for none below 752
# ROCA (CVE-2017-15361): modulus and both primes are powers of 65537 modulo each small prime.
_ROCA_RESIDUES: Final = tuple(
    (prime, frozenset(pow(65537, k, prime) for k in range(prime))) for prime in _primes_below(168)[1:]
)


def is_roca(modulus: int) -> bool:
    """Tell whether an RSA modulus has the fingerprint of the broken Infineon generator (CVE-2017-15361)."""
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES)


def _has_close_primes(modulus: int) -> bool:
    """Fermat's method, a few rounds (CVE-2022-26320)."""
    root = isqrt(modulus)
    if root * root < modulus:
        root += 1
    for _ in range(_FERMAT_ROUNDS):
        rest = root * root - modulus
        if isqrt(rest) ** 2 == rest:
            return True
        root += 1
    return False


def _size_reason(bits: int) -> str:
    if bits < 3072:
        return "key.rsa-too-short"
    return "key.rsa-too-long" if bits > MAX_RSA_BITS else "key.rsa-odd-size"


def _exponent_reason(exponent: int) -> str:
    if exponent % 2 == 0:
        return "key.exponent-even"
    if exponent < MIN_EXPONENT:
        return "key.exponent-small"
    return "key.exponent-huge" if exponent.bit_length() > MAX_EXPONENT_BITS else ""


def _curve_reason(name: str) -> str:
    known = {"secp224r1": "p224", "secp521r1": "p521", "secp256k1": "secp256k1"}
    return f"key.curve-{'brainpool' if name.startswith('brainpool') else known.get(name, 'other')}"


def _rsa_kind(key: rsa.RSAPublicKey) -> KeyKind:
    numbers = key.public_numbers()
    bits = key.key_size
    if bits == 2048:
        kind = KeyKind.RSA_2048
    elif 3072 <= bits <= MAX_RSA_BITS and bits % 8 == 0:
        kind = KeyKind.RSA_3072
    else:
        raise KeyRefused(f"RSA with {bits} bits", _size_reason(bits))
    wrong_exponent = _exponent_reason(numbers.e)
    if wrong_exponent:
        raise KeyRefused("RSA exponent out of range", wrong_exponent)
    if is_roca(numbers.n):
        raise KeyRefused("RSA key of the ROCA generator", "key.roca")
    if gcd(numbers.n, SMALL_PRIMES) != 1:
        raise KeyRefused("RSA modulus with a small factor", "key.small-factor")
    if _has_close_primes(numbers.n):
        raise KeyRefused("RSA primes too close to each other", "key.close-primes")
    return kind


def kind_of(key: SubjectKey) -> KeyKind:
    """Return the kind of `key`; KeyRefused for a wrong curve or size and for a weakness seen from outside."""
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return KeyKind.P256
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return KeyKind.P384
        case ec.EllipticCurvePublicKey():
            raise KeyRefused(f"curve {key.curve.name}", _curve_reason(key.curve.name))
        case rsa.RSAPublicKey():
            return _rsa_kind(key)
        case mldsa.MLDSA65PublicKey():
            return KeyKind.ML_DSA_65
    raise KeyRefused(f"{type(key).__name__} is not certified", "key.ed25519")


def spki_digest(key: SubjectKey) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo: how rows and block lists name a key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def check_key(key: SubjectKey, allowed: frozenset[KeyKind], *, known_bad: frozenset[bytes] = frozenset()) -> KeyKind:
    """Check `key` for a profile that allows `allowed`; `known_bad` holds digests as `spki_digest` makes them."""
    kind = kind_of(key)
    if kind not in allowed:
        raise KeyRefused(f"{kind} is not allowed in this profile", "key.kind-not-in-profile")
    if spki_digest(key) in known_bad:
        raise KeyRefused("this key is on the block list", "key.block-listed")
    return kind
