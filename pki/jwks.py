"""Public keys as JSON Web Keys and sets of them (RFC 7517, RFC 7518 §6, RFC 8037 §2).

A key is named by its RFC 7638 thumbprint and nothing else, so a name can never point at another key.
Reading is strict where a key is used and lenient where the standard says so: key types unknown here
are passed over (RFC 7517 §5), a malformed or private key refuses the whole set.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.jose import b64url, canonical_json, json_object, unb64url
from pki.keys import PublicKey, SignatureAlgorithm, algorithm_for, check_fits

MAX_SET_OCTETS: Final = 256 * 1024
MAX_KEYS: Final = 32
MAX_CHAIN: Final = 8
RSA_BITS: Final = range(2048, 8193)
_CURVES: Final[dict[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.KEY_REFUSED, what)


def _unsigned(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def key_members(public_key: PublicKey) -> dict[str, str]:
    """Return the members that make up the key and its thumbprint (RFC 7638 §3.2, RFC 8037 appendix A.3)."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        point = public_key.public_numbers()
        size = (public_key.key_size + 7) // 8
        name = next((name for name, curve in _CURVES.items() if curve.name == public_key.curve.name), None)
        if name is None:
            raise _refuse(f"curve {public_key.curve.name} has no JWK here")
        x, y = (b64url(number.to_bytes(size, "big")) for number in (point.x, point.y))
        return {"crv": name, "kty": "EC", "x": x, "y": y}
    if isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        return {"e": _unsigned(numbers.e), "kty": "RSA", "n": _unsigned(numbers.n)}
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": b64url(raw)}


def thumbprint(public_key: PublicKey) -> str:
    """Return the RFC 7638 SHA-256 thumbprint, base64url: the `kid` of every key of Mohr."""
    return b64url(hashlib.sha256(canonical_json(key_members(public_key))).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwk:
    """One public signature key. `x5c` is its certificate chain in DER, the key's own certificate first."""

    public_key: PublicKey
    algorithm: SignatureAlgorithm
    kid: str
    x5c: tuple[bytes, ...] = ()

    @staticmethod
    def of(public_key: PublicKey, x5c: Sequence[bytes] = (), algorithm: SignatureAlgorithm | None = None) -> "Jwk":
        """Name `public_key` by its thumbprint; without `algorithm` it signs with its kind's default.

        InvalidInput (`key-refused`) if `x5c` is of another key or the algorithm is not the key's kind's.
        """
        if x5c and Certificate.parse(x5c[0]).public_key != public_key:
            raise _refuse("x5c belongs to another key")
        if algorithm is None:
            algorithm = algorithm_for(public_key)
        check_fits(algorithm, public_key)
        return Jwk(public_key=public_key, algorithm=algorithm, kid=thumbprint(public_key), x5c=tuple(x5c))

    def members(self) -> dict[str, Any]:
        """Return the JWK as it is published."""
        found: dict[str, Any] = {
            **key_members(self.public_key),
            "use": "sig",
            "alg": str(self.algorithm),
            "kid": self.kid,
        }
        if self.x5c:  # RFC 7517 §4.7: base64, not base64url
            found["x5c"] = [base64.b64encode(der).decode() for der in self.x5c]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """The keys of one issuer and when they were learnt (`as_of`, aware UTC)."""

    keys: tuple[Jwk, ...]
    as_of: datetime

    def find(self, kid: str) -> Jwk | None:
        """Return the key named `kid`, or None."""
        return next((key for key in self.keys if key.kid == kid), None)

    def document(self) -> dict[str, Any]:
        """Return the set as it is published (RFC 7517 §5)."""
        return {"keys": [key.members() for key in self.keys]}

    @staticmethod
    def parse(data: bytes, as_of: datetime) -> "KeySet":
        """Read a JWK Set; InvalidInput when a key of a known type is malformed, misnamed or private."""
        if len(data) > MAX_SET_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "key set larger than 256 KiB")
        return KeySet.from_members(json_object(data).get("keys"), as_of)

    @staticmethod
    def from_members(entries: object, as_of: datetime) -> "KeySet":
        """Read the value of a set's `keys` member, already decoded from JSON."""
        if not isinstance(entries, list) or len(entries) > MAX_KEYS:
            raise _refuse(f"a key set holds a list of at most {MAX_KEYS} keys")
        keys = tuple(key for key in map(_parse_key, entries) if key is not None)
        if len({key.kid for key in keys}) != len(keys):
            raise _refuse("a key appears twice")
        return KeySet(keys=keys, as_of=as_of)


def _parse_key(entry: object) -> Jwk | None:
    if not isinstance(entry, dict):
        raise _refuse("a key is not an object")
    if _PRIVATE & entry.keys():
        raise _refuse("a private or symmetric key in a public set")
    public_key = _public_key(entry)
    if public_key is None or entry.get("use", "sig") != "sig":
        return None
    key = Jwk.of(public_key, _chain(entry.get("x5c", [])), _named_algorithm(entry))
    if entry.get("kid") != key.kid:
        raise _refuse("kid is not the key's thumbprint")
    return key


def _named_algorithm(entry: dict[str, Any]) -> SignatureAlgorithm | None:
    if "alg" not in entry:
        return None
    try:
        return SignatureAlgorithm(entry["alg"])
    except ValueError as error:
        raise _refuse("alg does not fit the key") from error


def _public_key(entry: dict[str, Any]) -> PublicKey | None:
    """Build the key an entry describes; None for a type or curve that is not used here."""
    try:
        match entry.get("kty"):
            case "EC" if (curve := _CURVES.get(str(entry.get("crv")))) is not None:
                return _ec_key(entry, curve)
            case "RSA":
                return _rsa_key(entry)
            case "OKP" if entry.get("crv") == "Ed25519":
                return ed25519.Ed25519PublicKey.from_public_bytes(_octets(entry, "x"))
    except ValueError as error:
        raise _refuse("the numbers of a key do not make a key") from error
    return None


def _octets(entry: dict[str, Any], member: str) -> bytes:
    value = entry.get(member)
    if not isinstance(value, str):
        raise _refuse(f"member {member} is missing or not text")
    return unb64url(value)


def _ec_key(entry: dict[str, Any], curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    x, y = _octets(entry, "x"), _octets(entry, "y")
    size = (curve.key_size + 7) // 8
    if len(x) != size or len(y) != size:  # RFC 7518 §6.2.1.2
        raise _refuse("a coordinate has a wrong length")
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


def _rsa_key(entry: dict[str, Any]) -> rsa.RSAPublicKey:
    n, e = (int.from_bytes(_octets(entry, member), "big") for member in ("n", "e"))
    if n.bit_length() not in RSA_BITS or not 65537 <= e < 2**32:
        raise _refuse("RSA keys have 2048 to 8192 bits and an exponent from 65537")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _chain(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > MAX_CHAIN or not all(isinstance(item, str) for item in value):
        raise _refuse(f"x5c is a list of at most {MAX_CHAIN} certificates")
    try:
        return tuple(base64.b64decode(item, validate=True) for item in value)
    except (binascii.Error, ValueError) as error:
        raise _refuse("x5c is not base64") from error
