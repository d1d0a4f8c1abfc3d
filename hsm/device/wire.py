"""What a custodian's front and its device process say to each other. Pure: octets in, octets out.

Frames (`hsm.framing`) over a socket pair, answered in their order. The first frame is the order, JSON. A
request after it is an operation octet and a body; an answer is a status octet and a body: the result, or an
error's number and detail. Before a login, the process sends a notice, which answers nothing.

A signing body is algorithm number, length of reference, reference, then the size of the inputs (4 octets,
big endian) and the inputs; size 0 means that each has a size of its own before it. Its result is the values,
which are all of one size.
"""

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum, unique
from typing import Any, Final

from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    MechanismRefused,
    PinIncorrect,
    ProtocolViolation,
    SessionLost,
)
from pki.errors import InvalidInput, ServiceError
from pki.jose import compact_json, json_object
from pki.keys import SignatureAlgorithm

MAX_FRAME_OCTETS: Final = 4 * 1024 * 1024
MAX_DETAIL_OCTETS: Final = 1024

_SIZE: Final = struct.Struct("!I")
_KEY: Final = struct.Struct("!BBB")
_ALGORITHMS: Final = tuple(SignatureAlgorithm)
_NUMBERS: Final = {algorithm: number for number, algorithm in enumerate(_ALGORITHMS)}

_Kinds = tuple[type[HsmUnavailable] | type[MechanismRefused] | type[PinIncorrect] | type[ConfigurationInvalid], ...]
# From the particular to the general: an error travels as the first of these that it is.
_ERRORS: Final[_Kinds] = (
    KeyAbsent,
    DeviceLost,
    SessionLost,
    KeyMismatch,
    MechanismRefused,
    PinIncorrect,
    ConfigurationInvalid,
    HsmUnavailable,
)


@unique
class DeviceOperation(IntEnum):
    """What may be asked of a device process."""

    OPEN = 1
    SIGN = 2
    PUBLIC_KEY = 3
    GENERATE = 4
    ATTRIBUTES = 5


@unique
class DeviceStatus(IntEnum):
    """What an answer is; a notice tells whether the PIN of the login that begins is known to be good."""

    DONE = 0
    FAILED = 1
    NOTICE_PIN_NEW = 2
    NOTICE_PIN_KNOWN = 3


NOTICE_PIN_NEW: Final = bytes((DeviceStatus.NOTICE_PIN_NEW,))
NOTICE_PIN_KNOWN: Final = bytes((DeviceStatus.NOTICE_PIN_KNOWN,))


# --- requests -------------------------------------------------------------------------------------


def encode_sign(reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes]) -> bytes:
    """Write a request for signatures; ProtocolViolation for a reference of more than 255 octets."""
    size = len(inputs[0]) if len(inputs) == 1 else _common_size(inputs)
    body = b"".join(inputs if size else (_SIZE.pack(len(item)) + item for item in inputs))
    return _key(DeviceOperation.SIGN, reference, algorithm) + _SIZE.pack(size) + body


def _common_size(inputs: Sequence[bytes]) -> int:
    sizes = set(map(len, inputs))
    return sizes.pop() if len(sizes) == 1 else 0


def encode_public_key(reference: bytes, algorithm: SignatureAlgorithm) -> bytes:
    """Write a request for a public key."""
    return _key(DeviceOperation.PUBLIC_KEY, reference, algorithm)


def _key(operation: DeviceOperation, reference: bytes, algorithm: SignatureAlgorithm) -> bytes:
    if len(reference) > 255:
        raise ProtocolViolation("a key's reference has at most 255 octets")
    return _KEY.pack(operation, _NUMBERS[algorithm], len(reference)) + reference


def read_key(request: bytes) -> tuple[bytes, SignatureAlgorithm, int]:
    """Read reference and algorithm of a request, and where its rest begins."""
    _, number, size = _KEY.unpack_from(request)
    return request[3 : 3 + size], _ALGORITHMS[number], 3 + size


