"""The worker's look at what was promised: an alarm is told once when it is late, once more when it is over, and closed.

What was told is a file, so that a restarted worker says nothing twice and an alarm is raised while the database is
down; its event enters the ledger as soon as one can.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from pki.audit import AuditAction, AuditEvent
from pki.errors import ServiceError
from pki.jose import compact_json, json_object
from webapp.atomic_files import write_atomically
from webapp.health import PartHealth, PartState

LOGGER: Final = logging.getLogger("mohr.worker")
_TROUBLE: Final = (PartState.DEGRADED, PartState.DOWN)
_Told = dict[str, dict[str, str]]


class LateWatch:
    """Alarms about late promises; `record` puts an event into the ledger, or raises ServiceError."""

    def __init__(self, file: Path, record: Callable[[AuditEvent], None]) -> None:
        self._file = file
        self._record = record

    def look(self, parts: Iterable[PartHealth], now: datetime) -> None:
        """Raise, raise again where it became worse, and close; Unavailable where that cannot be remembered."""
        told = self._read()
        before = {name: dict(one) for name, one in told.items()}
        for part in parts:
            self._look(told, part, now)
        if told != before:
            write_atomically(self._file, compact_json(told), mode=0o640)

    def _look(self, told: _Told, part: PartHealth, now: datetime) -> None:
        """Follow one part; one that is silent is as it was."""
        one = told.get(part.name, {})
        if part.state is PartState.SILENT or (part.state is PartState.OK and not one):
            return
        if one.get("logged") != part.state:
            fields = {"part": part.name, "state": part.state.value, "note": part.note}
            LOGGER.error("status is late" if part.state in _TROUBLE else "status is in time", extra={"fields": fields})
            one["logged"] = part.state.value
        told[part.name] = one
        if one.get("recorded", PartState.OK.value) != part.state:
            with contextlib.suppress(ServiceError):  # tried again at the next look
                self._record(_event(part, now))
                one["recorded"] = part.state.value
        if one == {"logged": PartState.OK.value} or one.get("recorded") == one["logged"] == PartState.OK.value:
            del told[part.name]

    def _read(self) -> _Told:
        try:
            found = json_object(self._file.read_bytes())
        except (OSError, ServiceError):
            return {}
        return {name: {k: str(v) for k, v in one.items()} for name, one in found.items() if isinstance(one, dict)}


def _event(part: PartHealth, now: datetime) -> AuditEvent:
    late = part.state in _TROUBLE
    return AuditEvent(
        action=AuditAction.FRESHNESS_LATE if late else AuditAction.FRESHNESS_RESTORED,
        at=now,
        actor="mohr",
        subject=part.name,
        facts={"state": part.state.value, "note": part.note} if late else {},
    )
