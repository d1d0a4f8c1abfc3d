"""Telling holders something: the port behind which a letter, an SMS or the pilot's outbox is.

Who the holder is and where they are reached, the channel looks up by the registration file; a notice itself names
no person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol


@unique
class NoticeKind(StrEnum):
    """What a notice is about."""

    EXPIRY_REMINDER = "expiry-reminder"
    ACTIVATION_CODE = "activation-code"


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
