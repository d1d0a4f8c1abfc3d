"""What the register of officers gives back: frozen values, never rows."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique

from ca.officers.identity import Role
from ca.officers.scopes import EVERYTHING, Scope


@unique
class OfficerState(StrEnum):
    """Whether an officer may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@unique
class RequestState(StrEnum):
    """Where a request for a role is."""

    REQUESTED = "requested"
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role that an officer holds in a realm and everything below it, over a scope."""

    role: Role
    realm: str
    scope: Scope = EVERYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficerRecord:
    """One officer of the register."""

    id: str
    name: str = field(repr=False)
    national_code: str | None = field(repr=False)
    realm: str
    state: OfficerState
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRequest:
    """A role that one administrator asked for an officer, and what another decided."""

    id: str
    officer: str
    grant: Grant
    state: RequestState
    requested_by: str
    requested_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundCertificate:
    """A certificate that an officer proves to be themself by, with its row in the register of certificates."""

    officer: str
    state: str
    not_before: datetime
    not_after: datetime
    der: bytes = field(repr=False)
