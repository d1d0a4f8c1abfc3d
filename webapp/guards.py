"""What is asked before anything is signed: whether clock and database are believed, and there is room to keep it."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from ca.recovery.guard import RecoveryGuard
from pki.audit import AuditAction, AuditEvent
from pki.clock import Clock
from pki.errors import ErrorCode, Unavailable
from storage.clock_guard import ClockGuard
from storage.clock_reference import ReferenceFile
from storage.engine import Database
from storage.headroom import Headroom
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def clock_guard(deployment: Deployment, database: Database, clock: Clock) -> ClockGuard:
    """Hold the machine's clock against its time since its start, which sleep does not stop."""
    uptime = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    reference = ReferenceFile(deployment.clock_reference)
    return ClockGuard(clock, database, reference, uptime=uptime, boot=_BOOT.read_text(encoding="ascii").strip())


def headroom(deployment: Deployment, settings: DeploymentSettings, database: Database) -> Headroom:
    """Look where rows, the custodians' journals and published files go; a database server's disks are its own."""
    rows = deployment.database_file if database.dialect != "sqlite" else Path(str(database.engine.url.database))
    return Headroom((rows.parent, deployment.custodian_config.parent, deployment.public), settings.min_free_mb)


def before_intent(room: Headroom, believed: Clock, recovery: RecoveryGuard) -> Callable[[], None]:
    """Join all into what an authority asks: Unavailable (`recovery-pending`, `storage-low`, `clock-suspect`)."""

    def ask() -> None:
        recovery.check_issuing()
        room.check()
        believed.now()

    return ask


class ClockWatch:
    """The worker's look at the clock: a suspicion is recorded once, under the time that the clock should show."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self, guard: ClockGuard, database: Database) -> None:
        """Raise Unavailable (`clock-suspect`) while the clock is not believed."""
        verdict = guard.look()
        if not verdict.suspicion:
            self._told = False
            return
        if not self._told:
            seconds = round((verdict.now - verdict.expected).total_seconds())
            with database.begin() as unit:
                unit.audit.record(
                    AuditEvent(
                        action=AuditAction.CLOCK_SUSPECTED,
                        at=verdict.expected,
                        actor="mohr",
                        subject="clock",
                        facts={"seconds": seconds},
                    )
                )
            self._told = True
        raise Unavailable(ErrorCode.CLOCK_SUSPECT, verdict.suspicion)