def read_inputs(request: bytes, offset: int) -> list[bytes]:
    """Read the inputs of a signing request, whose size is at `offset`."""
    (size,) = _SIZE.unpack_from(request, offset)
    offset += 4
    if size:
        return [request[start : start + size] for start in range(offset, len(request), size)]
    inputs = []
    while offset < len(request):
        (size,) = _SIZE.unpack_from(request, offset)
        offset += 4 + size
        inputs.append(request[offset - size : offset])
    return inputs


def encode_open() -> bytes:
    """Write a request to open the device."""
    return bytes((DeviceOperation.OPEN,))


def encode_generate(label: str, algorithm: SignatureAlgorithm, rsa_bits: int) -> bytes:
    """Write a request for a key pair."""
    return bytes((DeviceOperation.GENERATE,)) + compact_json(
        {"label": label, "algorithm": algorithm, "rsa_bits": rsa_bits}
    )


def read_wish(request: bytes) -> tuple[str, SignatureAlgorithm, int]:
    """Read label, algorithm and bits of a request for a key pair."""
    wish = json_object(request[1:])
    return wish["label"], SignatureAlgorithm(wish["algorithm"]), wish["rsa_bits"]


def encode_attributes(reference: bytes) -> bytes:
    """Write a request for what the device says of a key."""
    return bytes((DeviceOperation.ATTRIBUTES,)) + reference


# --- answers --------------------------------------------------------------------------------------


def encode_values(values: Sequence[bytes]) -> bytes:
    """Write the answer to a signing request."""
    return b"\x00" + b"".join(values)


def encode_done(body: bytes = b"") -> bytes:
    """Write the answer to any other request that was done."""
    return b"\x00" + body


def encode_generated(reference: bytes, spki_der: bytes) -> bytes:
    """Write the answer to a request for a key pair."""
    return encode_done(bytes((len(reference),)) + reference + spki_der)


def read_generated(answer: bytes) -> tuple[bytes, bytes]:
    """Read reference and DER SubjectPublicKeyInfo of a new key pair; ProtocolViolation."""
    end = 2 + answer[1] if len(answer) > 1 else 0
    if not 2 < end < len(answer):
        raise ProtocolViolation("the device process gave no key pair")
    return answer[2:end], answer[end:]


def encode_failure(error: ServiceError) -> bytes:
    """Write the answer to a request that failed; an error of another kind is HsmUnavailable over there."""
    number = next((number for number, kind in enumerate(_ERRORS) if isinstance(error, kind)), len(_ERRORS) - 1)
    detail = error.detail.encode("utf-8", "replace")[:MAX_DETAIL_OCTETS]
    return bytes((DeviceStatus.FAILED, number)) + detail


def read_failure(answer: bytes) -> ServiceError:
    """Read the error of an answer whose status is FAILED; ProtocolViolation for one that is not known."""
    if len(answer) < 2 or answer[1] >= len(_ERRORS):
        raise ProtocolViolation("the device process told of an unknown error")
    return _ERRORS[answer[1]](answer[2:].decode("utf-8", "replace"))


def read_values(answer: bytes, count: int) -> list[bytes]:
    """Read `count` values of one size out of an answer that is DONE; ProtocolViolation when it has not so many."""
    if not count:
        return []
    if count == 1 and len(answer) > 1:
        return [answer[1:]]
    size, rest = divmod(len(answer) - 1, count)
    if rest or not size:
        raise ProtocolViolation("the device process gave signatures of different sizes")
    return [answer[start : start + size] for start in range(1, len(answer), size)]


def read_body(answer: bytes) -> bytes:
    """Return what an answer that is DONE holds."""
    return answer[1:]


def read_members(answer: bytes) -> Mapping[str, Any]:
    """Read the JSON object of an answer that is DONE; ProtocolViolation."""
    try:
        return json_object(answer[1:])
    except InvalidInput as error:
        raise ProtocolViolation("the device process gave an answer of another form") from error
