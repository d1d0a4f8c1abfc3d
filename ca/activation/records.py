"""What activation gives back: frozen values; no code is ever in one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique

from ca.holder_codes.records import MAX_TRIES
from ca.records import CertificateRecord


@unique
class ActivationState(StrEnum):
    """Where an activation stands."""

    UNSENT = "unsent"
    OPEN = "open"
    LOCKED = "locked"
    EXPIRED = "expired"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """The activation of what waits for the holder of one registration file; `sent_at` None until both codes are."""

    id: str
    file_id: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    tries: int
    sendings: int
    sent_at: datetime | None
    done_at: datetime | None

    def state(self, now: datetime) -> ActivationState:
        """Tell where it stands at an instant."""
        if self.done_at is not None:
            return ActivationState.DONE
        if self.sent_at is None:
            return ActivationState.UNSENT
        if self.tries >= MAX_TRIES:
            return ActivationState.LOCKED
        return ActivationState.EXPIRED if now >= self.expires_at else ActivationState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Activated:
    """What codes made good; `repeated` when they had done so before."""

    activation_id: str
    file_id: str
    certificates: tuple[CertificateRecord, ...]
    repeated: bool = False
