"""Shamir's secret sharing over GF(2^8): octets in, octets out, no integrity of its own.

Each octet of the secret is the value at 0 of its own polynomial of degree threshold - 1, whose other coefficients
are random; a share is the values at its index. The field is the one of AES (FIPS 197 §4: x^8+x^4+x^3+x+1).
"""

from collections.abc import Callable, Mapping
from typing import Final

_GENERATOR: Final = 3
_POLYNOMIAL: Final = 0x11B


def _powers() -> tuple[bytes, bytes]:
    powers, logarithms = bytearray(510), bytearray(256)
    value = 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logarithms[value] = exponent
        value ^= value << 1  # times 3
        if value > 0xFF:
            value ^= _POLYNOMIAL
    return bytes(powers), bytes(logarithms)


_POWERS, _LOGARITHMS = _powers()


def multiply(left: int, right: int) -> int:
    """Multiply two elements of the field."""
    return _POWERS[_LOGARITHMS[left] + _LOGARITHMS[right]] if left and right else 0


def divide(left: int, right: int) -> int:
    """Divide two elements of the field; ZeroDivisionError."""
    if not right:
        raise ZeroDivisionError("division by the zero of the field")
    return _POWERS[_LOGARITHMS[left] + 255 - _LOGARITHMS[right]] if left else 0


def divide_octets(
    secret: bytes | bytearray, threshold: int, count: int, random_octets: Callable[[int], bytes]
) -> list[bytearray]:
    """Return the values at 1 to `count`; any `threshold` of them give `secret` back, fewer say nothing."""
    coefficients = bytearray(random_octets((threshold - 1) * len(secret)))
    shares = [bytearray(len(secret)) for _ in range(count)]
    for x, share in enumerate(shares, 1):
        for position, octet in enumerate(secret):
            value = 0
            for degree in range(threshold - 2, -1, -1):  # Horner, the highest coefficient first
                value = multiply(value, x) ^ coefficients[degree * len(secret) + position]
            share[position] = multiply(value, x) ^ octet
    coefficients[:] = bytes(len(coefficients))
    return shares


def combine_octets(points: Mapping[int, bytes | bytearray]) -> bytearray:
    """Return what the polynomials through `points` (index → octets of one length) are at 0 (Lagrange)."""
    secret = bytearray(len(next(iter(points.values()))))
    for x, share in points.items():
        weight = 1
        for other in points:
            if other != x:
                weight = multiply(weight, divide(other, other ^ x))
        for position, octet in enumerate(share):
            secret[position] ^= multiply(octet, weight)
    return secret
