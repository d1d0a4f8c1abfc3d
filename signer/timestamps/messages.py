"""The messages of RFC 3161: requests and responses, read strictly and written as DER."""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput
from signer.errors import TimestampInvalid, TimestampUnavailable

MAX_REQUEST_OCTETS: Final = 4096
MAX_RESPONSE_OCTETS: Final = 65_536
MAX_NONCE_OCTETS: Final = 32

# SHA-1 and shorter are not in it: they are refused with bad-alg (ETSI EN 319 422 §5.1.3, TS 119 312).
IMPRINT_OCTETS: Final = {oids.SHA256: 32, oids.SHA384: 48, oids.SHA512: 64}


@unique
class Status(IntEnum):
    """PKIStatus values that a time-stamping authority uses (RFC 3161 §2.4.2)."""

    GRANTED = 0
    GRANTED_WITH_MODS = 1
    REJECTION = 2


@unique
class Failure(IntEnum):
    """Bits of PKIFailureInfo (RFC 3161 §2.4.2)."""

    BAD_ALGORITHM = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    ADDITIONAL_INFORMATION_NOT_AVAILABLE = 17
    SYSTEM_FAILURE = 25

    @property
    def words(self) -> str:
        """The bit's name as people read it."""
        return self.name.lower().replace("_", " ")


_TEMPORARY: Final = frozenset({Failure.TIME_NOT_AVAILABLE, Failure.SYSTEM_FAILURE})


