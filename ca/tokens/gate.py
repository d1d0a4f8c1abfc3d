"""The gate: what a centre may do now, from its lights and their ages (fails open on silence, closed on a no).

A light whose last answer is a no closes the gate. Silence only narrows, by the age of the last yes, and
never to nothing: care goes on with the emergency scopes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ca.tokens.lights import Answer, Light, LightKind
from pki.access_tokens import Assurance
from pki.errors import ErrorCode, InvalidInput

_ORDER: Final = tuple(Assurance)  # from best to least


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Scopes of one kind of token, and how silence narrows them by the age of the last yes."""

    version: str
    every: tuple[str, ...]
    narrowed: tuple[str, ...]
    emergency: tuple[str, ...]
    stale_after: timedelta = timedelta(hours=24)
    narrow_after: timedelta = timedelta(days=7)
    emergency_after: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if not set(self.every) >= set(self.narrowed) >= set(self.emergency) or not self.emergency:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "each level of scopes holds the next, the last is not empty")
        if not timedelta() < self.stale_after < self.narrow_after < self.emergency_after:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the ages of a gate policy do not grow")

    def level(self, age: timedelta) -> Assurance:
        """Return what knowledge of this age is worth."""
        if age > self.emergency_after:
            return Assurance.EMERGENCY
        if age > self.narrow_after:
            return Assurance.NARROWED
        return Assurance.STALE if age > self.stale_after else Assurance.FRESH

    def scopes(self, assurance: Assurance) -> tuple[str, ...]:
        """Return what may be done at this level; never empty."""
        if assurance is Assurance.EMERGENCY:
            return self.emergency
        return self.narrowed if assurance is Assurance.NARROWED else self.every


HIX_POLICY: Final = GatePolicy(
    version="hix-2026-1",
    every=("hix.submit", "hix.submit.backlog", "hix.read", "hix.read.own", "hix.read.emergency", "hix.dispense"),
    narrowed=("hix.submit", "hix.submit.backlog", "hix.read.own", "hix.read.emergency", "hix.dispense"),
    emergency=("hix.submit.backlog", "hix.read.emergency", "hix.dispense"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """What the lights allow at `decided_at`; with the policy's version and the ages, an auditor can replay it.

    `failed` are lights whose last answer is a no, `unknown` kinds that were never answered; either closes.
    """

    failed: tuple[Light, ...]
    unknown: tuple[LightKind, ...]
    assurance: Assurance
    scopes: tuple[str, ...]
    ages: tuple[tuple[LightKind, timedelta], ...]
    policy_version: str
    decided_at: datetime

    @property
    def open(self) -> bool:
        """Whether exchange is permitted at all."""
        return not self.failed and not self.unknown

    def grant(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Return those of the `asked` scopes that are allowed.

        Asking for nothing means everything allowed; so does asking only for what silence has taken away,
        because silence never leaves a centre with nothing.
        """
        return tuple(scope for scope in asked if scope in self.scopes) or self.scopes


def decide(lights: Iterable[Light], policy: GatePolicy, now: datetime) -> GateDecision:
    """Derive the decision from the lights as they stand at `now`."""
    by_kind = {light.kind: light for light in lights}
    answered = [light for light in by_kind.values() if light.last_answer is not None]
    ages = tuple((light.kind, _age(light, now)) for light in answered)
    levels = [policy.level(age) for _kind, age in ages]
    levels += [Assurance.NARROWED for light in answered if _lapsed_unconfirmed(light, now)]
    assurance = max(levels, key=_ORDER.index, default=Assurance.EMERGENCY)
    return GateDecision(
        failed=tuple(light for light in answered if light.last_answer is Answer.FAILED),
        unknown=tuple(kind for kind in LightKind if (light := by_kind.get(kind)) is None or light.last_answer is None),
        assurance=assurance,
        scopes=policy.scopes(assurance),
        ages=ages,
        policy_version=policy.version,
        decided_at=now,
    )


def _age(light: Light, now: datetime) -> timedelta:
    """How old the last answer is; a clock that went back makes no knowledge younger than new."""
    return max(now - light.last_answer_at, timedelta()) if light.last_answer_at else timedelta.max


def _lapsed_unconfirmed(light: Light, now: datetime) -> bool:
    """Whether the attested end date has passed since the last answer: narrowed at once, not suspended (R43)."""
    return light.valid_until is not None and light.valid_until <= now
