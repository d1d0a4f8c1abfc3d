"""The worker: idempotent sweeps over rows, each on its own beat (`python -m webapp.worker`, HOME in MOHR_HOME).

A sweep that fails is tried again soon; what failed and since when is in the heartbeat file, which the
health page reads. Killing the worker at any point loses nothing: every sweep starts from what the rows say.
"""

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final

from ca.custody_policy import WORKER
from pki.audit import AuditEvent
from pki.errors import ServiceError
from pki.instants import format_instant
from pki.jose import compact_json
from storage.key_uses import KeyUses
from storage.ledger_segments import LedgerSegments
from storage.migrate import bring_up
from webapp.atomic_files import write_atomically
from webapp.compose import Parts, open_parts
from webapp.deployment import Deployment
from webapp.guards import ClockWatch
from webapp.inventory_sweeps import count, remind
from webapp.key_journal import JournalSource, JournalTaker
from webapp.late_watch import LateWatch
from webapp.list_upkeep import ListUpkeep
from webapp.logs import start_logging
from webapp.recovery_mark import followed_ledger
from webapp.service_upkeep import ServiceUpkeep

HEARTBEAT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 2.0
LOGGER: Final = logging.getLogger("mohr.worker")
BULK_SLICES: Final = 5
PRESIGN_SECONDS: Final = 2.0
SENT_AT_ONCE: Final = 8  # codes of a kind, each second: scrypt takes its time, and orders for certificates come first
PLANNED_AT_ONCE: Final = 100


@dataclass
class Sweep:
    """One kind of upkeep: what it does, how often, and how its last run ended."""

    name: str
    seconds: float
    act: Callable[[Parts], object]
    due: float = 0.0
    failure: str = ""
    failures: int = 0
    succeeded_at: datetime | None = None

    def run(self, parts: Parts, now: float) -> None:
        """Run once and plan the next run, which is soon after a failure."""
        self.due = now + self.seconds
        try:
            self.act(parts)
        except ServiceError as error:
            if not self.failure:
                LOGGER.warning("sweep failed", extra={"fields": {"sweep": self.name, "code": str(error.code)}})
            self.failure = str(error.code)
            self.failures += 1
            self.due = now + min(self.seconds, RETRY_SECONDS)
        else:
            self.failure = ""
            self.succeeded_at = parts.clock.now()

    @property
    def account(self) -> dict[str, int | str | None]:
        """What the heartbeat says of it: failures since the worker's start, and its last success."""
        succeeded = None if self.succeeded_at is None else format_instant(self.succeeded_at)
        return {"failures": self.failures, "succeeded_at": succeeded}


def seal(parts: Parts) -> None:
    """Give waiting events their leaves and publish a checkpoint."""
    parts.seal_ledger()


class AnswerSweep:
    """Follows the changes of status and signs OCSP answers ahead; the file is read through once, at the start."""

    def __init__(self) -> None:
        self._checked = False

    def __call__(self, parts: Parts) -> None:
        """Do what is due; much to sign is done in slices, so that other sweeps go on."""
        if not self._checked:
            parts.authority.check_answers()
            self._checked = True
        end = time.monotonic() + PRESIGN_SECONDS
        parts.authority.presign(is_over=lambda: time.monotonic() >= end)


def sweep_evidence(parts: Parts) -> None:
    """Delete scans whose time is over."""
    parts.evidence.sweep()
    parts.revocation_evidence.sweep()


def reconcile(parts: Parts) -> None:
    """Abandon the intents that dead servers left, and say which."""
    for serial in parts.recovery.reconcile():
        LOGGER.warning("intent abandoned", extra={"fields": {"serial": serial}})


class KeyUseSweep:
    """Takes the custodians' journals; keys that no custodian holds have none."""

    def __init__(self) -> None:
        self._taker: JournalTaker | None = None

    def __call__(self, parts: Parts) -> None:
        """Take what is there now."""
        if self._taker is None and isinstance(parts.keys, JournalSource):
            self._taker = JournalTaker(KeyUses(parts.database), parts.keys, parts.dates)
        if self._taker is not None:
            self._taker.sweep()


class FollowSweep:
    """Keeps the ledger on disk as well, for a database that is lost."""

    def __init__(self) -> None:
        self._followed: LedgerSegments | None = None

    def __call__(self, parts: Parts) -> None:
        """Write what was sealed since."""
        if self._followed is None:
            self._followed = followed_ledger(parts.deployment, parts.database)
        self._followed.follow()


