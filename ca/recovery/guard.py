"""What may be done by a database that went backwards: nothing that could make good what is not.

It went backwards when a recovery is open, or when it does not know the checkpoint that it published last: that
file lies outside of the database and is never older than it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from sqlalchemy import select

from ca.officers.identity import Act
from ca.recovery import state
from pki.clock import Clock
from pki.errors import ErrorCode, Unavailable
from pki.notes import Checkpoint
from storage.engine import Database
from storage.ledger_tables import checkpoints

FRESH_SECONDS: Final = 1.0

# What only restricts, reads, or ends the recovery itself; everything else waits.
ALWAYS_ALLOWED: Final = frozenset(
    {
        Act.REGISTRATION_READ,
        Act.EVIDENCE_READ,
        Act.CERTIFICATE_HOLD,
        Act.CERTIFICATE_REVOKE,
        Act.SUSPENSION_TAKE,
        Act.REVOCATION_APPROVE,
        Act.REVOCATION_EVIDENCE_ATTACH,
        Act.REVOCATION_EVIDENCE_READ,
        Act.COMPROMISE_DECLARE,
        Act.COMPROMISE_CONFIRM,
        Act.INVENTORY_READ,
        Act.INVENTORY_EXPORT,
        Act.TOKEN_SUSPEND,
        Act.TOKEN_TERMINATE,
        Act.GAP_ACKNOWLEDGE,
        Act.CLOCK_ACCEPT,
        Act.RECOVERY_RELEASE,
        Act.OFFICER_SUSPEND,
        Act.ROLE_REMOVE,
    }
)


@unique
class Stage(StrEnum):
    """How far a database is from being trusted."""

    WHOLE = "whole"
    RECONCILED = "reconciled"
    UNRECONCILED = "unreconciled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A stage, why it is so, and the recovery that is open, if one is."""

    stage: Stage
    why: str = ""
    recovery_id: str | None = None


WHOLE: Final = Standing(stage=Stage.WHOLE)
Mark = tuple[bytes, Checkpoint]


class RecoveryGuard:
    """Asked before anything is issued, released or published. Threads may share it."""

    def __init__(
        self, database: Database, published: Callable[[], Mark | None], monotonic: Callable[[], float]
    ) -> None:
        """Hold the database against `published`, the last checkpoint (its note, and what it says) that left it."""
        self._database, self._published, self._monotonic = database, published, monotonic
        self._lock = threading.Lock()
        self._seen: tuple[float, Standing | Unavailable] | None = None

    def look(self) -> Standing:
        """Judge the database now; Unavailable where it does not answer."""
        mark = self._published()  # before the rows: they are never older than it
        with self._database.read() as connection:
            open_one = state.unreleased(connection)
            if open_one is not None and open_one.reconciled_at is None:
                return Standing(stage=Stage.UNRECONCILED, why="the database was restored", recovery_id=open_one.id)
            if mark is not None and mark[1].size:
                root = select(checkpoints.c.root).where(checkpoints.c.size == mark[1].size)
                known = connection.execute(root).scalar()
                if known != mark[1].root and not state.is_accepted(connection, mark[0]):
                    return Standing(
                        stage=Stage.UNRECONCILED,
                        why=f"the database does not know the checkpoint of {mark[1].size} entries that it published",
                        recovery_id=None if open_one is None else open_one.id,
                    )
        if open_one is not None:
            return Standing(stage=Stage.RECONCILED, why="two officers have to release it", recovery_id=open_one.id)
        return WHOLE

    def standing(self) -> Standing:
        """Return a judgement that is at most a second old; a database that does not answer is waited for once."""
        with self._lock:
            now = self._monotonic()
            if self._seen is None or not 0 <= now - self._seen[0] < FRESH_SECONDS:
                try:
                    found: Standing | Unavailable = self.look()
                except Unavailable as error:
                    found = error
                self._seen = self._monotonic(), found
            found = self._seen[1]
        if isinstance(found, Unavailable):
            raise found
        return found

    def forget(self) -> None:
        """Look anew the next time."""
        with self._lock:
            self._seen = None

    def check_status(self) -> None:
        """Return where what the rows say of status may be told; Unavailable (`recovery-pending`)."""
        standing = self.standing()
        if standing.stage is Stage.UNRECONCILED:
            raise Unavailable(ErrorCode.RECOVERY_PENDING, standing.why)

    def check_issuing(self) -> None:
        """Return where something may be issued or become good; Unavailable (`recovery-pending`)."""
        standing = self.standing()
        if standing.stage is not Stage.WHOLE:
            raise Unavailable(ErrorCode.RECOVERY_PENDING, standing.why)

    def check_act(self, act: Act) -> None:
        """Return where an officer may do this; Unavailable (`recovery-pending`)."""
        if act in ALWAYS_ALLOWED:
            return
        if act is Act.OFFICER_RESTORE:  # who was suspended by a reconciliation, so that two can release it
            self.check_status()
        else:
            self.check_issuing()


class SettledClock:
    """A clock for what tells status: it says nothing while the database does not know it."""

    def __init__(self, clock: Clock, guard: RecoveryGuard) -> None:
        self._clock, self._guard = clock, guard

    def now(self) -> datetime:
        """Return the current instant; Unavailable as the clock's, and `recovery-pending`."""
        self._guard.check_status()
        return self._clock.now()
