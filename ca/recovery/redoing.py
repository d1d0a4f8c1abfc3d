"""What is not about status: rights that were taken away are taken away again, the rest is listed for officers."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, update

from ca.officers.records import OfficerState
from ca.officers.tables import officers
from ca.recovery.rows import Finding
from ca.tokens.life_cycle import TokenState
from ca.tokens.tables import connection_tokens
from pki.audit import AuditAction
from storage.ledger_replay import ReplayedEvent

# Families of acts whose rows are lost with the database; of all others nothing has to be done again.
_LOST: Final = (
    *("registration.", "officer.", "realm.", "token.", "evidence.", "bulk.", "activation.", "profile."),
    *("suspension.", "revocation.", "compromise."),
)
_TRIFLES: Final = frozenset(
    {
        AuditAction.REGISTRY_ASKED.value,
        AuditAction.EVIDENCE_READ.value,
        AuditAction.EVIDENCE_DELETED.value,
        AuditAction.TOKEN_FOLLOWED.value,
        AuditAction.TOKEN_LIGHT_CHANGED.value,
        AuditAction.ACTIVATION_FAILED.value,
        AuditAction.BULK_STARTED.value,
    }
)


def put_back_rights(connection: Connection, events: Sequence[ReplayedEvent]) -> list[Finding]:
    """Take away again what these events took away; return what officers have to look at."""
    suspended: dict[str, bool] = {}
    tokens: dict[str, TokenState | None] = {}
    findings = []
    for told in events:
        match told.action:
            case AuditAction.OFFICER_SUSPENDED.value | AuditAction.ROLE_REMOVED.value:
                suspended[told.subject] = True
            case AuditAction.OFFICER_RESTORED.value:
                suspended[told.subject] = False
            case AuditAction.TOKEN_SUSPENDED.value:
                tokens[told.subject] = TokenState.SUSPENDED
            case AuditAction.TOKEN_TERMINATED.value:
                tokens[told.subject] = TokenState.TERMINATED
            case AuditAction.TOKEN_RESTORED.value:
                tokens[told.subject] = None
            case _:
                pass
        if told.action.startswith(_LOST) and told.action not in _TRIFLES:
            findings.append(Finding("to-do-again", told.subject, f"{told.action} by {told.actor}"))
    for officer, now_suspended in suspended.items():
        if now_suspended:
            where = officers.c.id == officer
            connection.execute(update(officers).where(where).values(state=OfficerState.SUSPENDED.value))
            findings.append(Finding("officer-suspended", officer, "a right was taken away after the backup"))
    for token, state in tokens.items():
        if state is not None:
            row = connection_tokens.c
            living = (row.id == token, row.state != TokenState.TERMINATED.value)
            connection.execute(update(connection_tokens).where(*living).values(state=state.value))
    return findings