def sweeps() -> tuple[Sweep, ...]:
    """Return every sweep of a deployment."""
    return (
        Sweep(name="reconcile", seconds=10, act=reconcile),  # first: what a crash left is listed before all else
        Sweep(name="key-uses", seconds=1, act=KeyUseSweep()),  # before the ledger: its event gets a leaf at once
        Sweep(name="ledger", seconds=1, act=seal),
        Sweep(name="followed-ledger", seconds=1, act=FollowSweep()),
        Sweep(name="services", seconds=1, act=ServiceUpkeep()),
        Sweep(name="expiry", seconds=60, act=lambda parts: parts.authority.expire()),
        Sweep(name="files", seconds=60, act=lambda parts: parts.authority.expire_files()),
        Sweep(name="evidence", seconds=600, act=sweep_evidence),
        Sweep(name="reminders", seconds=3600, act=remind),
        Sweep(name="activation", seconds=1, act=lambda parts: parts.activation.sweep(SENT_AT_ONCE, PLANNED_AT_ONCE)),
        Sweep(name="suspension", seconds=1, act=lambda parts: parts.suspension.sweep(SENT_AT_ONCE, PLANNED_AT_ONCE)),
        Sweep(name="told", seconds=5, act=lambda parts: parts.told.sweep()),
        Sweep(name="status-alarms", seconds=3600, act=lambda parts: parts.status_alarms.sweep()),
        Sweep(name="statistics", seconds=600, act=count),
        Sweep(name="bulk", seconds=5, act=lambda parts: parts.bulk.sweep(BULK_SLICES)),
        Sweep(name="ocsp", seconds=1, act=AnswerSweep()),
        Sweep(name="crl", seconds=1, act=ListUpkeep()),
        Sweep(name="changes", seconds=60, act=lambda parts: parts.authority.forget_changes()),
        Sweep(name="tokens", seconds=10, act=lambda parts: parts.tokens.sweep()),
    )


def gates() -> tuple[Sweep, ...]:
    """Return what must be well before anything is swept: the schema, seen to once, what was published, the clock."""
    watch = ClockWatch()
    return (
        Sweep(name="schema", seconds=math.inf, act=lambda parts: bring_up(parts.database)),
        Sweep(name="recovery", seconds=0, act=lambda parts: parts.recovery_guard.check_status()),
        Sweep(name="clock", seconds=0, act=lambda parts: watch(parts.clock_guard, parts.database)),
    )


@dataclass
class Worker:
    """Run the sweeps until told to stop."""

    parts: Parts
    sweeps: tuple[Sweep, ...] = field(default_factory=sweeps)
    gates: tuple[Sweep, ...] = field(default_factory=gates)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def failing(self) -> dict[str, str]:
        """Which sweeps fail now, and by which code."""
        return {sweep.name: sweep.failure for sweep in (*self.gates, *self.sweeps) if sweep.failure}

    def beat(self) -> None:
        """Write the heartbeat: when, which sweeps fail, and how each one fared."""
        now = format_instant(self.parts.clock.now())
        accounts = {sweep.name: sweep.account for sweep in (*self.gates, *self.sweeps)}
        state = {"at": now, "failing": self.failing, "sweeps": accounts}
        write_atomically(self.parts.deployment.worker_state, compact_json(state), mode=0o640)

    def look(self) -> None:
        """Tell what was promised about status and is late, also while nothing is swept."""
        now = self.parts.clock.now()
        LateWatch(self.parts.deployment.alarms, self._record).look(self.parts.promises.parts(now), now)

    def _record(self, event: AuditEvent) -> None:
        at = self.parts.dates.now()
        with self.parts.database.begin() as unit:
            unit.audit.record(replace(event, at=at))

    def _try_to_beat(self) -> None:
        """Go on sweeping where the disk takes no heartbeat: the health page calls that silent."""
        try:
            self.beat()
            self.look()
        except ServiceError as error:
            LOGGER.warning("no heartbeat", extra={"fields": {"code": str(error.code)}})

    def _sweep(self, now: float) -> None:
        for gate in self.gates:
            if now >= gate.due:
                gate.run(self.parts, now)
            if gate.failure:  # the rows may be another program's, or what would be written of another day
                return
        for sweep in self.sweeps:
            if now >= sweep.due:
                sweep.run(self.parts, now)

    def run(self) -> None:
        """Sweep what is due, and say how that is on every beat and whenever something begins or ends to fail."""
        next_beat, told = 0.0, self.failing
        while not self.stopping.is_set():
            now = time.monotonic()
            self._sweep(now)
            if now >= next_beat or self.failing != told:
                next_beat, told = now + HEARTBEAT_SECONDS, self.failing
                self._try_to_beat()
            self.stopping.wait(0.2)


def main() -> int:
    """Run the worker of the deployment that MOHR_HOME names."""
    start_logging()
    worker = Worker(open_parts(Deployment(Path(os.environ["MOHR_HOME"])), WORKER))

    def stop(_number: int, _frame: FrameType | None) -> None:
        worker.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
