"""What the web application writes to its log: one JSON object a line, in UTC, about no person.

A line names the route's template and never the address, query, body, headers or a message of a foreign exception:
any of these may hold personal data. JSON escapes every control character.
"""

import json
import logging
import os
import traceback
from datetime import UTC, datetime
from typing import Any, Final

LOGGER: Final = logging.getLogger("mohr.web")
MAX_FRAMES: Final = 12
STDERR: Final = 2


class JsonLines(logging.Formatter):
    """Format a record as one JSON object; `extra={"fields": {...}}` become members."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record's time, level, logger, message and fields; exceptions by class alone."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line.update(fields)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line, default=str)


class WholeLines(logging.Handler):
    """Write each line to standard error in one call, so that no thread waits for another one's."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Go without the lock that other handlers hold while they write."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; what fails is told as logging's own handlers tell it."""
        try:
            os.write(STDERR, self.format(record).encode() + b"\n")
        except Exception:  # noqa: BLE001 - a line that is lost ends no request
            self.handleError(record)


def log_request(*, request_id: str, method: str, route: str, status: int, milliseconds: float) -> None:
    """Write the line of one answered request."""
    fields = {"request_id": request_id, "method": method, "route": route, "status": status}
    LOGGER.info("request", extra={"fields": {**fields, "ms": round(milliseconds, 2)}})


def log_incident(error: BaseException, *, request_id: str, route: str) -> None:
    """Write where an unexpected exception came from: classes, files and lines, never its message."""
    chain: list[dict[str, Any]] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < MAX_FRAMES:
        frames = traceback.extract_tb(cause.__traceback__)[-MAX_FRAMES:]
        places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
        chain.append({"class": f"{type(cause).__module__}.{type(cause).__qualname__}", "at": places})
        cause = cause.__cause__ or cause.__context__
    LOGGER.error("incident", extra={"fields": {"request_id": request_id, "route": route, "chain": chain}})


def start_logging() -> None:
    """Send our INFO and everybody's WARNING to standard error as JSON lines; for composition roots."""
    handler = WholeLines()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mohr").setLevel(logging.INFO)
