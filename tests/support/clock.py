"""A clock that stands still until it is moved."""

from datetime import datetime, timedelta

from tests.support.pki import NOW


class FakeClock:
    """Tells the time it was set to."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def advance(self, **parts: float) -> None:
        """Move by a timedelta's parts; negative ones go back."""
        self.time += timedelta(**parts)
