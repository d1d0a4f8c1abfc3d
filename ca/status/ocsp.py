"""OCSP requests and responses (RFC 6960, RFC 5019, RFC 9654) as bytes: pure, no key, no row.

Requests are read strictly and within limits. Responses are built from their parts, so that many can be signed in
one round trip; the signature comes from the delegate of the issuer that is asked about.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, unique
from functools import lru_cache
from typing import Final

from ca.status.revocation import RevocationReason, Status
from pki import der, oids
from pki.certificates import Certificate, read_extensions
from pki.errors import ErrorCode, InvalidInput

MAX_REQUEST_OCTETS: Final = 8 * 1024
MAX_CERTIFICATES: Final = 16
MAX_NONCE_OCTETS: Final = 128  # RFC 9654 §2.1
MAX_SERIAL_OCTETS: Final = 32

OCSP_BASIC: Final = "1.3.6.1.5.5.7.48.1.1"
OCSP_NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
OCSP_ARCHIVE_CUTOFF: Final = "1.3.6.1.5.5.7.48.1.6"
CERT_HASH: Final = "1.3.36.8.3.13"

Hash = Callable[[bytes], bytes]
_HASHES: Final[dict[str, Hash]] = {
    oids.SHA1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    oids.SHA256: lambda data: hashlib.sha256(data).digest(),
}
_SHA1_ALGORITHM: Final = der.sequence(der.oid(oids.SHA1), der.null())
_SUCCESSFUL: Final = der.integer(0, der.ENUMERATED)
_BASIC_TYPE: Final = der.oid(OCSP_BASIC)
_SHA256_ALGORITHM: Final = der.sequence(der.oid(oids.SHA256))


@unique
class ResponseStatus(IntEnum):
    """OCSPResponseStatus of unsigned answers (RFC 6960 §4.2.1)."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


def error_response(status: ResponseStatus) -> bytes:
    """Encode an unsigned answer."""
    return der.sequence(der.integer(status, der.ENUMERATED))


@dataclass(frozen=True, slots=True, kw_only=True)
class CertId:
    """Which certificate is asked about; `raw` is the CertID as it was sent, and is sent back."""

    raw: bytes
    hash_oid: str
    name_hash: bytes
    key_hash: bytes
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OcspRequest:
    """A request, read."""

    cert_ids: tuple[CertId, ...]
    nonce: bytes | None


def parse_request(data: bytes) -> OcspRequest:
    """Read a request; InvalidInput (`der-malformed`, `input-too-large`). A signature on it is not checked."""
    if len(data) > MAX_REQUEST_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "OCSP request larger than 8 KiB")
    try:
        return _parse_request(data)
    except IndexError as error:
        raise _refuse("a field is missing") from error


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.DER_MALFORMED, f"OCSP request: {what}")


def _parse_request(data: bytes) -> OcspRequest:
    outer = der.parse(data).sequence()
    if len(outer) > 2 or (len(outer) == 2 and outer[1].tag != 0xA0):
        raise _refuse("unknown fields")
    fields = list(outer[0].sequence())
    if fields[0].tag == 0xA0 and fields.pop(0).inner().integer() != 0:
        raise _refuse("unknown version")
    if fields[0].tag == 0xA1:
        fields.pop(0)  # requestorName: asks for nothing
    requests = fields[0].sequence()
    if not 1 <= len(requests) <= MAX_CERTIFICATES:
        raise _refuse(f"asks about 1 to {MAX_CERTIFICATES} certificates")
    if len(fields) > 2:
        raise _refuse("unknown fields")
    nonce = _request_nonce(fields[1]) if len(fields) == 2 else None
    return OcspRequest(cert_ids=tuple(_cert_id(request) for request in requests), nonce=nonce)


def _cert_id(request: der.Node) -> CertId:
    parts = request.sequence()
    fields = parts[0].sequence()
    if len(parts) > 2 or len(fields) != 4:
        raise _refuse("not a Request")
    if len(parts) == 2:
        extensions = read_extensions(parts[1].expect(0xA0).inner())
        if any(extension.critical for extension in extensions.values()):
            raise _refuse("critical extension of a single request")
    algorithm, name_hash, key_hash, serial = fields
    if len(serial.content) > MAX_SERIAL_OCTETS:
        raise _refuse("serial number too long")
    return CertId(
        raw=parts[0].raw,
        hash_oid=algorithm.sequence()[0].oid(),
        name_hash=name_hash.octets(),
        key_hash=key_hash.octets(),
        serial=serial.integer(),
    )


def _request_nonce(node: der.Node) -> bytes | None:
    if node.tag != 0xA2:
        raise _refuse("unknown fields")
    extensions = read_extensions(node.inner())
    if any(extension.critical and name != OCSP_NONCE for name, extension in extensions.items()):
        raise _refuse("critical extension")
    found = extensions.get(OCSP_NONCE)
    if found is None:
        return None
    nonce = der.parse(found.value).octets()
    if not 1 <= len(nonce) <= MAX_NONCE_OCTETS:
        raise _refuse("nonce of 0 or more than 128 octets")
    return nonce


