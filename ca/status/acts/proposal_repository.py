"""Rows of revocations that two officers decide, written and read on a given connection."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from ca.status.acts.tables import revocation_proposals
from ca.status.revocation import RevocationReason
from pki.errors import ErrorCode, NotFound
from pki.instants import format_instant
from pki.jose import canonical_json

MOST: Final = 500

_ID: Final = re.compile(r"[0-9a-f]{20}")
_p = revocation_proposals.c


@unique
class ProposalState(StrEnum):
    """Where a proposal is."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationProposal:
    """That a certificate is to be revoked with a date in the past; `evidence` is the SHA-256 of what that rests on."""

    id: str
    serial: str
    reason: RevocationReason
    invalidity_date: datetime
    evidence: bytes
    proposed_by: str
    proposed_at: datetime
    state: ProposalState
    decided_by: str | None = None
    decided_at: datetime | None = None
    why: str | None = None

    @property
    def digest(self) -> str:
        """The SHA-256, in hexadecimal, by which a signed statement says what is approved or refused."""
        members = {
            "proposal": self.id,
            "serial": self.serial,
            "reason": self.reason.value,
            "invalidity_date": format_instant(self.invalidity_date),
            "evidence": self.evidence.hex(),
        }
        return sha256(canonical_json(members)).hexdigest()


def _proposal(row: Any) -> RevocationProposal:
    members = dict(row._mapping)  # noqa: SLF001 - its public name
    members |= {"reason": RevocationReason(row.reason), "state": ProposalState(row.state)}
    return RevocationProposal(**members)


def add(connection: Connection, proposal: RevocationProposal) -> None:
    """Write an open proposal; the certificate's row is locked, and has no other."""
    values = {
        "id": proposal.id,
        "serial": proposal.serial,
        "reason": proposal.reason.value,
        "invalidity_date": proposal.invalidity_date,
        "evidence": proposal.evidence,
        "proposed_by": proposal.proposed_by,
        "proposed_at": proposal.proposed_at,
        "state": proposal.state.value,
    }
    connection.execute(insert(revocation_proposals), [values])


def open_proposal(connection: Connection, serial: str) -> RevocationProposal | None:
    """Return what is proposed for a certificate and not decided, or None."""
    wanted = select(revocation_proposals).where(_p.serial == serial, _p.state == ProposalState.PROPOSED.value)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else _proposal(row)


def open_proposals(connection: Connection) -> tuple[RevocationProposal, ...]:
    """List what is not decided, oldest first, at most 500."""
    wanted = select(revocation_proposals).where(_p.state == ProposalState.PROPOSED.value)
    rows = connection.execute(wanted.order_by(_p.proposed_at, _p.id).limit(MOST))
    return tuple(_proposal(row) for row in rows)


def get(connection: Connection, proposal_id: str, *, locked: bool = False) -> RevocationProposal:
    """Return a proposal, which nobody else decides in this transaction when it is `locked`; NotFound."""
    wanted = select(revocation_proposals).where(_p.id == proposal_id)
    known = _ID.fullmatch(proposal_id) is not None
    row = connection.execute(wanted.with_for_update() if locked else wanted).one_or_none() if known else None
    if row is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such proposal")
    return _proposal(row)


def decide(connection: Connection, proposal_id: str, state: ProposalState, by: str, at: datetime, why: str) -> None:
    """Write what an officer decided."""
    decided = {"state": state.value, "decided_by": by, "decided_at": at, "why": why or None}
    connection.execute(update(revocation_proposals).where(_p.id == proposal_id).values(**decided))
