"""What suspension by the holder gives back, frozen values without a code in any, and the door that acts share."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from ca.records import CertificateRecord

TRIES_LAST: Final = timedelta(hours=1)


class StatusDoor(Protocol):
    """Where new statuses are made known."""

    def presign_now(self, record: CertificateRecord) -> None:
        """Make a new status known; never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspensionCode:
    """The suspension code of a registration file's holder; `sent_at` None until it is under way."""

    name: str = field(repr=False)
    file_id: str
    made_by: str
    made_at: datetime
    sendings: int
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """What a code suspended at `at`: `changed` now, `before` what was on hold or not activated already."""

    file_id: str
    at: datetime
    changed: tuple[CertificateRecord, ...]
    before: tuple[CertificateRecord, ...]
