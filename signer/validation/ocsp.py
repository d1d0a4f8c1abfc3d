"""Reading OCSP responses and what they say of one certificate (RFC 6960), and writing requests."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from pki import der, oids
from pki.certificates import Certificate, Extension, read_extensions
from pki.der import Node
from pki.errors import ErrorCode, InvalidInput
from pki.names import same_name
from pki.signatures import signature_hash, verify_value
from signer.parsers.model import UNREADABLE
from signer.validation.answers import CLOCK_SKEW, REASONS, Good, Revoked, Silent, StatusAnswer
from signer.validation.path import is_signed_by

MAX_RESPONSE_OCTETS: Final = 128 * 1024
MAX_RESPONSES: Final = 64
_SMALL: Final = 16 * 1024

_BASIC: Final = "1.3.6.1.5.5.7.48.1.1"
_NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
_ARCHIVE_CUTOFF: Final = "1.3.6.1.5.5.7.48.1.6"
_CERT_HASH: Final = "1.3.36.8.3.13"  # Common PKI part 4
_UNDERSTOOD: Final = frozenset((_NONCE, _ARCHIVE_CUTOFF, _CERT_HASH))
_HASHES: Final = {oids.SHA1: "sha1", oids.SHA256: "sha256", oids.SHA384: "sha384", oids.SHA512: "sha512"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleResponse:
    """What a response says of one certificate; `status` is the CertStatus node.

    `cert_hash`: algorithm and digest of the certificate that is meant, where the responder tells.
    """

    hash_oid: str
    name_hash: bytes
    key_hash: bytes
    serial: int
    status: Node
    this_update: datetime
    next_update: datetime | None
    archive_cutoff: datetime | None
    cert_hash: tuple[str, bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BasicResponse:
    """A BasicOCSPResponse."""

    tbs: bytes
    responder: Node
    produced_at: datetime
    singles: tuple[SingleResponse, ...]
    nonce: bytes | None
    certificates: tuple[Certificate, ...]
    algorithm: Node
    signature: bytes


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.DER_MALFORMED, f"OCSP: {detail}")


def parse_response(data: bytes) -> BasicResponse:
    """Read an OCSPResponse, or the BasicOCSPResponse of CAdES revocation-values; InvalidInput otherwise."""
    if len(data) > MAX_RESPONSE_OCTETS:
        raise _refuse("too large")
    return _remembered(data) if len(data) <= _SMALL else _parse(data)


@lru_cache(maxsize=256)
def _remembered(data: bytes) -> BasicResponse:
    return _parse(data)


def _parse(data: bytes) -> BasicResponse:
    try:
        node = der.parse(data).expect(der.SEQUENCE)
        parts = node.children(4)
        if parts[0].tag == der.SEQUENCE:
            return _basic(parts)
        code = parts[0].integer(der.ENUMERATED)
        if code != 0:
            raise _refuse(f"the responder answered with error {code}")
        kind, octets = parts[1].expect(0xA0).inner().children(2)
        if kind.oid() != _BASIC:
            raise _refuse("not a basic response")
        return _basic(octets.expect(der.OCTET_STRING).inner().expect(der.SEQUENCE).children(4))
    except (IndexError, ValueError) as error:
        raise _refuse("a part is missing") from error


def _basic(parts: tuple[Node, ...]) -> BasicResponse:
    tbs, algorithm, signature = parts[:3]
    certificates = parts[3].expect(0xA0).inner().children(MAX_RESPONSES) if len(parts) == 4 else ()
    fields = list(tbs.expect(der.SEQUENCE).children(5))
    if fields[0].tag == 0xA0:
        fields.pop(0)
    responder, produced_at, responses = fields[:3]
    extensions = _extensions(fields[3].expect(0xA1)) if len(fields) == 4 else {}
    nonce = extensions.get(_NONCE)
    return BasicResponse(
        tbs=tbs.raw,
        responder=responder,
        produced_at=produced_at.time(),
        singles=tuple(_single(node) for node in responses.expect(der.SEQUENCE).children(MAX_RESPONSES)),
        nonce=None if nonce is None else nonce.value,
        certificates=tuple(Certificate.parse(node.raw) for node in certificates),
        algorithm=algorithm,
        signature=signature.bits(),
    )


def _single(node: Node) -> SingleResponse:
    parts = list(node.expect(der.SEQUENCE).children(5))
    identifier, status, this_update = parts[:3]
    algorithm, name_hash, key_hash, serial = identifier.expect(der.SEQUENCE).children(4)
    next_update = None
    extensions: dict[str, Extension] = {}
    for part in parts[3:]:
        if part.tag == 0xA0:
            next_update = part.inner().time()
        elif part.tag == 0xA1:
            extensions = _extensions(part)
    cutoff = extensions.get(_ARCHIVE_CUTOFF)
    return SingleResponse(
        hash_oid=algorithm.sequence()[0].oid(),
        name_hash=name_hash.octets(),
        key_hash=key_hash.octets(),
        serial=serial.integer(),
        status=status,
        this_update=this_update.time(),
        next_update=next_update,
        archive_cutoff=None if cutoff is None else der.parse(cutoff.value).time(),
        cert_hash=_cert_hash(extensions.get(_CERT_HASH)),
    )


def _extensions(tagged: Node) -> dict[str, Extension]:
    found = read_extensions(tagged.inner())
    if any(extension.critical and kind not in _UNDERSTOOD for kind, extension in found.items()):
        raise _refuse("a critical extension that is not understood")
    return found


def _cert_hash(extension: Extension | None) -> tuple[str, bytes] | None:
    if extension is None:
        return None
    algorithm, digest = der.parse(extension.value).expect(der.SEQUENCE).children(2)
    return algorithm.sequence()[0].oid(), digest.octets()


def evaluate(
    response: BasicResponse,
    certificate: Certificate,
    issuer: Certificate,
    at: datetime,
    *,
    origin: str,
    nonce: bytes | None = None,
) -> StatusAnswer:
    """Say what a response knows of a certificate; silent unless responder, signature and dates all fit."""
    about = [entry for entry in response.singles if _is_about(entry, certificate, issuer)]
    if not about:
        return Silent(origin=origin, detail="about another certificate")
    single = max(about, key=lambda entry: entry.status.tag)  # of several the worst: good, unknown, revoked
    if not _is_meant(single, certificate):
        return Silent(origin=origin, detail="about another certificate of this number (certHash)")
    if nonce is not None and response.nonce is not None and response.nonce != nonce:
        return Silent(origin=origin, detail="an answer to another question (nonce)")
    if single.this_update > at + CLOCK_SKEW:
        return Silent(origin=origin, detail="produced in the future")
    ends_before = single.next_update is not None and single.next_update < single.this_update
    if ends_before or single.this_update > response.produced_at + CLOCK_SKEW:
        return Silent(origin=origin, detail="its times contradict each other")
    signer = _responder(response, issuer)
    if signer is None:
        return Silent(origin=origin, detail="its signer is no responder of the issuer")
    if not _is_signed_with(response, signer):
        return Silent(origin=origin, detail="signature does not hold")
    return _answer(single, signer, signature_hash(response.algorithm), origin)


def _answer(single: SingleResponse, signer: Certificate, hash_oid: str | None, origin: str) -> StatusAnswer:
    if single.status.tag == 0x80:
        return Good(
            origin=origin,
            this_update=single.this_update,
            next_update=single.next_update,
            signer=signer,
            hash_oid=hash_oid,
            expired_since=single.archive_cutoff,
        )
    if single.status.tag != 0xA1:
        return Silent(origin=origin, detail="the responder does not know the certificate")
    parts = single.status.children(2)
    code = parts[1].inner().integer(der.ENUMERATED) if len(parts) == 2 else 0
    return Revoked(
        origin=origin,
        this_update=single.this_update,
        next_update=single.next_update,
        signer=signer,
        hash_oid=hash_oid,
        revoked_at=parts[0].time(),
        reason=REASONS.get(code, "unspecified"),
    )


def _is_about(single: SingleResponse, certificate: Certificate, issuer: Certificate) -> bool:
    name = _HASHES.get(single.hash_oid)
    if name is None or single.serial != certificate.serial:
        return False
    key_bits = der.parse(issuer.spki_der).sequence()[1].bits()
    return single.name_hash == _digest(name, certificate.issuer_der) and single.key_hash == _digest(name, key_bits)


def _is_meant(single: SingleResponse, certificate: Certificate) -> bool:
    """Compare certHash, where there is one, with the certificate: a number alone may have been given twice."""
    if single.cert_hash is None:
        return True
    name = _HASHES.get(single.cert_hash[0])
    return name is not None and single.cert_hash[1] == _digest(name, certificate.der)


def _digest(name: str, data: bytes) -> bytes:
    return hashlib.new(name, data, usedforsecurity=False).digest()


def _responder(response: BasicResponse, issuer: Certificate) -> Certificate | None:
    """Return who may have signed: the issuer, or whom it delegated (RFC 6960 §4.2.2.2)."""
    if _is_named(response, issuer):
        return issuer
    for candidate in response.certificates:
        usage = candidate.key_usage
        may_sign = usage is None or bool(usage & {"digitalSignature", "nonRepudiation"})
        delegated = may_sign and oids.EKU_OCSP_SIGNING in (candidate.extended_key_usage or ())
        alive = candidate.not_before <= response.produced_at <= candidate.not_after
        if delegated and alive and _is_named(response, candidate) and is_signed_by(candidate, issuer):
            return candidate
    return None


def _is_named(response: BasicResponse, certificate: Certificate) -> bool:
    if response.responder.tag == 0xA1:
        return same_name(response.responder.inner().raw, certificate.subject_der)
    return response.responder.tag == 0xA2 and response.responder.inner().octets() == certificate.spki_sha1


@lru_cache(maxsize=1024)
def _is_signed_with(response: BasicResponse, signer: Certificate) -> bool:
    try:
        verify_value(signer.foreign_key, response.algorithm, response.signature, response.tbs)
    except UNREADABLE:
        return False
    return True


def build_request(certificate: Certificate, issuer: Certificate) -> bytes:
    """Write an OCSPRequest for one certificate, with the SHA-1 CertID every responder knows (RFC 5019 §2.1.1)."""
    key_bits = der.parse(issuer.spki_der).sequence()[1].bits()
    identifier = der.sequence(
        der.sequence(der.oid(oids.SHA1), der.null()),
        der.octet_string(_digest("sha1", certificate.issuer_der)),
        der.octet_string(_digest("sha1", key_bits)),
        der.integer(certificate.serial),
    )
    return der.sequence(der.sequence(der.sequence(der.sequence(identifier))))
