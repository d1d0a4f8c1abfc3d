"""What the headers of a COSE_Sign1 say: algorithm, signing certificate, critical labels (RFC 9052 §3, RFC 9360)."""

from dataclasses import dataclass, field
from typing import Final

from pki import cbor, oids
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from signer import prescription_code as code
from signer.parsers.model import CertificateReference, Note, SignerHint
from signer.validation.reasons import Reason

MAX_CERTIFICATES: Final = 16
Header = dict[cbor.Key, cbor.Value]

# COSE's numbers by JOSE's names (RFC 9053 §2, RFC 8812 §2 and §3.2, RFC 9864 §2, draft-ietf-cose-dilithium §4).
# An ECDSA name goes with one curve here, as in JOSE.
_ALGORITHMS: Final = {
    -7: "ES256",
    -9: "ES256",
    -35: "ES384",
    -51: "ES384",
    -47: "ES256K",
    -36: "ES512",
    -52: "ES512",
    -8: "EdDSA",
    -19: "Ed25519",
    -53: "Ed448",
    -48: "ML-DSA-44",
    -49: "ML-DSA-65",
    -50: "ML-DSA-87",
    -37: "PS256",
    -38: "PS384",
    -39: "PS512",
    -257: "RS256",
    -258: "RS384",
    -259: "RS512",
}
_DIGESTS: Final = {-16: oids.SHA256, -43: oids.SHA384, -44: oids.SHA512, -14: oids.SHA1}
_UNDERSTOOD: Final = frozenset(
    (code.ALG, code.CRIT, code.CONTENT_TYPE, code.KID, code.CWT_CLAIMS, code.TYP, code.X5CHAIN, code.X5T)
)
_COUNTER_SIGNATURES: Final = frozenset((7, 9, 11, 12))  # RFC 8152 §4.5, RFC 9338 §3
_TIMESTAMPS: Final = frozenset((269, 270))  # RFC 9921 §3


def refuse(detail: str) -> InvalidInput:
    """Make the error of a COSE structure that cannot be accepted."""
    return InvalidInput(ErrorCode.INPUT_MALFORMED, detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """Both headers, their rules checked."""

    protected: Header
    unprotected: Header
    notes: tuple[Note, ...] = field(default=())

    @property
    def algorithm(self) -> str:
        """The algorithm by its JOSE name, or as COSE says where it is unknown; names in text are nobody's."""
        said = self.protected[code.ALG]
        if isinstance(said, str):
            return f"COSE {said[:32]}"
        number = _integer(said)
        return _ALGORITHMS.get(number, f"COSE {number}")

    def either(self, label: int) -> cbor.Value:
        """Return a parameter wherever it stands."""
        return self.protected.get(label, self.unprotected.get(label))


def read_headers(protected: cbor.Value, unprotected: cbor.Value) -> Headers:
    """Check what RFC 9052 §3 asks of labels, `alg` and `crit`; InvalidInput names the rule that is broken."""
    if not isinstance(protected, dict) or not isinstance(unprotected, dict):
        raise refuse("a header is not a map")
    labels = (*protected, *unprotected)
    if any(isinstance(label, bytes) for label in labels):
        raise refuse("a header label that is no integer and no text")
    if protected.keys() & unprotected.keys():
        raise refuse("a header parameter is both protected and unprotected")
    if code.X5U in labels:
        raise refuse("x5u in a header")
    for label, name in ((code.ALG, "alg"), (code.CRIT, "crit")):
        if label in unprotected:
            raise refuse(f"{name} outside the protected header")
    _check_algorithm(protected.get(code.ALG))
    _check_crit(protected)
    notes = []
    if _COUNTER_SIGNATURES.intersection(labels):
        notes.append(Note(reason=Reason.COUNTERSIGNATURE_NOT_EVALUATED))
    if _TIMESTAMPS.intersection(labels):
        notes.append(Note(reason=Reason.TIMESTAMP_NOT_EVALUATED))
    return Headers(protected=protected, unprotected=unprotected, notes=tuple(notes))


def _check_algorithm(value: cbor.Value) -> None:
    if isinstance(value, str) and value:
        return
    if _integer(value) >= 0:  # encryption and MAC (RFC 9053 §3, §4)
        raise refuse("alg is missing, or no signature")


def _integer(value: cbor.Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse("a parameter is no integer")
    return value


def _check_crit(header: Header) -> None:
    if code.CRIT not in header:
        return
    labels = header[code.CRIT]
    if not isinstance(labels, list) or not labels:
        raise refuse("crit is not an array of labels")
    seen = set()
    for label in labels:
        if isinstance(label, bool) or not isinstance(label, int | str) or label in seen:
            raise refuse("crit names no label, or one twice")
        if label not in header:
            raise refuse("crit names a parameter that is not protected")
        if label not in _UNDERSTOOD:
            raise refuse("crit names a parameter that is not understood")
        seen.add(label)


def certificates(headers: Headers) -> tuple[Certificate, ...]:
    """Read x5chain, the signer's certificate first (RFC 9360 §2)."""
    value = headers.either(code.X5CHAIN)
    encoded = [] if value is None else value if isinstance(value, list) else [value]
    if value is not None and not 0 < len(encoded) <= MAX_CERTIFICATES:
        raise refuse("x5chain is empty or too long")
    return tuple(Certificate.parse(octets(one)) for one in encoded)


def references(headers: Headers) -> tuple[CertificateReference, ...]:
    """Read a protected x5t: [hash, value]."""
    value = headers.protected.get(code.X5T)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) != 2:
        raise refuse("x5t is not a hash and its value")
    digest_oid = _DIGESTS.get(_integer(value[0]))
    if digest_oid is None:
        raise refuse("x5t names an unknown hash")
    return (CertificateReference(digest_oid=digest_oid, digest=octets(value[1])),)


def hint(headers: Headers, chain: tuple[Certificate, ...], *, referenced: bool) -> SignerHint:
    """Say what proposes the signing certificate: x5chain, a signed x5t, a kid, or only the keys at hand.

    A `kid` is any octets (RFC 9052 §3.1). One that is text was not computed from a certificate.
    """
    if chain:
        return SignerHint(certificate=chain[0])
    if referenced:
        return SignerHint()
    kid = headers.either(code.KID)
    if kid is None:
        return SignerHint(any_key=True)
    value = octets(kid)
    if value.isascii() and value.decode().isprintable():
        return SignerHint(key_id=value, any_key=True)
    return SignerHint(key_id=value)


def octets(value: cbor.Value) -> bytes:
    """Take a byte string."""
    if not isinstance(value, bytes):
        raise refuse("a part is not a byte string")
    return value
