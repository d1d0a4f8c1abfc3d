"""What is said to the keeper of a PIN over its unix sockets. Pure: octets in, octets out.

A message is a length (2 octets, big endian) and as many octets; one request and one answer a connection. A request is
an operation octet and its body, an answer a status octet and its body: the result, or the detail of the refusal. A
PIN is given as its unlock id (16 octets) and the PIN.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any, Final

from hsm.errors import (
    HsmUnavailable,
    PinMalformed,
    ProtocolViolation,
    RoleRefused,
    ShareForeign,
    ShareMalformed,
    ShareRepeated,
    ShareWrong,
)
from pki.errors import InvalidInput, ServiceError
from pki.jose import compact_json, json_object

MAX_MESSAGE_OCTETS: Final = 1024
UNLOCK_ID_OCTETS: Final = 16
LENGTH: Final = struct.Struct("!H")

_MAX_DETAIL_OCTETS: Final = 256


@unique
class KeeperRole(IntEnum):
    """Who may ask: each has a socket of its own, in a folder of this name."""

    CUSTODIAN = 1
    OPERATOR = 2

    @property
    def folder(self) -> str:
        """The name of the folder of the role's socket."""
        return self.name.lower()


@unique
class KeeperOperation(IntEnum):
    """What may be asked: the PIN by custodians, everything else by operators."""

    READ = 1
    STATUS = 2
    UNLOCK = 3
    ADD_SHARE = 4
    FORGET = 5


@unique
class KeeperStatus(IntEnum):
    """How a request ended."""

    DONE = 0
    UNAVAILABLE = 1
    ROLE_REFUSED = 2
    VIOLATION = 3
    SHARE_MALFORMED = 4
    SHARE_WRONG = 5
    SHARE_FOREIGN = 6
    SHARE_REPEATED = 7
    PIN_MALFORMED = 8
    FAILED = 9


_ERRORS: Final[dict[KeeperStatus, Callable[[str], ServiceError]]] = {
    KeeperStatus.UNAVAILABLE: HsmUnavailable,
    KeeperStatus.ROLE_REFUSED: RoleRefused,
    KeeperStatus.VIOLATION: ProtocolViolation,
    KeeperStatus.SHARE_MALFORMED: ShareMalformed,
    KeeperStatus.SHARE_WRONG: ShareWrong,
    KeeperStatus.SHARE_FOREIGN: ShareForeign,
    KeeperStatus.SHARE_REPEATED: ShareRepeated,
    KeeperStatus.PIN_MALFORMED: PinMalformed,
}


def status_of(error: ServiceError) -> KeeperStatus:
    """Return how a request ends that raised `error`."""
    return next((status for status, kind in _ERRORS.items() if kind is type(error)), KeeperStatus.FAILED)


def error_of(answer: memoryview | bytearray) -> ServiceError:
    """Return the error that an answer of another status than DONE tells of."""
    try:
        kind = _ERRORS[KeeperStatus(answer[0])]
        return kind(bytes(answer[1:]).decode())
    except (KeyError, ValueError, IndexError):
        return HsmUnavailable("the keeper refused without a reason that is known here")


def detail_octets(error: ServiceError) -> bytes:
    """Return the detail of a refusal as it travels."""
    return error.detail.encode("utf-8", "replace")[:_MAX_DETAIL_OCTETS].decode("utf-8", "ignore").encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperState:
    """What the keeper says of itself: nothing that is secret.

    `ceremony`, `about` and `threshold` are those of the share set that opens it, if there is one; `missing` is how
    many of its shares are still needed.
    """

    locked: bool
    ceremony: str = ""
    about: str = ""
    threshold: int = 0
    missing: int = 0

    def to_json(self) -> bytes:
        """Write it as the body of an answer."""
        return compact_json(
            {
                "locked": self.locked,
                "ceremony": self.ceremony,
                "about": self.about,
                "threshold": self.threshold,
                "missing": self.missing,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> "KeeperState":
        """Read the body of an answer; HsmUnavailable when it is not one."""
        kinds: dict[str, Any] = {"locked": bool, "ceremony": str, "about": str, "threshold": int, "missing": int}
        try:
            members = json_object(data)
        except InvalidInput as error:
            raise HsmUnavailable("the keeper's answer cannot be read") from error
        if {name: type(value) for name, value in members.items()} != kinds:
            raise HsmUnavailable("the keeper's answer cannot be read")
        return cls(**members)
