"""The three things a status source can say, as values."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pki.certificates import Certificate
from pki.errors import ServiceError

CLOCK_SKEW: Final = timedelta(minutes=5)

# CRLReason (RFC 5280 §5.3.1)
REASONS: Final = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """Not revoked at `this_update`. `expired_since`: entries of certificates that expired after it are kept.

    `drawn_from` is the DER of the lists or the response that say so, where they travel in the file.
    """

    origin: str
    this_update: datetime
    next_update: datetime | None
    signer: Certificate
    hash_oid: str | None
    expired_since: datetime | None = None
    drawn_from: tuple[bytes, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Revoked (or on hold, by `reason`) at `revoked_at`; `invalid_since` is the declared invalidity date.

    `drawn_from` as for `Good`.
    """

    origin: str
    this_update: datetime
    next_update: datetime | None
    signer: Certificate
    hash_oid: str | None
    revoked_at: datetime
    reason: str = "unspecified"
    invalid_since: datetime | None = None
    drawn_from: tuple[bytes, ...] = field(default=(), repr=False, compare=False)

    @property
    def on_hold(self) -> bool:
        """Whether this is a suspension."""
        return self.reason == "certificateHold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """No usable answer, and why."""

    origin: str
    detail: str


StatusAnswer = Good | Revoked | Silent


def unreadable(error: Exception) -> str:
    """Say why a piece of evidence could not be read."""
    return error.detail if isinstance(error, ServiceError) else "unreadable"
