"""What is not about status: rights that were taken away are taken away again, the rest is listed for officers."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from ca.officers.records import OfficerState
from ca.officers.tables import officers
from ca.recovery.rows import Finding
from ca.status.acts.tables import compromised_authorities
from ca.tokens.life_cycle import TokenState
from ca.tokens.tables import connection_tokens
from pki.audit import AuditAction
from storage.ledger_replay import ReplayedEvent

# Families of acts whose rows are lost with the database; of all others nothing has to be done again.
_LOST: Final = (
    *("registration.", "officer.", "realm.", "token.", "evidence.", "bulk.", "activation.", "profile."),
    *("suspension.", "revocation."),
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


def _close_authorities(connection: Connection, events: Sequence[ReplayedEvent]) -> None:
    """Let authorities whose keys are said to be compromised issue nothing again."""
    k = compromised_authorities.c
    for told in events:
        here = k.authority == told.subject
        row = connection.execute(select(k.confirmed_at).where(here)).first()
        match told.action:
            case AuditAction.COMPROMISE_DECLARED.value if row is None:
                values = {"authority": told.subject, "declared_by": told.actor, "declared_at": told.at}
                connection.execute(insert(compromised_authorities).values(values))
            case AuditAction.COMPROMISE_CONFIRMED.value if row is not None and row.confirmed_at is None:
                confirmed = {"confirmed_by": told.actor, "confirmed_at": told.at}
                connection.execute(update(compromised_authorities).where(here).values(confirmed))
            case AuditAction.COMPROMISE_WITHDRAWN.value if row is not None and row.confirmed_at is None:
                connection.execute(delete(compromised_authorities).where(here))
            case _:
                pass


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
    _close_authorities(connection, [told for told in events if told.action.startswith("compromise.")])
    for token, state in tokens.items():
        if state is not None:
            row = connection_tokens.c
            living = (row.id == token, row.state != TokenState.TERMINATED.value)
            connection.execute(update(connection_tokens).where(*living).values(state=state.value))
    return findings
