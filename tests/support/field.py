"""Certificates as the field has them, which builders refuse to make: odd names, odd exponents, old hashes."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.soft import UnsafeSoftKey
from pki import der, oids
from pki.certificates import Certificate
from tests.support.pki import NOW

_RSA_ALGORITHMS = {"sha1": "1.2.840.113549.1.1.5", "sha256": oids.SHA256_WITH_RSA, "md2": "1.2.840.113549.1.1.2"}
_SHA1 = hashes.SHA1()  # noqa: S303 - old lines are to be recognised
_HASHES: dict[str, hashes.HashAlgorithm] = {"sha1": _SHA1, "sha256": hashes.SHA256(), "md2": _SHA1}
# Primes to whose product every exponent of the field fits; nobody's key.
_P = int(
    "da7110bb8034132949dda89aef10b7d3063d929cee96d7b66812e09e952cf3e548b7c5ff7f83224bb87587db378a67b2cbfa"
    "ed12774bf72dcdeeecd64b3c916130c4946194d2d9b08e20126edbdf8ac8669d24d1ea90dbf8a554594729208193facec638"
    "80d2b13074515cc34353857639f9b4340b3e57594a58a37e24e33a71",
    16,
)
_Q = int(
    "c9019a9eff122251da70dfed9cde278eda7c031b6b199727f70beb4f2e3c85e715b2d703dbd29c379eddb0db65ef95db3a4b"
    "d921d871230e3e4613c85a5992e0ddebc5ae15ce337033e049cf9bf94335c477e3186de05710d6d2ae93354079097714c507"
    "db7f7b32312ae1d8aabd1802d4ddd20e7d23fecc25f24e19c0a68109",
    16,
)
BEGAN, ENDS = NOW - timedelta(days=400), NOW + timedelta(days=400)


@dataclass(frozen=True, kw_only=True)
class OddKey:
    """An RSA key of the shared modulus with a public exponent of choice, which signs with a hash of choice.

    `md2` names an algorithm that nobody checks.
    """

    exponent: int = 65537
    digest: str = "sha256"

    @cached_property
    def private(self) -> rsa.RSAPrivateKey:
        d = pow(self.exponent, -1, math.lcm(_P - 1, _Q - 1))
        public = rsa.RSAPublicNumbers(self.exponent, _P * _Q)
        return rsa.RSAPrivateNumbers(_P, _Q, d, d % (_P - 1), d % (_Q - 1), pow(_Q, -1, _P), public).private_key(
            unsafe_skip_rsa_key_validation=True
        )

    @cached_property
    def spki(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def identifier(self) -> bytes:
        return der.sequence(der.oid(_RSA_ALGORITHMS[self.digest]), der.null())

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message, padding.PKCS1v15(), _HASHES[self.digest])


def printable_name(text: str) -> bytes:
    """Write a Name of one PrintableString, whatever its characters."""
    value = der.tlv(der.PRINTABLE_STRING, text.encode("latin-1"))
    return der.sequence(der.tlv(der.SET, der.sequence(der.oid(oids.COMMON_NAME), value)))


def spki_of(key: UnsafeSoftKey) -> bytes:
    """Return a key's SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certify(
    subject: bytes,
    spki: bytes,
    issuer: bytes,
    key: OddKey,
    *,
    ca: bool,
    serial: int = 7,
    began: datetime = BEGAN,
    ends: datetime = ENDS,
) -> Certificate:
    """Make a certificate octet by octet."""
    constraints = der.sequence(der.boolean(True)) if ca else der.sequence()
    usage = b"\x03\x02\x01\x06" if ca else b"\x03\x02\x06\x40"
    extensions = der.sequence(
        der.sequence(der.oid(oids.BASIC_CONSTRAINTS), der.boolean(True), der.octet_string(constraints)),
        der.sequence(der.oid(oids.KEY_USAGE), der.boolean(True), der.octet_string(usage)),
    )
    tbs = der.sequence(
        der.context(0, der.integer(2)),
        der.integer(serial),
        key.identifier,
        issuer,
        der.sequence(der.time(began), der.time(ends)),
        subject,
        spki,
        der.context(3, extensions),
    )
    value = der.tlv(der.BIT_STRING, b"\x00" + key.sign(tbs))
    return Certificate.parse(der.sequence(tbs, key.identifier, value))
