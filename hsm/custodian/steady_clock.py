"""The custodian's own clock: what it dates and judges by never runs backwards but on an operator's word."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from hsm.errors import HsmUnavailable
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput

TOLERANCE: Final = timedelta(seconds=2)
PATIENCE: Final = timedelta(seconds=30)  # from when a clock was read until it is accepted


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

    def accept(self, read: datetime) -> datetime:
        """Believe the clock as it is now, whatever was written before; return that instant.

        `read` is what the operator who accepts it saw; InvalidInput when the clock says something else, so that a
        request of another time moves nothing.
        """
        now = self._clock.now()
        if abs(now - read) > PATIENCE:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "this machine's clock says something else")
        self._latest, self._at, self._written = now, self._monotonic(), None
        return now
