"""What the protected header of a JAdES signature says: algorithm, signing certificate, time (TS 119 182-1 §5).

Each reader raises InvalidInput for a member that is present in another form than the standard's.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pki import der, jose, oids
from pki.certificates import Certificate
from pki.errors import InvalidInput
from signer.parsers.jws import Jws, refuse
from signer.parsers.model import UNREADABLE, CertificateReference, Note, PolicyReference, SignerHint
from signer.validation.reasons import Reason

MAX_COMPONENTS: Final = 64

_ALGORITHMS: Final = {
    "ES256": (oids.ECDSA_WITH_SHA256, "secp256r1", 32),
    "ES384": (oids.ECDSA_WITH_SHA384, "secp384r1", 48),
    "ES512": (oids.ECDSA_WITH_SHA512, "secp521r1", 66),
    "RS256": (oids.SHA256_WITH_RSA, None, 0),
    "RS384": (oids.SHA384_WITH_RSA, None, 0),
    "RS512": (oids.SHA512_WITH_RSA, None, 0),
    "ES256K": (oids.ECDSA_WITH_SHA256, "secp256k1", 32),
    "EdDSA": (oids.ED25519, None, 0),
    "Ed25519": (oids.ED25519, None, 0),
    "Ed448": (oids.ED448, None, 0),
    "ML-DSA-44": ("2.16.840.1.101.3.4.3.17", None, 0),
    "ML-DSA-65": ("2.16.840.1.101.3.4.3.18", None, 0),
    "ML-DSA-87": ("2.16.840.1.101.3.4.3.19", None, 0),
}
_PSS_HASHES: Final = {"PS256": (oids.SHA256, 32), "PS384": (oids.SHA384, 48), "PS512": (oids.SHA512, 64)}
_ED448_OCTETS: Final = 114  # RFC 8032 §5.2.6
DIGESTS: Final = {
    "S256": oids.SHA256,
    "S384": oids.SHA384,
    "S512": oids.SHA512,
    "S3-256": oids.SHA3_256,
    "S3-384": oids.SHA3_384,
    "S3-512": oids.SHA3_512,
    "http://www.w3.org/2001/04/xmlenc#sha256": oids.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": oids.SHA384,
    "http://www.w3.org/2001/04/xmlenc#sha512": oids.SHA512,
}
_UNKNOWN: Final = "1.3.6.1.4.1.32473.0"
_LAST_SECOND: Final = 2**35  # the year 3058; what is later was written in milliseconds
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def algorithm(name: str, value: bytes = b"") -> tuple[der.Node, str | None]:
    """Return the AlgorithmIdentifier of a JOSE name and the curve it is bound to (RFC 7518 §3.4).

    The size of the signature's value tells which curve `EdDSA` means (RFC 8037 §3.1).
    """
    if name == "EdDSA" and len(value) == _ED448_OCTETS:
        name = "Ed448"
    if name in _PSS_HASHES:
        digest, salt = _PSS_HASHES[name]
        hashed = der.sequence(der.oid(digest), der.null())
        mask = der.sequence(der.oid(oids.MGF1), hashed)
        parts = (der.context(0, hashed), der.context(1, mask), der.context(2, der.integer(salt)))
        return der.parse(der.sequence(der.oid(oids.RSASSA_PSS), der.sequence(*parts))), None
    oid, curve, _size = _ALGORITHMS.get(name, (_UNKNOWN, None, 0))
    return der.parse(der.sequence(der.oid(oid))), curve


def x509_value(name: str, value: bytes) -> bytes:
    """Turn `r || s` into its X.509 form; a value of wrong length becomes one that verifies nowhere."""
    size = _ALGORITHMS.get(name, ("", None, 0))[2]
    if not size:
        return value
    if len(value) != 2 * size:
        return b""
    return encode_dss_signature(int.from_bytes(value[:size], "big"), int.from_bytes(value[size:], "big"))


def references(header: dict[str, Any]) -> tuple[CertificateReference, ...]:
    """Read x5t, x5t#S256, x5t#o and the first of sigX5ts (RFC 7515 §4.1.7, TS 119 182-1 §5.1.7, §5.2.2)."""
    found = [
        CertificateReference(digest_oid=digest_oid, digest=b64url(header[name]))
        for name, digest_oid in (("x5t#S256", oids.SHA256), ("x5t", oids.SHA1))
        if name in header
    ]
    several = header.get("sigX5ts", [])
    if not isinstance(several, list):
        raise refuse("sigX5ts is not an array")
    for entry in ([header["x5t#o"]] if "x5t#o" in header else []) + several[:1]:
        if not isinstance(entry, dict):
            raise refuse("a certificate reference is not an object")
        digest_oid = DIGESTS.get(str(entry.get("digAlg")))
        if digest_oid is None:
            raise refuse("a certificate reference names an unknown hash")
        found.append(CertificateReference(digest_oid=digest_oid, digest=b64url(entry.get("digVal"))))
    return tuple(found)


