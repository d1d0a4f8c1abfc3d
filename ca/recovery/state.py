"""Where a database stands after it was put back: unreconciled, reconciled, released; the rows that say so."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from ca.context import event
from ca.recovery.rows import Finding
from ca.recovery.tables import recoveries, recovery_approvals, recovery_findings
from pki.audit import AuditAction
from storage.ledger_rows import ledger_size
from storage.unit_of_work import UnitOfWork

APPROVALS_NEEDED: Final = 2
RESTORED: Final = "restored"
OLDER: Final = "older"  # than what it published

_r = recoveries.c
_ROUND: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One time that the database was put back. `source` is the SHA-256 of the backup, where one is known."""

    id: str
    begun_at: datetime
    cause: str
    source: str
    ledger_size: int
    reconciled_at: datetime | None
    released_at: datetime | None
    report: bytes | None


def unreleased(connection: Connection) -> Recovery | None:
    """Return the recovery that is not over; None where the database is as it should be."""
    row = connection.execute(
        select(recoveries).where(_r.released_at.is_(None)).order_by(_r.begun_at.desc()).limit(1)
    ).first()
    return None if row is None else _recovery(row)


def latest(connection: Connection) -> Recovery | None:
    """Return the last recovery there was."""
    row = connection.execute(select(recoveries).order_by(_r.begun_at.desc()).limit(1)).first()
    return None if row is None else _recovery(row)


def _recovery(row: Any) -> Recovery:
    return Recovery(
        id=row.id,
        begun_at=row.begun_at,
        cause=row.cause,
        source=row.source,
        ledger_size=row.ledger_size,
        reconciled_at=row.reconciled_at,
        released_at=row.released_at,
        report=row.report,
    )


def begin(unit: UnitOfWork, cause: str, source: str, actor: str, now: datetime) -> Recovery:
    """Write down that the database went backwards: nothing is issued until it is reconciled and released."""
    begun = Recovery(
        id=str(uuid.uuid4()),
        begun_at=now,
        cause=cause,
        source=source,
        ledger_size=ledger_size(unit.connection),
        reconciled_at=None,
        released_at=None,
        report=None,
    )
    values = {name: getattr(begun, name) for name in ("id", "begun_at", "cause", "source", "ledger_size")}
    unit.connection.execute(insert(recoveries).values(values))
    facts: dict[str, str | int | bool | None] = {"cause": cause, "source": source, "ledger_size": begun.ledger_size}
    unit.audit.record(event(AuditAction.RECOVERY_BEGUN, now, actor, begun.id, **facts))
    return begun


def is_accepted(connection: Connection, note: bytes) -> bool:
    """Whether officers know that the ledger does not continue this checkpoint."""
    return connection.execute(select(_r.id).where(_r.accepted == note).limit(1)).first() is not None


def keep_findings(connection: Connection, recovery_id: str, findings: Iterable[Finding]) -> None:
    """Replace what could not be put back."""
    f = recovery_findings.c
    connection.execute(recovery_findings.delete().where(f.recovery_id == recovery_id))
    rows = [{"recovery_id": recovery_id, **finding._asdict()} for finding in findings]
    for start in range(0, len(rows), _ROUND):
        connection.execute(insert(recovery_findings), rows[start : start + _ROUND])


def add_findings(connection: Connection, recovery_id: str, kind: str, findings: Iterable[Finding]) -> None:
    """Replace what is known of one kind."""
    f = recovery_findings.c
    connection.execute(recovery_findings.delete().where(f.recovery_id == recovery_id, f.kind == kind))
    rows = [{"recovery_id": recovery_id, **finding._asdict()} for finding in findings]
    for start in range(0, len(rows), _ROUND):
        connection.execute(insert(recovery_findings), rows[start : start + _ROUND])


def findings_of(connection: Connection, recovery_id: str, limit: int | None) -> tuple[Finding, ...]:
    """List what could not be put back, by kind, at most `limit`; None: all."""
    f = recovery_findings.c
    query = select(f.kind, f.subject, f.detail).where(f.recovery_id == recovery_id).order_by(f.kind, f.id)
    return tuple(Finding(*row) for row in connection.execute(query.limit(limit)))


def reconciled(connection: Connection, recovery_id: str, report: bytes, accepted: bytes | None, now: datetime) -> None:
    """Write down that the database knows again what there is to know; approvals of an earlier report end."""
    connection.execute(recovery_approvals.delete().where(recovery_approvals.c.recovery_id == recovery_id))
    values = {"reconciled_at": now, "report": report, "accepted": accepted}
    connection.execute(update(recoveries).where(_r.id == recovery_id).values(values))


def approve(connection: Connection, recovery_id: str, officer: str, now: datetime) -> int | None:
    """Write an officer's approval and return how many there are; None where the officer gave one before."""
    a = recovery_approvals.c
    mine = select(a.officer).where(a.recovery_id == recovery_id, a.officer == officer)
    if connection.execute(mine).first() is not None:
        return None
    connection.execute(insert(recovery_approvals).values(recovery_id=recovery_id, officer=officer, at=now))
    return int(connection.execute(select(func.count()).where(a.recovery_id == recovery_id)).scalar_one())


def release(connection: Connection, recovery_id: str, now: datetime) -> None:
    """Let everything go on."""
    connection.execute(update(recoveries).where(_r.id == recovery_id).values(released_at=now))
