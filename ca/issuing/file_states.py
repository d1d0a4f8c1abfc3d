"""Whether a registration file may have a certificate."""

from ca.errors import NotApproved
from ca.registration_states import BEFORE_APPROVERS, FileState
from pki.errors import ErrorCode, NotFound


def check_state(state: FileState | None, *, unapproved: bool) -> None:
    """Refuse a file that is missing, closed, or not approved unless the pilot switch is on."""
    if state is FileState.APPROVED:
        return
    if state is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such registration file", reason="file.absent")
    if state not in BEFORE_APPROVERS:
        raise NotApproved(f"the file is {state}", "file.closed")
    if not unapproved:
        raise NotApproved(f"the file is {state}", "file.not-approved")
