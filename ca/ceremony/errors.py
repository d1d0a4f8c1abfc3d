"""What ends a ceremony before its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from pki.errors import Conflict, ErrorCode, InvalidInput


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong in a script; `step` counts from 1 and is None outside of steps."""

    line: int
    text: str
    step: int | None = None

    def __str__(self) -> str:
        return (
            f"line {self.line}: {self.text}"
            if self.step is None
            else f"line {self.line}, step {self.step}: {self.text}"
        )


class ScriptRefused(InvalidInput):
    """The script cannot be carried out as it is; nothing was begun or continued by it."""

    def __init__(self, faults: Sequence[Fault] | str) -> None:
        detail = faults if isinstance(faults, str) else "; ".join(map(str, sorted(faults)))
        super().__init__(ErrorCode.CEREMONY_SCRIPT, detail)
        self.faults = () if isinstance(faults, str) else tuple(sorted(faults))


class CeremonyStopped(Conflict):
    """A person said no, or something that persons must bring is not there; the same script resumes it."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.CEREMONY_STOPPED, detail)
