"""A connection token and the states it goes through: one table, everything else is refused.

    requested → approved → active ⇄ suspended;  any of these → terminated

Suspension has two causes that do not cure each other: a failed light, and a hold by a person. The token is
active only while neither is there.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from ca.registration import KeyStorage
from pki.errors import Conflict, ErrorCode
from pki.identity import SiamId


@unique
class TokenKind(StrEnum):
    """What a token connects to."""

    HIX = "hix"


@unique
class TokenState(StrEnum):
    """Where a connection token is in its life."""

    REQUESTED = "requested"
    APPROVED = "approved"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"


@unique
class TokenAct(StrEnum):
    """What can be done to a connection token."""

    APPROVE = "approve"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESTORE = "restore"
    TERMINATE = "terminate"


_S = TokenState
TRANSITIONS: Final[dict[tuple[TokenState, TokenAct], TokenState]] = {
    (_S.REQUESTED, TokenAct.APPROVE): _S.APPROVED,
    (_S.APPROVED, TokenAct.ACTIVATE): _S.ACTIVE,
    (_S.ACTIVE, TokenAct.SUSPEND): _S.SUSPENDED,
    (_S.SUSPENDED, TokenAct.RESTORE): _S.ACTIVE,
    (_S.REQUESTED, TokenAct.TERMINATE): _S.TERMINATED,
    (_S.APPROVED, TokenAct.TERMINATE): _S.TERMINATED,
    (_S.ACTIVE, TokenAct.TERMINATE): _S.TERMINATED,
    (_S.SUSPENDED, TokenAct.TERMINATE): _S.TERMINATED,
}


def next_state(state: TokenState, act: TokenAct) -> TokenState:
    """Return the state after `act`; Conflict (`state-illegal`) when the table has no such step."""
    found = TRANSITIONS.get((state, act))
    if found is None:
        raise Conflict(ErrorCode.STATE_ILLEGAL, f"{act} of a connection token that is {state}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A suspension by a person; cured lights do not lift it."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundCertificate:
    """The certificate that a connection token works with. `key_id` is the RFC 7638 thumbprint of its key."""

    serial: str
    sha256: bytes
    not_after: datetime
    key_id: str
    spki: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionToken:
    """The right of one system of one centre to connect; its id is also the OAuth client id."""

    id: str
    kind: TokenKind
    siam_id: SiamId
    system_id: str
    medium: KeyStorage
    state: TokenState
    requested_by: str
    requested_at: datetime
    changed_at: datetime
    hold: Hold | None = None
    certificate: BoundCertificate | None = None
