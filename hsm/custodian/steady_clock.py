"""The custodian's own clock: what it dates and judges by never runs backwards unseen."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from hsm.errors import HsmUnavailable
from pki.clock import Clock

TOLERANCE: Final = timedelta(seconds=2)


class SteadyClock:
    """A clock that is compared with the monotonic one, and with the last instant that was written down."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float], written: datetime | None) -> None:
        """Take the journal's latest instant as `written`: a clock that is behind it was set back meanwhile."""
        self._clock, self._monotonic = clock, monotonic
        self._written = written
        self._latest, self._at = clock.now(), monotonic()

    def now(self) -> datetime:
        """Return the current instant, aware UTC; HsmUnavailable while the clock is behind by more than 2 s."""
        now, at = self._clock.now(), self._monotonic()
        expected = self._latest + timedelta(seconds=at - self._at)
        if now < expected - TOLERANCE:
            raise HsmUnavailable("the clock ran backwards; nothing is signed until it has caught up")
        if self._written is not None:
            if now < self._written - TOLERANCE:
                raise HsmUnavailable("the clock is behind the journal's last entry; nothing is signed until then")
            self._written = None
        if now > expected:
            self._latest, self._at = now, at
        return now
