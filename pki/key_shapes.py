"""Naming what is wrong with a SubjectPublicKeyInfo that no key can be made of, or none that Mohr certifies."""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import ObjectIdentifier

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.signatures import SubjectKey

_EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"
_INFINITY: Final = b"\x00"  # SEC 1 §2.3.3
_KINDS: Final = {
    "1.2.840.10040.4.1": "key.dsa",
    "1.3.101.110": "key.x25519",
    "1.3.101.111": "key.x25519",
    "1.3.101.113": "key.ed448",
    "2.16.840.1.101.3.4.3.17": "key.mldsa",
    "2.16.840.1.101.3.4.3.19": "key.mldsa",
}


def load_certifiable_key(spki_der: bytes) -> SubjectKey:
    """Load a public key; InvalidInput (`key-refused`) whose reason names what is wrong with it."""
    reason = _fault(spki_der)
    if not reason:
        try:
            key = load_der_public_key(spki_der)
        except (ValueError, UnsupportedAlgorithm):
            reason = _point_fault(spki_der) or "key.unreadable"
        else:
            if isinstance(
                key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey
            ):
                return key
            reason = "key.unreadable"
    raise InvalidInput(ErrorCode.KEY_REFUSED, "public key cannot be certified", reason=reason)


def _fault(spki_der: bytes) -> str:
    try:
        algorithm, bits = der.parse(spki_der).sequence()
        parts = algorithm.sequence()
        kind = parts[0].oid()
        if kind == oids.RSA_ENCRYPTION:
            return _exponent_fault(der.parse(bits.bits()).sequence()[1].integer())
        if kind != _EC_PUBLIC_KEY:
            return _KINDS.get(kind, "")
        if len(parts) != 2 or parts[1].tag != der.OID:  # RFC 5480 §2.1.1: a named curve and nothing else
            return "key.explicit-parameters"
        bits.bits()
    except (ServiceError, ValueError, IndexError):
        return "key.unreadable"
    return ""


def _exponent_fault(exponent: int) -> str:
    """Name an exponent that makes no key at all; the key policy asks for more."""
    if exponent % 2 == 0:
        return "key.exponent-even"
    return "key.exponent-small" if exponent < 3 else ""


def _point_fault(spki_der: bytes) -> str:
    """Name what is wrong with the curve or the point of an EC key that the library does not load."""
    algorithm, bits = der.parse(spki_der).sequence()
    kind, *parameters = algorithm.sequence()
    if kind.oid() != _EC_PUBLIC_KEY:
        return ""
    point = bits.bits()
    if point == _INFINITY:
        return "key.point-infinity"
    try:
        curve = ec.get_curve_for_oid(ObjectIdentifier(parameters[0].oid()))()
        ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except (LookupError, UnsupportedAlgorithm):
        return "key.curve-other"
    except ValueError:
        return "key.point-off-curve"
    return ""
