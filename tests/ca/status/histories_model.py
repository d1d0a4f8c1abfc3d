"""What is true about certificates' status: a plain account of a history, from RFC 5280 and RFC 6960 alone.

Nothing here knows how the product works. It knows what was done to which certificate, and from that what any list or
OCSP answer has to say. A moment is a place in the history: two acts of the same second have two moments.

Three rules are this CA's own. A certificate that was on hold when it is revoked keeps the date of the hold; one that
waits for its holder is on hold since its beginning; with a compromised key ends whatever is certified for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

HOLD: Final = "certificateHold"
REMOVED: Final = "removeFromCRL"
COMPROMISE: Final = "keyCompromise"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListName:
    """One shard of one issuer."""

    issuer: str
    shard: int


@dataclass(frozen=True, slots=True)
class Telling:
    """What relying parties are told of a certificate that is not good."""

    since: datetime
    reason: str
    invalidity: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Life:
    """A certificate that was issued, and what is told of it from which moment on."""

    serial: int
    on: ListName
    key: bytes
    not_before: datetime
    not_after: datetime
    waits: bool = False
    facts: list[tuple[int, datetime, Telling | None]] = field(default_factory=list)
    named_after_its_end: bool = False

    def told_at(self, moment: int) -> Telling | None:
        """Return what is to be told at a moment; nothing (good) before it was issued, too."""
        return next((telling for since, _, telling in reversed(self.facts) if since <= moment), None)

    def told_since(self, instant: datetime) -> list[Telling | None]:
        """Return what was to be told at any time from an instant on until now."""
        later = [telling for _, at, telling in self.facts if at > instant]
        before = [telling for _, at, telling in self.facts if at <= instant]
        return [*before[-1:], *later]

    @property
    def told(self) -> Telling | None:
        """What is to be told now."""
        return self.facts[-1][2]

    @property
    def on_hold(self) -> bool:
        return self.told is not None and self.told.reason == HOLD

    @property
    def revoked(self) -> bool:
        return self.told is not None and self.told.reason != HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidList:
    """What a list says, as an independent reader found it; `base` is a delta's BaseCRLNumber."""

    number: int
    this_update: datetime
    next_update: datetime
    entries: dict[int, Telling]
    base: int | None = None

    def with_delta(self, delta: SaidList) -> SaidList:
        """Return the complete list that a delta makes of this one (RFC 5280 §5.2.4)."""
        entries = {**self.entries, **delta.entries}
        entries = {serial: told for serial, told in entries.items() if told.reason != REMOVED}
        return SaidList(
            number=delta.number, this_update=delta.this_update, next_update=delta.next_update, entries=entries
        )


class Contradiction(AssertionError):
    """Something published says what is not so."""


@dataclass(slots=True)
class Truth:
    """The whole history so far."""

    moment: int = 0
    lives: dict[int, Life] = field(default_factory=dict)
    lists: dict[ListName, SaidList] = field(default_factory=dict)
    deltas: dict[ListName, SaidList] = field(default_factory=dict)
    ever: dict[ListName, dict[int, SaidList]] = field(default_factory=dict)

    def born(self, life: Life, at: datetime) -> None:
        """A certificate is issued; one that waits for its holder is on hold since it begins."""
        self.lives[life.serial] = life
        self._tell(life, at, Telling(life.not_before, HOLD) if life.waits else None)

    def hold(self, serial: int, at: datetime) -> None:
        self._tell(self.lives[serial], at, Telling(at, HOLD))

    def lift(self, serial: int, at: datetime) -> None:
        """A hold is lifted, or a holder activates what waited."""
        life = self.lives[serial]
        life.waits = False
        self._tell(life, at, None)

    def revoke(self, serial: int, at: datetime, reason: str, invalidity: datetime | None) -> None:
        life = self.lives[serial]
        since = at if life.told is None else min(at, life.told.since)
        life.waits = False
        self._tell(life, at, Telling(since, reason, invalidity))

    def siblings(self, serial: int) -> list[Life]:
        """Return what else is certified for a certificate's key."""
        own = self.lives[serial]
        return [life for life in self.lives.values() if life.key == own.key and life.serial != serial]

    def may(self, act: str, serial: int) -> bool:
        """Whether an act is one of this certificate's (its end aside)."""
        life = self.lives[serial]
        if act == "hold":
            return life.told is None
        if act == "unhold":
            return life.on_hold and not life.waits
        if act == "activate":
            return life.waits
        return not life.revoked

    def _tell(self, life: Life, at: datetime, telling: Telling | None) -> None:
        self.moment += 1
        life.facts.append((self.moment, at, telling))

    # -- what is published ----------------------------------------------------------------------------

    def take_list(self, on: ListName, said: SaidList, *, since: int) -> None:
        """Compare a list that was made after the moment `since` with the history; keep it as the published one."""
        _check_follows(on, self.lists.get(on), said)
        if said.base is not None:
            raise Contradiction(f"{on}: a delta in the place of a list")
        self._check(on, said, since)
        self.lists[on] = said
        self.ever.setdefault(on, {})[said.number] = said
        for serial in said.entries:
            life = self.lives[serial]
            life.named_after_its_end |= said.this_update > life.not_after

    def take_delta(self, on: ListName, said: SaidList, *, since: int) -> None:
        """Compare what a delta makes of each list that it may be added to with the history."""
        _check_follows(on, self.deltas.get(on), said)
        lists = self.ever.get(on, {})
        if said.base is None or said.base not in lists:
            raise Contradiction(f"{on}: a delta to {said.base}, which was never published")
        for serial in said.entries:
            if serial not in self.lives or self.lives[serial].on != on:
                raise Contradiction(f"{on}: the delta names {serial:x}, which has nothing to do there")
        for number, full in lists.items():
            if said.base <= number <= said.number:
                self._check(on, full.with_delta(said), since)
        self.deltas[on] = said

    def latest(self, on: ListName) -> SaidList:
        """Return what is told to who fetches a list and its delta."""
        full, delta = self.lists[on], self.deltas.get(on)
        return full if delta is None or delta.number < full.number else full.with_delta(delta)

    def _check(self, on: ListName, said: SaidList, since: int) -> None:
        """Find a moment since `since` at which this was so."""
        faults = [self.faults_of(on, said, moment) for moment in range(since, self.moment + 1)]
        if all(faults):
            raise Contradiction(f"{on}, number {said.number}: {faults[-1]}")

    def faults_of(self, on: ListName, said: SaidList, moment: int) -> list[str]:
        """Say where a full list is not what it has to be at a moment (RFC 5280 §3.3, §5.3, §6.3.3)."""
        faults = [f"{serial:x} was never issued" for serial in said.entries if serial not in self.lives]
        for life in self.lives.values():
            entry, told = said.entries.get(life.serial), life.told_at(moment)
            if life.on != on or told is None:
                if entry is not None:
                    faults.append(f"{life.serial:x} has nothing to do there: {entry}")
            elif entry is None:
                if not life.named_after_its_end and told.since <= life.not_after:
                    faults.append(f"{life.serial:x} is lost: {told}")
            elif entry != told:
                faults.append(f"{life.serial:x} is {told}, but said is {entry}")
        return faults


def _check_follows(on: ListName, last: SaidList | None, said: SaidList) -> None:
    if last is not None and said.number <= last.number:
        raise Contradiction(f"{on}: number {said.number} after {last.number}")
    if last is not None and said.this_update < last.this_update:
        raise Contradiction(f"{on}: thisUpdate {said.this_update} after {last.this_update}")
    if said.next_update <= said.this_update:
        raise Contradiction(f"{on}: it ends before it begins")
