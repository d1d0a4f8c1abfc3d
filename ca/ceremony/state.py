"""Where a ceremony stands, read from its transcript: there is no second record that could disagree with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ca.ceremony.transcript import Entry, EntryAct


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """What is known of one step: `facts` are those noted so far, the latest of each name."""

    begun: bool = False
    done: bool = False
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class CeremonyState:
    """The state of a ceremony."""

    script: str | None
    closed: bool
    steps: Mapping[int, StepState]

    def step(self, number: int) -> StepState:
        """Return the state of a step, by its number from 1."""
        return self.steps.get(number, StepState())

    @staticmethod
    def of(entries: Iterable[Entry]) -> "CeremonyState":
        """Read the state from the lines of a transcript."""
        script, closed = None, False
        steps: dict[int, StepState] = {}
        for entry in entries:
            if entry.act is EntryAct.OPENED:
                script = str(entry.facts.get("script"))
            closed = closed or entry.act is EntryAct.CLOSED
            if entry.step is not None:
                steps[entry.step] = _after(steps.get(entry.step, StepState()), entry)
        return CeremonyState(script=script, closed=closed, steps=MappingProxyType(steps))


def _after(state: StepState, entry: Entry) -> StepState:
    return StepState(
        begun=True,
        done=state.done or entry.act is EntryAct.STEP_DONE,
        facts=MappingProxyType({**state.facts, **entry.facts}),
    )