def hint(jws: Jws, embedded: tuple[Certificate, ...]) -> SignerHint:
    """Return what proposes the signing certificate: the first of x5c, else `kid` as JAdES spells it.

    That is the Base64 of an IssuerSerial (TS 119 182-1 §5.1.4); any other `kid` is a private name and tells nothing.
    """
    if embedded:
        return SignerHint(certificate=embedded[0])
    try:
        names, serial = der.parse(der_b64(jws.header.get("kid", jws.unprotected.get("kid")))).sequence()
        return SignerHint(issuer_der=names.sequence()[0].expect(0xA4).inner().raw, serial=serial.integer())
    except UNREADABLE:
        return SignerHint()


def policy(header: dict[str, Any]) -> PolicyReference | None:
    """Read sigPId (TS 119 182-1 §5.2.7)."""
    if "sigPId" not in header:
        return None
    member = header["sigPId"]
    identifier = member.get("id") if isinstance(member, dict) else None
    name = identifier.get("id") if isinstance(identifier, dict) else None
    if not isinstance(name, str) or not isinstance(member, dict):
        raise refuse("sigPId is not an object with an id")
    hashed = member.get("hashAV", member)
    value = hashed.get("digVal") if isinstance(hashed, dict) else None
    digest = None if value is None else _either_b64(value)
    return PolicyReference(name=name.removeprefix("urn:oid:"), digest=digest)


def _either_b64(value: Any) -> bytes:
    """Decode Base64 of either alphabet: implementations differ."""
    text = str(value).rstrip("=").replace("+", "-").replace("/", "_")
    return jose.unb64url(text)


def b64url(value: Any) -> bytes:
    """Decode a base64url member."""
    if not isinstance(value, str):
        raise refuse("a digest is not a string")
    return jose.unb64url(value)


def der_b64(value: Any) -> bytes:
    """Decode standard base64 (RFC 7515 §4.1.6 and etsiU values)."""
    if not isinstance(value, str):
        raise refuse("a base64 value is not a string")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse("a value is not base64") from error


def certificates(values: Any) -> tuple[tuple[Certificate, ...], tuple[Note, ...]]:
    """Read x5c; a later certificate that cannot be read is left out with a note."""
    if not isinstance(values, list) or len(values) > MAX_COMPONENTS:
        raise refuse("x5c is not an array")
    found, notes = [], []
    for index, value in enumerate(values):
        encoded = der_b64(value)
        try:
            found.append(Certificate.parse(encoded))
        except InvalidInput as error:
            if index == 0:
                raise  # without its first certificate the header names another signer
            notes.append(Note(reason=Reason.CERTIFICATE_UNREADABLE, detail=error.detail))
    return tuple(found), tuple(notes)


def claimed_time(header: dict[str, Any]) -> tuple[datetime | None, tuple[Note, ...]]:
    """Read iat (v1.2.1) and sigT (v1.1.1); both may stand in one header, iat then counts if it can be a time."""
    notes: tuple[Note, ...] = ()
    issued, claimed = None, None
    if "iat" in header:
        seconds = header["iat"]
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise refuse("iat is not a number")
        if 0 <= seconds < _LAST_SECOND:
            issued = datetime.fromtimestamp(seconds, UTC)
        else:
            notes = (Note(reason=Reason.CLAIMED_TIME_UNREADABLE, detail="iat"),)
    if "sigT" in header:
        text = header["sigT"]
        if not isinstance(text, str) or not _INSTANT.fullmatch(text):
            raise refuse("sigT is not an instant in UTC")
        try:
            claimed = datetime.fromisoformat(text)
        except ValueError as error:
            raise refuse("sigT is not a calendar time") from error
    if issued and claimed and issued.replace(microsecond=0) != claimed:
        notes = (Note(reason=Reason.TWO_CLAIMED_TIMES, detail=f"{issued.isoformat()} / {claimed.isoformat()}"),)
    return issued or claimed, notes
