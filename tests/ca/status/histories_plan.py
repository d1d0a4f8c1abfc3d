"""Drawing histories from a seed, and finding the shortest one that still goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

# Of a hundred steps, how many are what.
SHARES: Final = {
    "issue": 16,
    "hold": 12,
    "unhold": 8,
    "activate": 6,
    "revoke": 12,
    "take-back": 1,
    "wait": 14,
    "wait-long": 4,
    "expire": 3,
    "publish": 8,
    "sweep": 6,
    "presign": 6,
    "restart": 2,
    "device": 1,
    "database": 1,
    "store": 1,
    "answers": 3,
    "backup": 3,
    "restore": 2,
}
FAULTS: Final = {"": 72, "kill": 10, "device": 4, "database": 4, "other": 8, "clock": 2}


@dataclass(frozen=True, slots=True)
class Step:
    """One act; `draw` decides all else about it. `fault` happens at the `at`-th point that it passes."""

    act: str
    draw: int
    fault: str = ""
    at: int = 0


def plan(seed: int, length: int) -> list[Step]:
    """Draw a history."""
    random = Random(seed)  # noqa: S311 - to be repeated
    acts = random.choices(list(SHARES), list(SHARES.values()), k=length)
    faults = random.choices(list(FAULTS), list(FAULTS.values()), k=length)
    steps = [
        Step(act, random.getrandbits(32), fault, random.randrange(6)) for act, fault in zip(acts, faults, strict=True)
    ]
    return [Step("issue", random.getrandbits(32)), Step("issue", random.getrandbits(32)), *steps]


def shortest(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool], *, tries: int = 120) -> list[Step]:
    """Leave out of a history that fails whatever it fails without: halves first, then single steps, then faults."""
    kept, size = list(steps), max(1, len(steps) // 2)
    while size and tries:
        at = len(kept)
        while at > 0 and tries:
            at, tries = max(0, at - size), tries - 1
            less = kept[:at] + kept[at + size :]
            if fails(less):
                kept = less
        size //= 2
    for at, step in enumerate(kept):
        less = [*kept[:at], Step(step.act, step.draw), *kept[at + 1 :]]
        if step.fault and fails(less):
            kept = less
    return kept
