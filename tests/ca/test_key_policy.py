from __future__ import annotations

import secrets
from math import gcd, isqrt, prod

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca.errors import KeyRefused
from ca.key_policy import SMALL_PRIMES, KeyKind, check_key, is_roca, kind_of, spki_digest
from pki.signatures import AnyPublicKey

ALL = frozenset(KeyKind)


def rsa_key(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.generate_private_key(exponent, bits).public_key()


def modulus_key(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


@pytest.fixture(scope="module")
def good_modulus() -> int:
    return rsa_key(2048).public_numbers().n


def roca_modulus() -> int:
    """A product of two numbers of the form k·M + (65537^a mod M), as the broken generator made its primes."""
    whole = prod(p for p in range(2, 168) if all(p % d for d in range(2, p)))
    low, high = isqrt(1 << 2047) // whole + 1, (1 << 1024) // whole - 1

    def factor() -> int:
        return (low + secrets.randbelow(high - low)) * whole + pow(65537, secrets.randbelow(10**6), whole)

    return factor() * factor()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP256R1()).public_key(), KeyKind.P256),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), KeyKind.P384),
        (rsa_key(2048), KeyKind.RSA_2048),
        (rsa_key(3072), KeyKind.RSA_3072),
    ],
)
def test_good_keys_are_known_by_their_kind(key: AnyPublicKey, kind: KeyKind) -> None:
    assert kind_of(key) is kind
    assert check_key(key, frozenset({kind})) is kind
    with pytest.raises(KeyRefused, match="not allowed in this profile"):
        check_key(key, ALL - {kind})


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (ec.generate_private_key(ec.SECP521R1()).public_key(), "curve secp521r1"),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "curve secp256k1"),
        (ec.generate_private_key(ec.BrainpoolP256R1()).public_key(), "curve brainpoolP256r1"),
        (ed25519.Ed25519PrivateKey.generate().public_key(), "Ed25519PublicKey is not certified"),
        (rsa_key(1024), "RSA with 1024 bits"),
        (rsa_key(2048, exponent=3), "exponent out of range"),
    ],
)
def test_other_kinds_are_refused(key: AnyPublicKey, words: str) -> None:
    with pytest.raises(KeyRefused, match=words):
        check_key(key, ALL)


@pytest.mark.parametrize("exponent", [3, 17, 65535, (1 << 257) + 1])
def test_a_bad_exponent_is_refused(good_modulus: int, exponent: int) -> None:
    with pytest.raises(KeyRefused, match="exponent"):
        check_key(modulus_key(good_modulus, exponent), ALL)


def test_the_roca_fingerprint_is_seen(good_modulus: int) -> None:
    assert not is_roca(good_modulus)
    with pytest.raises(KeyRefused, match="ROCA"):
        check_key(modulus_key(roca_modulus()), ALL)


def test_a_small_factor_is_seen(good_modulus: int) -> None:
    modulus = good_modulus - good_modulus % 751
    modulus += 0 if modulus % 2 else 751
    with pytest.raises(KeyRefused, match="small factor"):
        check_key(modulus_key(modulus), ALL)


def test_primes_that_lie_close_are_seen() -> None:
    private = rsa.generate_private_key(65537, 2048).private_numbers()
    larger = max(private.p, private.q)
    near = next(n for n in range(larger + 2, larger + 100_000, 2) if gcd(n, SMALL_PRIMES) == 1)
    with pytest.raises(KeyRefused, match="too close"):
        check_key(modulus_key(larger * near), ALL)


def test_a_key_on_the_block_list_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(KeyRefused, match="block list"):
        check_key(key, ALL, known_bad=frozenset({spki_digest(key)}))
