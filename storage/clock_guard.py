"""A clock that is believed only while it agrees with what is known: this machine's start, and the last audit record.

A clock that was set by more than five minutes, or is behind what was recorded already, is suspect until it is right
again or an officer accepts it: nothing is to be signed by it meanwhile.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, func, select

from pki.clock import Clock
from pki.errors import ErrorCode, Unavailable
from storage.clock_reference import ClockReference, ReferenceFile
from storage.engine import Database
from storage.ledger_tables import audit_events

LARGEST_JUMP: Final = timedelta(minutes=5)
TOLERANCE: Final = timedelta(seconds=2)  # between the clocks of several servers of one database
FRESH_SECONDS: Final = 1.0

REMEMBERED: Final = 10_000  # records of before its start that a guard looks at

_e: Final = audit_events.c
_BEFORE: Final = select(_e.id, _e.at).order_by(_e.id.desc()).limit(REMEMBERED).subquery()
_LATEST_BEFORE: Final = select(func.max(_BEFORE.c.id), func.max(_BEFORE.c.at))
_LATEST_SINCE: Final = select(func.max(_e.id), func.max(_e.at)).where(_e.id > bindparam("seen"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockVerdict:
    """What the clock says, what it should say at least, and why it is not believed; empty if it is."""

    now: datetime
    expected: datetime
    suspicion: str = ""


class ClockGuard:
    """The clock of acts that must not carry a wrong time. Threads may share it.

    `uptime` gives the seconds since the machine's start, sleep included; `boot` names that start.
    """

    def __init__(
        self, clock: Clock, database: Database, reference: ReferenceFile, *, uptime: Callable[[], float], boot: str
    ) -> None:
        self._clock, self._database, self._reference = clock, database, reference
        self._uptime, self._boot = uptime, boot
        self._own: ClockReference | None = None
        self._latest: tuple[int, datetime] | None = None  # the record up to which was looked, and the latest instant

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC; Unavailable (`clock-suspect`) while the clock is not believed."""
        verdict = self.look()
        if verdict.suspicion:
            raise Unavailable(ErrorCode.CLOCK_SUSPECT, verdict.suspicion)
        return verdict.now

    def look(self) -> ClockVerdict:
        """Judge the clock; what is believed first after a start of the machine is what later readings are held to."""
        now = self._clock.now()
        started = now - timedelta(seconds=self._uptime())
        reference = self._known()
        if reference is not None and abs(started - reference.started) > LARGEST_JUMP:
            jump = started - reference.started
            seconds = round(jump.total_seconds())
            return ClockVerdict(now=now, expected=now - jump, suspicion=f"the clock was set by {seconds} seconds")
        last = self._latest_record()
        if last is not None and last > now + TOLERANCE and not self._is_forgiven(last):
            behind = round((last - now).total_seconds())
            return ClockVerdict(now=now, expected=last, suspicion=f"the last record is {behind} seconds later")
        if reference is None:
            self._own = ClockReference(boot=self._boot, started=started, forgiven=self.forgiven())
            with suppress(Unavailable):  # then no other program hears of it
                self._reference.write(self._own)
        return ClockVerdict(now=now, expected=now)

    def accept(self) -> ClockVerdict:
        """Believe the clock as it is now, whatever was recorded; return what was said against it until now.

        Unavailable (`file-unwritable`).
        """
        verdict, last = self.look(), self._latest_record()
        started = verdict.now - timedelta(seconds=self._uptime())
        forgiven = last if last is not None and last > verdict.now else None
        self._reference.write(ClockReference(boot=self._boot, started=started, forgiven=forgiven))
        return verdict

    def forgiven(self) -> datetime | None:
        """Return up to when records may be of a later time than the clock's, as an officer said; None: none may."""
        found = self._reference.read()
        return None if found is None else found.forgiven

    def _is_forgiven(self, last: datetime) -> bool:
        forgiven = self.forgiven()
        return forgiven is not None and last <= forgiven

    def _known(self) -> ClockReference | None:
        """Return the reference of this start of the machine."""
        found = self._reference.read()
        return found if found is not None and found.boot == self._boot else self._own

    def _latest_record(self) -> datetime | None:
        """Return the latest instant of any record: what is recorded by a wrong clock does not hide what was before."""
        known = self._latest
        with self._database.read() as connection:
            if known is None:
                number, at = connection.execute(_LATEST_BEFORE).one()
            else:
                number, at = connection.execute(_LATEST_SINCE, {"seen": known[0]}).one()
        if number is not None:
            known = self._latest = number, at if known is None else max(at, known[1])
        return None if known is None else known[1]


class BelievedClock:
    """A guard's clock for what is dated many times a second: the records are asked once a second.

    A clock that was set is noticed at the next reading all the same. Threads may share it.
    """

    def __init__(self, guard: ClockGuard, clock: Clock, monotonic: Callable[[], float]) -> None:
        """Read `clock`, the one that `guard` judges."""
        self._guard, self._clock, self._monotonic = guard, clock, monotonic
        self._believed: tuple[float, datetime] | None = None

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC; Unavailable (`clock-suspect`) while the clock is not believed."""
        ticks, now, believed = self._monotonic(), self._clock.now(), self._believed
        if believed is not None:
            passed = ticks - believed[0]
            if passed < FRESH_SECONDS and abs(now - believed[1] - timedelta(seconds=passed)) <= TOLERANCE:
                return now
        now = self._guard.now()
        self._believed = ticks, now
        return now
