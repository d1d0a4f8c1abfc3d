"""How revocations that two decide, those of a whole holder and alarms about many are told, by command and by route."""

from typing import Any

from ca.status.acts.holders import HolderRevoked
from ca.status.acts.proposal_repository import RevocationProposal
from ca.status.acts.watch import StatusAlarm
from pki.instants import format_instant
from webapp.certificate_documents import certificate_members


def proposal_members(proposal: RevocationProposal) -> dict[str, Any]:
    """Write a revocation that reaches back, and what became of it."""
    return {
        "proposal": proposal.id,
        "serial": proposal.serial,
        "state": str(proposal.state),
        "reason": str(proposal.reason),
        "invalidity_date": format_instant(proposal.invalidity_date),
        "evidence_sha256": proposal.evidence.hex(),
        "proposed_by": proposal.proposed_by,
        "proposed_at": format_instant(proposal.proposed_at),
        "decided_by": proposal.decided_by,
        "decided_at": None if proposal.decided_at is None else format_instant(proposal.decided_at),
        "why": proposal.why,
    }


def revoked_members(done: HolderRevoked) -> dict[str, Any]:
    """Write what was revoked of a holder, and which orders came to nothing."""
    return {
        "file": done.file_id,
        "revoked": [certificate_members(record) for record in done.revoked],
        "abandoned": list(done.abandoned),
    }


def status_alarm_members(alarm: StatusAlarm) -> dict[str, Any]:
    """Write an alarm and who said that it may be closed."""
    return {
        "alarm": alarm.id,
        "officer": alarm.officer,
        "changes": alarm.changes,
        "since": format_instant(alarm.since),
        "raised_at": format_instant(alarm.raised_at),
        "closed_at": None if alarm.closed_at is None else format_instant(alarm.closed_at),
        "officers": list(alarm.officers),
    }
