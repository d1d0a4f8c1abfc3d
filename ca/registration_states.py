"""Where a registration file can be, and what each act makes of it."""

from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from ca.errors import IllegalTransition


@unique
class FileState(StrEnum):
    """Where a registration file is."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    CHECKED = "checked"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@unique
class FileAct(StrEnum):
    """What is done with a file. `approve` is a yes that is not the last one, `complete` the last."""

    PRESENT = "present"
    CHECK = "check"
    APPROVE = "approve"
    COMPLETE = "complete"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"


UNDECIDED: Final = frozenset({FileState.DRAFT, FileState.SUBMITTED, FileState.CHECKED})
BEFORE_APPROVERS: Final = frozenset({FileState.SUBMITTED, FileState.CHECKED})
CLOSED: Final = frozenset({FileState.REFUSED, FileState.WITHDRAWN, FileState.EXPIRED})
"""The ends of a file without a right; its holder may come again with a new one."""

_ENDS: Final = {FileAct.WITHDRAW: FileState.WITHDRAWN, FileAct.EXPIRE: FileState.EXPIRED}
_DECISIONS: Final = {FileAct.COMPLETE: FileState.APPROVED, FileAct.REFUSE: FileState.REFUSED, **_ENDS}
TRANSITIONS: Final = MappingProxyType(
    {
        FileState.DRAFT: {FileAct.PRESENT: FileState.SUBMITTED, **_ENDS},
        FileState.SUBMITTED: {FileAct.CHECK: FileState.CHECKED, FileAct.APPROVE: FileState.SUBMITTED, **_DECISIONS},
        FileState.CHECKED: {FileAct.CHECK: FileState.CHECKED, FileAct.APPROVE: FileState.CHECKED, **_DECISIONS},
        FileState.APPROVED: {},
        FileState.REFUSED: {},
        FileState.WITHDRAWN: {},
        FileState.EXPIRED: {},
    }
)


def next_state(state: FileState, act: FileAct) -> FileState:
    """Return the state after `act`; IllegalTransition where the present one forbids it."""
    found = TRANSITIONS[state].get(act)
    if found is None:
        raise IllegalTransition(f"the file is {state}", reason=f"file.{state}")
    return found
