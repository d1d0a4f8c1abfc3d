"""Keys that must never be certified, really made, and certificate requests that they really sign."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from functools import cache
from math import gcd, isqrt, lcm, prod
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa, x448, x25519

from pki import der
from pki.oids import COMMON_NAME

RSA = der.oid("1.2.840.113549.1.1.1")
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_SMALL = prod(p for p in range(2, 1000) if all(p % d for d in range(2, isqrt(p) + 1)))
HUGE_EXPONENT = (1 << 300) + 157  # a prime
_BIG = secrets.SystemRandom()


def spki(algorithm: bytes, octets: bytes) -> bytes:
    return der.sequence(algorithm, der.bit_string(octets))


def spki_of(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def request(
    key_info: bytes, sign: Callable[[bytes], tuple[bytes, bytes]], *, version: int = 0, name: str = "a wish"
) -> bytes:
    """Make a request (RFC 2986 §4); `sign` returns AlgorithmIdentifier and signature."""
    subject = der.sequence(der.set_of([der.sequence(der.oid(COMMON_NAME), der.utf8(name))]))
    information = der.sequence(der.integer(version), subject, key_info, der.context(0))
    algorithm, signature = sign(information)
    return der.sequence(information, algorithm, der.bit_string(signature))


# --- RSA by hand: moduli and exponents that no library makes ---


def is_prime(number: int) -> bool:
    """Miller and Rabin's test, 24 rounds."""
    if gcd(number, _SMALL) != 1:
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(24):
        x = pow(_BIG.randrange(2, number - 1), odd, number)
        if x in (1, number - 1):
            continue
        if not any((x := pow(x, 2, number)) == number - 1 for _ in range(twos - 1)):
            return False
    return True


@cache
def two_primes(bits: int) -> tuple[int, int]:
    """Make the primes of a key that may sign with each odd exponent of these tests."""
    while True:
        private = rsa.generate_private_key(65537, bits).private_numbers()
        if gcd((private.p - 1) * (private.q - 1), 257 * HUGE_EXPONENT) == 1:
            return private.p, private.q


def rsa_spki(modulus: int, exponent: int) -> bytes:
    numbers = der.sequence(der.integer(modulus), der.integer(exponent))
    return spki(der.sequence(RSA, der.null()), numbers)


def _padded(message: bytes, modulus: int) -> int:
    info = _SHA256_INFO + hashlib.sha256(message).digest()
    octets = (modulus.bit_length() + 7) // 8
    return int.from_bytes(b"\x00\x01" + b"\xff" * (octets - len(info) - 3) + b"\x00" + info, "big")


