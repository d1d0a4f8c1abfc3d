"""Where "now" comes from. The real clock is made in composition roots alone."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tell the time as an aware UTC instant."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...