def names_issuer(cert_id: CertId, issuer: Certificate) -> bool:
    """Whether a CertID means a certificate of `issuer`; SHA-1 and SHA-256 are understood."""
    named = _named_by(cert_id.hash_oid, issuer)
    return named == (cert_id.name_hash, cert_id.key_hash)


@lru_cache(maxsize=64)
def _named_by(hash_oid: str, issuer: Certificate) -> tuple[bytes, bytes] | None:
    hashed = _HASHES.get(hash_oid)
    return None if hashed is None else (hashed(issuer.subject_der), hashed(_key_bits(issuer)))


def _key_bits(certificate: Certificate) -> bytes:
    return der.parse(certificate.spki_der).sequence()[1].bits()


@lru_cache(maxsize=64)
def issuer_prefix(issuer: Certificate) -> bytes:
    """Encode the parts of a SHA-1 CertID that all certificates of `issuer` share; the form that is pre-signed."""
    hashed = _HASHES[oids.SHA1]
    names = der.octet_string(hashed(issuer.subject_der)), der.octet_string(hashed(_key_bits(issuer)))
    return b"".join((_SHA1_ALGORITHM, *names))


# A plain request about one certificate, as nearly all are: OCSPRequest, TBSRequest, requestList, Request and CertID,
# all with short lengths, then the issuer's prefix (55 octets) and the serial number.
REQUEST_PREFIX: Final = slice(10, 65)
REQUEST_HEADS: Final = {
    size: bytes(octet for length in (65, 63, 61, 59, 57) for octet in (der.SEQUENCE, length + size))
    for size in range(1, MAX_SERIAL_OCTETS + 1)
}
"""How such a request begins, by the number of octets of the serial number."""


def usual_cert_id(prefix: bytes, serial: int) -> bytes:
    """Encode the CertID that nearly all clients send: SHA-1 with NULL parameters."""
    return der.sequence(prefix, der.integer(serial))


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleAnswer:
    """The answer about one certificate; `status` None says `unknown`.

    `cert_sha256`: the digest of the certificate that is meant, told as certHash (Common PKI part 4).
    `archive_cutoff`: the status of certificates that expired since then is still told (RFC 6960 §4.4.4).
    """

    cert_id: bytes
    status: Status | None
    this_update: datetime
    next_update: datetime
    cert_sha256: bytes | None = None
    archive_cutoff: datetime | None = None


_time: Final = lru_cache(maxsize=1024)(der.generalized_time)  # of all that is signed together, the times are the same


def _cert_status(status: Status | None) -> bytes:
    if status is None:
        return der.context(2, constructed=False)
    if status.revoked_at is None:
        return der.context(0, constructed=False)
    when = der.generalized_time(status.revoked_at)
    if status.reason is None or status.reason is RevocationReason.UNSPECIFIED:
        return der.context(1, when)
    return der.context(1, when, der.context(0, der.integer(status.reason.code, der.ENUMERATED)))


def _single_response(answer: SingleAnswer) -> bytes:
    return der.sequence(
        answer.cert_id,
        _cert_status(answer.status),
        _time(answer.this_update),
        der.context(0, _time(answer.next_update)),
        _single_extensions(answer),
    )


def _single_extensions(answer: SingleAnswer) -> bytes:
    extensions = []
    if answer.archive_cutoff is not None:
        extensions.append(_extension(OCSP_ARCHIVE_CUTOFF, _time(answer.archive_cutoff)))
    if answer.cert_sha256 is not None:
        value = der.sequence(_SHA256_ALGORITHM, der.octet_string(answer.cert_sha256))
        extensions.append(_extension(CERT_HASH, value))
    return der.context(1, der.sequence(*extensions)) if extensions else b""


def _extension(kind: str, value: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.octet_string(value))


def build_response_data(
    responder: Certificate, answers: Sequence[SingleAnswer], produced_at: datetime, *, nonce: bytes | None = None
) -> bytes:
    """Build the to-be-signed ResponseData; the responder is named by its key (RFC 6960 §4.2.2.3)."""
    extensions = b""
    if nonce is not None:
        extensions = der.context(1, der.sequence(_extension(OCSP_NONCE, der.octet_string(nonce))))
    return der.sequence(
        der.context(2, der.octet_string(responder.spki_sha1)),
        _time(produced_at),
        der.sequence(*(_single_response(answer) for answer in answers)),
        extensions,
    )


def wrap_response(basic_signed: bytes, responder: Certificate) -> bytes:
    """Put a signed ResponseData and its delegate's certificate into an OCSPResponse of status successful.

    `basic_signed` is `SEQUENCE { tbsResponseData, algorithm, signature }`.
    """
    return join_response(der.parse(basic_signed).content, delegate_part(responder.der))


def delegate_part(certificate: bytes) -> bytes:
    """Encode the certificates of a BasicOCSPResponse: the delegate's alone."""
    return der.context(0, der.sequence(certificate))


def join_response(signed: bytes, certificates: bytes) -> bytes:
    """Encode an OCSPResponse of status successful from the content of what was signed and `delegate_part`."""
    basic = der.octet_string(der.sequence(signed, certificates))
    return der.sequence(_SUCCESSFUL, der.context(0, der.sequence(_BASIC_TYPE, basic)))