def rsa_request(primes: tuple[int, ...], exponent: int = 65537) -> bytes:
    """Make a request of such a key; no exponent that divides its order signs anything."""
    modulus, order = prod(primes), lcm(*(p - 1 for p in primes))
    secret = pow(exponent, -1, order) if gcd(exponent, order) == 1 else 1

    def sign(message: bytes) -> tuple[bytes, bytes]:
        signature = pow(_padded(message, modulus), secret, modulus)
        octets = signature.to_bytes((modulus.bit_length() + 7) // 8, "big")
        return der.sequence(der.oid("1.2.840.113549.1.1.11"), der.null()), octets

    return request(rsa_spki(modulus, exponent), sign)


def rsa_of(bits: int, exponent: int = 65537) -> bytes:
    return rsa_request(two_primes(bits), exponent)


@cache
def roca() -> bytes:
    whole = prod(p for p in range(2, 168) if all(p % d for d in range(2, p)))

    def factor() -> int:
        low, high = (3 << 1022) // whole + 1, (1 << 1024) // whole - 1
        while True:
            found = _BIG.randrange(low, high) * whole + pow(65537, _BIG.randrange(10**6), whole)
            if is_prime(found):
                return found

    return rsa_request((factor(), factor()))


@cache
def small_factor() -> bytes:
    while True:
        first, second = two_primes.__wrapped__(2038)
        if (733 * first * second).bit_length() == 2048:
            return rsa_request((733, first, second))


@cache
def close_primes() -> bytes:
    first = max(two_primes(2048))
    second = next(n for n in range(first + 2, first + 1_000_000, 2) if is_prime(n))
    return rsa_request((first, second))


@cache
def too_long() -> bytes:
    return rsa_request((*two_primes(2052), *two_primes(2060)))


# --- elliptic curves ---


def ec_request(curve: ec.EllipticCurve, digest: hashes.HashAlgorithm | None = None) -> bytes:
    key = ec.generate_private_key(curve)
    return ec_signed(key, spki_of(key.public_key()), digest)


def ec_signed(key: ec.EllipticCurvePrivateKey, key_info: bytes, digest: hashes.HashAlgorithm | None = None) -> bytes:
    used = digest or hashes.SHA256()
    names = {"sha256": "1.2.840.10045.4.3.2", "sha1": "1.2.840.10045.4.1"}
    algorithm = der.sequence(der.oid(names[used.name]))
    return request(key_info, lambda message: (algorithm, key.sign(message, ec.ECDSA(used))))


def explicit_parameters() -> bytes:
    """P-256 described by its parameters (RFC 3279 §2.3.5) instead of named."""
    key = ec.generate_private_key(ec.SECP256R1())
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    g = "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
    g += "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    field = der.sequence(der.oid("1.2.840.10045.1.1"), der.integer(p))
    curve = der.sequence(der.octet_string((p - 3).to_bytes(32, "big")), der.octet_string(b.to_bytes(32, "big")))
    base = der.octet_string(bytes.fromhex(g))
    parameters = der.sequence(der.integer(1), field, curve, base, der.integer(n), der.integer(1))
    return ec_signed(key, spki(der.sequence(der.oid("1.2.840.10045.2.1"), parameters), _point(key)))


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(encoding, form)


def with_point(octets: bytes | None, curve: str = "1.2.840.10045.3.1.7") -> bytes:
    """A request for a point of the caller's (None: one beside the curve), signed by some P-256 key."""
    key = ec.generate_private_key(ec.SECP256R1())
    point = _point(key)
    beside = point[:-1] + bytes([point[-1] ^ 1])
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid(curve))
    return ec_signed(key, spki(algorithm, beside if octets is None else octets))


# --- other kinds ---


def other_kind(name: str) -> bytes:
    match name:
        case "ed25519":
            key: Any = ed25519.Ed25519PrivateKey.generate()
            return request(spki_of(key.public_key()), lambda m: (der.sequence(der.oid("1.3.101.112")), key.sign(m)))
        case "ed448":
            key = ed448.Ed448PrivateKey.generate()
            return request(spki_of(key.public_key()), lambda m: (der.sequence(der.oid("1.3.101.113")), key.sign(m)))
        case "mldsa":
            key = mldsa.MLDSA44PrivateKey.generate()
            algorithm = der.sequence(der.oid("2.16.840.1.101.3.4.3.17"))
            return request(spki_of(key.public_key()), lambda m: (algorithm, key.sign(m)))
        case "dsa":
            key = dsa.generate_private_key(1024)  # noqa: S505 - what is refused
            algorithm = der.sequence(der.oid("2.16.840.1.101.3.4.3.2"))
            return request(spki_of(key.public_key()), lambda m: (algorithm, key.sign(m, hashes.SHA256())))
    agreeing: Any = x25519.X25519PrivateKey if name == "x25519" else x448.X448PrivateKey
    unable = der.sequence(der.oid("1.3.101.112"))  # such a key signs nothing
    return request(spki_of(agreeing.generate().public_key()), lambda _: (unable, bytes(64)))


def rsa_with_digest(algorithm: str) -> bytes:
    """A request of a good RSA key whose signature names another digest."""
    key = rsa.generate_private_key(65537, 2048)
    named = der.sequence(der.oid(algorithm), der.null())
    return request(spki_of(key.public_key()), lambda _: (named, bytes(256)))