class RequestRefused(InvalidInput):
    """A request that the authority answers with a rejection."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(ErrorCode.INPUT_MALFORMED, detail)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampRequest:
    """A TimeStampReq. `imprint_der` is its MessageImprint exactly as it came, which the token repeats."""

    imprint_der: bytes
    policy: str | None
    nonce: int | None
    certificates: bool


def _imprint(digest: bytes) -> bytes:
    return der.sequence(der.sequence(der.oid(oids.SHA256)), der.octet_string(digest))


def build_request(digest_sha256: bytes, nonce: int) -> bytes:
    """Encode a request for a token over `digest_sha256` that carries its certificates."""
    with_certificates = True
    return der.sequence(der.integer(1), _imprint(digest_sha256), der.integer(nonce), der.boolean(with_certificates))


def parse_request(data: bytes) -> TimestampRequest:
    """Read a TimeStampReq; RequestRefused with the failure bit that the answer shall carry."""
    if len(data) > MAX_REQUEST_OCTETS:
        raise RequestRefused(Failure.BAD_DATA_FORMAT, "request too large")
    try:
        return _parse_request(data)
    except RequestRefused:
        raise
    except InvalidInput as error:
        raise RequestRefused(Failure.BAD_DATA_FORMAT, error.detail) from error


def _parse_request(data: bytes) -> TimestampRequest:
    fields = list(der.parse(data).sequence())
    if len(fields) < 2 or fields[0].integer() != 1:
        raise RequestRefused(Failure.BAD_REQUEST, "not a version 1 request")
    imprint = fields[1]
    _check_imprint(imprint)
    rest = fields[2:]
    policy = rest.pop(0).oid() if rest and rest[0].tag == der.OID else None
    nonce = _nonce(rest.pop(0)) if rest and rest[0].tag == der.INTEGER else None
    certificates = rest.pop(0).boolean() if rest and rest[0].tag == der.BOOLEAN else False
    if rest and rest[0].tag == 0xA0:
        raise RequestRefused(Failure.UNACCEPTED_EXTENSION, "no extension is supported")
    if rest:
        raise RequestRefused(Failure.BAD_DATA_FORMAT, "unknown field")
    return TimestampRequest(imprint_der=imprint.raw, policy=policy, nonce=nonce, certificates=certificates)


def _nonce(node: der.Node) -> int:
    if len(node.content) > MAX_NONCE_OCTETS:
        raise RequestRefused(Failure.BAD_DATA_FORMAT, "nonce too long")
    return node.integer()


def _check_imprint(imprint: der.Node) -> None:
    parts = imprint.sequence()
    if len(parts) != 2:
        raise RequestRefused(Failure.BAD_DATA_FORMAT, "message imprint of two fields expected")
    algorithm = parts[0].sequence()
    size = IMPRINT_OCTETS.get(algorithm[0].oid()) if algorithm else None
    if size is None:
        raise RequestRefused(Failure.BAD_ALGORITHM, "SHA-256, SHA-384 or SHA-512 expected")
    if len(algorithm) > 2 or (len(algorithm) == 2 and algorithm[1].raw != der.null()):
        raise RequestRefused(Failure.BAD_ALGORITHM, "hash with parameters")
    if len(parts[1].octets()) != size:
        raise RequestRefused(Failure.BAD_DATA_FORMAT, "digest of the wrong length")


def build_granted(token: bytes) -> bytes:
    """Encode a TimeStampResp that grants `token`."""
    return der.sequence(der.sequence(der.integer(Status.GRANTED)), token)


def build_rejection(failure: Failure, text: str) -> bytes:
    """Encode a TimeStampResp that refuses, with a failure bit and a sentence."""
    octets = bytearray(failure // 8 + 1)
    octets[-1] = 0x80 >> failure % 8
    unused = 7 - failure % 8
    bits = der.tlv(der.BIT_STRING, bytes((unused,)), bytes(octets))
    return der.sequence(der.sequence(der.integer(Status.REJECTION), der.sequence(der.utf8(text)), bits))


def read_response(data: bytes, digest_sha256: bytes, nonce: int) -> bytes:
    """Return the token of a TimeStampResp that answers exactly this request.

    TimestampInvalid when it is malformed, refused for good, or speaks of other data or another request;
    TimestampUnavailable when the authority cannot serve now. The token's signature is the verifier's.
    """
    try:
        return _read_response(data, digest_sha256, nonce)
    except (InvalidInput, ValueError, IndexError) as error:
        raise TimestampInvalid("the answer is malformed") from error


def _read_response(data: bytes, digest_sha256: bytes, nonce: int) -> bytes:
    fields = der.parse(data).sequence()
    status = fields[0].sequence() if fields else ()
    if not status:
        raise TimestampInvalid("the answer has no status")
    if status[0].integer() not in (Status.GRANTED, Status.GRANTED_WITH_MODS):
        raise _refusal(status)
    if len(fields) != 2:
        raise TimestampInvalid("granted without a token")
    info = _token_info(fields[1])
    algorithm, digest = info[2].sequence()
    if algorithm.sequence()[0].oid() != oids.SHA256 or digest.octets() != digest_sha256:
        raise TimestampInvalid("the token is over other data")
    if not any(field.tag == der.INTEGER and field.integer() == nonce for field in info[5:]):
        raise TimestampInvalid("the token answers another request")
    return fields[1].raw


def _refusal(status: tuple[der.Node, ...]) -> TimestampInvalid | TimestampUnavailable:
    bits = next((field.bit_set() for field in status[1:] if field.tag == der.BIT_STRING), frozenset())
    failures = [failure for failure in Failure if failure in bits]
    words = ", ".join(failure.words for failure in failures) or "no reason"
    if bits & _TEMPORARY:
        return TimestampUnavailable(f"refused: {words}")
    return TimestampInvalid(f"refused: {words}")


def _token_info(token: der.Node) -> tuple[der.Node, ...]:
    """Read the TSTInfo fields of a token: version, policy, imprint, serial, time, then optional ones."""
    kind, wrapped = token.sequence()
    if kind.oid() != oids.CMS_SIGNED_DATA:
        raise TimestampInvalid("the token is not SignedData")
    encapsulated = wrapped.expect(0xA0).inner().sequence()[2].sequence()
    if len(encapsulated) != 2 or encapsulated[0].oid() != oids.TST_INFO:
        raise TimestampInvalid("the token holds no TSTInfo")
    info = der.parse(encapsulated[1].inner().octets()).sequence()
    if len(info) < 5 or info[0].integer() != 1:
        raise TimestampInvalid("TSTInfo is not version 1")
    return info
