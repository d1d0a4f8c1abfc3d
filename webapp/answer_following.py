"""A thread of each server process by which no stored OCSP answer outlives what the rows say by more than a moment."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from pki.errors import ServiceError

SECONDS: Final = 0.5
LOGGER: Final = logging.getLogger("mohr.answers")


def follow_in_background(follow: Callable[[], None]) -> threading.Thread:
    """Have the feed of status changes followed every half second for as long as this process runs.

    Requests never wait for it: while the database is silent, what was stored before goes on being answered.
    """
    thread = threading.Thread(target=_follow_for_ever, args=(follow,), name="answers", daemon=True)
    thread.start()
    return thread


def _follow_for_ever(follow: Callable[[], None]) -> None:
    failing = ""
    while True:
        try:
            follow()
            failing = ""
        except ServiceError as error:
            if failing != error.code:
                LOGGER.warning("status changes not followed", extra={"fields": {"code": str(error.code)}})
            failing = error.code
        except Exception:
            if failing != "internal":
                LOGGER.exception("status changes not followed")
            failing = "internal"
        time.sleep(SECONDS)
