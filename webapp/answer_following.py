"""A thread of each server process by which no stored OCSP answer outlives what the rows say by more than a moment."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from pki.errors import ServiceError

SECONDS: Final = 0.5
LOGGER: Final = logging.getLogger("mohr.answers")


def follow_in_background(
    follow: Callable[[], object], *, seconds: float = SECONDS, stopping: threading.Event | None = None
) -> threading.Thread:
    """Have the feed of status changes followed every half second until `stopping`, or for as long as this process runs.

    Requests never wait for it: while the database is silent, what was stored before goes on being answered.
    """
    told = threading.Event() if stopping is None else stopping
    thread = threading.Thread(target=_follow_until, args=(told, follow, seconds), name="answers", daemon=True)
    thread.start()
    return thread


def _follow_until(stopping: threading.Event, follow: Callable[[], object], seconds: float) -> None:
    failing = ""
    while not stopping.is_set():
        try:
            follow()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next round may succeed
            failing = _told_once(error, failing)
        else:
            failing = ""
        stopping.wait(seconds)


def _told_once(error: Exception, failing: str) -> str:
    """Log a failure unless it is the one that was logged last; return its name."""
    code = str(error.code) if isinstance(error, ServiceError) else type(error).__name__
    if code != failing:
        faulty = None if isinstance(error, ServiceError) else error
        LOGGER.warning("status changes are not followed", extra={"fields": {"code": code}}, exc_info=faulty)
    return code
