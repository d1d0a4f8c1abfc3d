"""What each part of the service says of itself, and the one answer drawn from it.

"Does not answer" (`silent`) and "answers that it is down" are different states and stay different.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from threading import Lock
from typing import Any, Final

from pki.clock import Clock

CACHE_AGE: Final = timedelta(seconds=1)


@unique
class PartState(StrEnum):
    """How one part is."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """One part: its name, its state and since when; `note` is one short phrase without personal data.

    `vital` parts are those without which care cannot go on.
    """

    name: str
    state: PartState
    since: datetime | None = None
    note: str = ""
    vital: bool = True

    def as_json(self) -> dict[str, Any]:
        """Write the part as the members of `/healthz`."""
        return {
            "state": self.state.value,
            "since": None if self.since is None else self.since.isoformat().replace("+00:00", "Z"),
            "vital": self.vital,
            **({"note": self.note} if self.note else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """All parts at one instant."""

    at: datetime
    parts: tuple[PartHealth, ...]

    @property
    def state(self) -> PartState:
        """The service as a whole: down with a vital part, degraded with any other trouble."""
        if any(part.vital and part.state in (PartState.DOWN, PartState.SILENT) for part in self.parts):
            return PartState.DOWN
        if any(part.state is not PartState.OK for part in self.parts):
            return PartState.DEGRADED
        return PartState.OK

    def as_json(self) -> dict[str, Any]:
        """Write the report as the body of `/healthz`."""
        return {
            "state": self.state.value,
            "at": self.at.isoformat().replace("+00:00", "Z"),
            "parts": {part.name: part.as_json() for part in self.parts},
        }


class CachedHealth:
    """Ask the parts at most once per `CACHE_AGE`, whoever asks how often.

    The lock owns both fields; a second caller waits for the first one's answer.
    """

    def __init__(self, check: Callable[[], HealthReport], clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._lock = Lock()
        self._report: HealthReport | None = None

    def __call__(self) -> HealthReport:
        """Return a report at most one second old."""
        with self._lock:
            now = self._clock.now()
            if self._report is None or not (timedelta(0) <= now - self._report.at < CACHE_AGE):
                self._report = self._check()
            return self._report
