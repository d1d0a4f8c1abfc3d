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
        code = _failure_of(follow)
        if code and code != failing:
            LOGGER.warning("status changes are not followed", extra={"fields": {"code": code}})
        failing = code
        stopping.wait(seconds)


def _failure_of(follow: Callable[[], object]) -> str:
    try:
        follow()
    except ServiceError as error:
        return str(error.code)
    except Exception:
        LOGGER.exception("status changes are not followed")
        return "internal"
    return ""
