"""The linter: judges signed certificates by pkilint, at a low priority (`python -m webapp.linter`, HOME in MOHR_HOME).

Where others want the processors it leaves a burst of certificates for a quieter moment, but none for long. It needs the
database alone, no key and no custodian. Killing it loses nothing: what has no verdict still waits.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Final

from ca.linting.desk import LintDesk
from ca.linting.verdicts import Backlog
from pki.clock import Clock
from pki.errors import ServiceError
from pki.instants import format_instant
from pki.jose import compact_json
from webapp.atomic_files import write_atomically
from webapp.compose import RealClock, opened_linting
from webapp.deployment import Deployment
from webapp.logs import start_logging

NICENESS: Final = 10
AT_ONCE: Final = 32  # about a third of a second, after which the heartbeat has its turn
IDLE_SECONDS: Final = 1.0
YIELDING_SECONDS: Final = 1.0
YIELDS_FOR: Final = timedelta(seconds=20)
CROWDED: Final = 0.85  # of a processor: who gets less while judging shares it with others
RETRY_SECONDS: Final = 2.0
LOGGER: Final = logging.getLogger("mohr.linter")


@dataclass
class Linter:
    """Judge what waits until told to stop."""

    deployment: Deployment
    desk: LintDesk
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    worked: Callable[[], float] = time.thread_time
    failure: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)

    def turn(self) -> float:
        """Judge a few certificates and write the heartbeat; return how many seconds to wait before the next turn."""
        judged, backlog = 0, Backlog(waiting=0, oldest=None)
        begun, worked = self.monotonic(), self.worked()
        try:
            judged = self.desk.sweep(AT_ONCE)
            crowded = self.worked() - worked < CROWDED * (self.monotonic() - begun)
            backlog = self.desk.backlog()
        except ServiceError as error:
            if not self.failure:
                LOGGER.warning("no verdicts", extra={"fields": {"code": str(error.code)}})
            self.failure = str(error.code)
        else:
            self.failure = ""
        self.beat(backlog)
        if self.failure:
            return RETRY_SECONDS
        if not judged or not backlog.waiting:
            return IDLE_SECONDS
        return YIELDING_SECONDS if crowded and judged == AT_ONCE and self._is_young(backlog) else 0.0

    def _is_young(self, backlog: Backlog) -> bool:
        return backlog.oldest is None or self.clock.now() - backlog.oldest < YIELDS_FOR

    def beat(self, backlog: Backlog) -> None:
        """Write how much waits and since when; a disk that takes no heartbeat makes the linter silent, no more."""
        state = {
            "at": format_instant(self.clock.now()),
            "waiting": backlog.waiting,
            "oldest": _text(backlog.oldest),
            "failing": self.failure,
        }
        try:
            write_atomically(self.deployment.linter_state, compact_json(state), mode=0o640)
        except ServiceError as error:
            LOGGER.warning("no heartbeat", extra={"fields": {"code": str(error.code)}})

    def run(self) -> None:
        """Take turns until told to stop."""
        while not self.stopping.is_set():
            self.stopping.wait(self.turn())


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def main() -> int:
    """Run the linter of the deployment that MOHR_HOME names."""
    start_logging()
    os.nice(NICENESS)
    deployment = Deployment(Path(os.environ["MOHR_HOME"]))
    deployment.linter_state.parent.mkdir(exist_ok=True)
    with opened_linting(deployment) as desk:
        linter = Linter(deployment, desk, RealClock())

        def stop(_number: int, _frame: FrameType | None) -> None:
            linter.stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        linter.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
