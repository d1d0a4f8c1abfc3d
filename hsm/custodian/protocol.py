"""What client and custodian say to each other over a unix socket. Pure: octets in, octets out.

A frame is a length (4 octets, big endian) and as many octets. A request is version, operation, length of
label (an octet each), label, body. A body of more than a mebibyte travels beside its frame, as a sealed memory
file whose descriptor comes with the frame's octets; the operation's high bit says so. An answer is a status
octet and a body: the result, or for a refusal its error code, a line feed and its detail. Several items in one
body have a 4-octet length each. Answers come in the order of the requests.

Public keys travel as DER SubjectPublicKeyInfo, signatures in their X.509 encoding, lists as JSON.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum, unique
from typing import Final, NamedTuple, Protocol

from hsm.errors import (
    HsmUnavailable,
    KeyAbsent,
    KeyExists,
    KeyMismatch,
    KeyNotFound,
    MechanismRefused,
    PinIncorrect,
    ProtocolViolation,
    PurposeRefused,
    RateExceeded,
    RoleRefused,
)
from hsm.framing import frame
from hsm.provider import MAX_LABEL_OCTETS
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError, Unavailable

VERSION: Final = 1
MAX_FRAME_OCTETS: Final = 2 * 1024 * 1024
MAX_ANSWER_OCTETS: Final = 4 * 1024 * 1024  # 4096 signatures of RSA-4096
MAX_ITEMS: Final = 4096
MAX_DETAIL_OCTETS: Final = 1024

_LENGTH: Final = struct.Struct("!I")
_HEADER: Final = struct.Struct("!BBB")


@unique
class Operation(IntEnum):
    """What may be asked of a custodian."""

    HEALTH = 1
    KEYS = 2
    PUBLIC_KEY = 3
    SIGN = 4
    SIGN_BATCH = 5
    GENERATE = 6
    SET_ISSUER = 7
    SIGN_DIGESTS = 8
    SIGN_CONTENT = 9
    ADOPT = 10
    PROVE = 11
    ATTRIBUTES = 12
    JOURNAL = 13
    JOURNAL_RELEASE = 14
    USES = 15
    ACCEPT_CLOCK = 16


@unique
class Status(IntEnum):
    """How a request ended: done, or the class of its error."""

    DONE = 0
    INVALID_INPUT = 1
    NOT_ALLOWED = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNAVAILABLE = 5
    INTERNAL = 6
    KEY_MISMATCH = 7
    KEY_ABSENT = 8


class Request(NamedTuple):
    """One request. A NamedTuple because one is made for every signature; `sealed`: the body is in a memory file."""

    operation: Operation
    label: str
    body: bytes
    sealed: bool = False


_STATUS_OF: Final = (
    (Unavailable, Status.UNAVAILABLE),
    (InvalidInput, Status.INVALID_INPUT),
    (NotAllowed, Status.NOT_ALLOWED),
    (NotFound, Status.NOT_FOUND),
    (Conflict, Status.CONFLICT),
)
_ERROR_OF: Final = {status: kind for kind, status in _STATUS_OF}
_OF_A_KEY: Final = ((KeyMismatch, Status.KEY_MISMATCH), (KeyAbsent, Status.KEY_ABSENT))
_NAMED_ERRORS: Final[Mapping[tuple[Status, ErrorCode], Callable[[str], ServiceError]]] = {
    (Status.KEY_MISMATCH, ErrorCode.HSM_UNAVAILABLE): KeyMismatch,
    (Status.KEY_ABSENT, ErrorCode.HSM_UNAVAILABLE): KeyAbsent,
    (Status.UNAVAILABLE, ErrorCode.HSM_UNAVAILABLE): HsmUnavailable,
    (Status.UNAVAILABLE, ErrorCode.HSM_RATE_EXCEEDED): RateExceeded,
    (Status.NOT_FOUND, ErrorCode.HSM_KEY_NOT_FOUND): KeyNotFound,
    (Status.CONFLICT, ErrorCode.HSM_KEY_EXISTS): KeyExists,
    (Status.NOT_ALLOWED, ErrorCode.HSM_PURPOSE_REFUSED): PurposeRefused,
    (Status.NOT_ALLOWED, ErrorCode.HSM_PIN_INCORRECT): PinIncorrect,
    (Status.NOT_ALLOWED, ErrorCode.NOT_ALLOWED): RoleRefused,
    (Status.INVALID_INPUT, ErrorCode.KEY_REFUSED): MechanismRefused,
    (Status.INVALID_INPUT, ErrorCode.HSM_PROTOCOL): ProtocolViolation,
}
_SEALED: Final = 0x80
_OPERATIONS: Final = {
    operation.value | flag: (operation, bool(flag)) for operation in Operation for flag in (0, _SEALED)
}


def encode_request(operation: Operation, label: str = "", body: bytes = b"") -> bytes:
    """Write a request as a whole frame."""
    return frame(_head(operation, label) + body, MAX_FRAME_OCTETS)


def encode_sealed_request(operation: Operation, label: str) -> bytes:
    """Write the frame of a request whose body travels as a sealed memory file."""
    return frame(_head(operation | _SEALED, label), MAX_FRAME_OCTETS)


def _head(number: int, label: str) -> bytes:
    name = label.encode()
    if len(name) > MAX_LABEL_OCTETS:
        raise KeyNotFound("no label is that long")
    return _HEADER.pack(VERSION, number, len(name)) + name


def decode_request(payload: bytes) -> Request:
    """Read a request; ProtocolViolation when it is not one."""
    if len(payload) < 3:
        raise ProtocolViolation("truncated request")
    version, number, size = _HEADER.unpack_from(payload)
    known = _OPERATIONS.get(number)
    if version != VERSION or known is None or size > MAX_LABEL_OCTETS or len(payload) < 3 + size:
        raise ProtocolViolation("unknown version, operation or label")
    operation, sealed = known
    if sealed and len(payload) > 3 + size:
        raise ProtocolViolation("a body both in the frame and beside it")
    try:
        return Request(operation, payload[3 : 3 + size].decode("ascii"), payload[3 + size :], sealed)
    except UnicodeDecodeError as error:
        raise ProtocolViolation("the label is not ASCII") from error


def takes_descriptor(payload: bytes) -> bool:
    """Tell whether the body of a request, well-formed or not, is said to travel beside its frame."""
    return len(payload) > 1 and payload[1] & _SEALED != 0


def encode_result(body: bytes) -> bytes:
    """Write the answer to a request that was done, as a whole frame."""
    return frame(b"\x00" + body, MAX_ANSWER_OCTETS)


def encode_error(error: ServiceError) -> bytes:
    """Write the answer to a request that was refused, as a whole frame."""
    kinds = (*_OF_A_KEY, *_STATUS_OF)
    status = next((status for kind, status in kinds if isinstance(error, kind)), Status.INTERNAL)
    detail = error.detail.encode("utf-8", "replace")[:MAX_DETAIL_OCTETS]
    return frame(bytes((status,)) + error.code.encode() + b"\n" + detail, MAX_ANSWER_OCTETS)


def decode_answer(payload: bytes) -> bytes:
    """Return the body of an answer, or raise the error it tells of."""
    if not payload:
        raise HsmUnavailable("the custodian sent an empty answer")
    if payload[0] == Status.DONE:
        return payload[1:]
    name, _, detail = payload[1:].decode("utf-8", "replace").partition("\n")
    try:
        status, code = Status(payload[0]), ErrorCode(name)
    except ValueError as error:
        raise HsmUnavailable("the custodian sent an unknown answer") from error
    named = _NAMED_ERRORS.get((status, code))
    if named is not None:
        raise named(detail)
    raise _ERROR_OF.get(status, ServiceError)(code, detail)


def pack_items(items: Iterable[bytes]) -> bytes:
    """Write several items into one body."""
    return b"".join([_LENGTH.pack(len(item)) + item for item in items])


class Octets(Protocol):
    """Octets of which parts can be had: bytes, or a memory file that is read on demand."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, part: slice, /) -> bytes:
        """Return some of them."""
        ...


def item_spans(body: Octets) -> list[slice]:
    """Find the items of a body; ProtocolViolation when they do not fill it or are more than 4096."""
    spans: list[slice] = []
    offset, end = 0, len(body)
    while offset < end:
        if len(spans) == MAX_ITEMS or offset + 4 > end:
            raise ProtocolViolation("too many items, or a truncated one")
        (length,) = _LENGTH.unpack(body[offset : offset + 4])
        offset += 4 + length
        if offset > end:
            raise ProtocolViolation("an item longer than its body")
        spans.append(slice(offset - length, offset))
    return spans


def unpack_items(body: bytes) -> tuple[bytes, ...]:
    """Read the items of a body; ProtocolViolation as for `item_spans`."""
    return tuple([body[span] for span in item_spans(body)])
