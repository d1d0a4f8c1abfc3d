"""Telling holders something: the port behind which a letter, an SMS or the pilot's outbox is.

Who the holder is and where they are reached, the channel looks up by the registration file; a notice itself names
no person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Final, Protocol

from pki.errors import ErrorCode, InvalidInput

REMINDER_DAYS: Final = (90, 30, 7)
MAX_REMINDER_DAYS: Final = 366


def check_reminder_days(days: Sequence[int]) -> tuple[int, ...]:
    """Return kinds of reminders, most days first; InvalidInput for none, twice the same, or out of 1 to 366."""
    ordered = tuple(sorted(days, reverse=True))
    if not ordered or len(set(ordered)) != len(ordered) or not 1 <= ordered[-1] <= ordered[0] <= MAX_REMINDER_DAYS:
        raise InvalidInput(
            ErrorCode.INPUT_MALFORMED, f"reminder_days are different numbers from 1 to {MAX_REMINDER_DAYS}"
        )
    return ordered


@unique
class NoticeKind(StrEnum):
    """What a notice is about."""

    EXPIRY_REMINDER = "expiry-reminder"
    ACTIVATION_CODE = "activation-code"
    SUSPENSION_CODE = "suspension-code"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be told to the holder of a registration file, once for each id.

    An id is 1 to 100 small letters, digits and hyphens.
    """

    id: str
    kind: NoticeKind
    file_id: str
    at: datetime
    facts: Mapping[str, str | int] = field(repr=False)


class Notifier(Protocol):
    """A channel to holders."""

    def send(self, notice: Notice) -> None:
        """Take a notice over; durable on return. A notice whose id was taken over before is not told again.

        Unavailable when the channel does not answer; whoever sends tries again.
        """
