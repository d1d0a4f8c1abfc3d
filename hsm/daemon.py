"""What the processes of this package that serve have in common: their log, and how they are asked to end."""

import gc
import json
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

GARBAGE_THRESHOLD: Final = 20_000  # new objects that outlive their turn


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, text."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": at, "level": record.levelname, "from": record.name, "text": record.getMessage()})


def log_as_json() -> None:
    """Have this process log JSON lines on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def collect_garbage_seldom() -> None:
    """Spare a process that has started the walk over what it keeps for good, which makes no garbage in cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


@contextmanager
def stop_signals() -> Iterator[socket.socket]:
    """Yield a socket that can be read once SIGTERM or SIGINT came."""
    wakeup, waker = socket.socketpair()
    waker.settimeout(0)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        yield wakeup
    finally:
        signal.set_wakeup_fd(-1)
        wakeup.close()
        waker.close()
