"""Revocations that reach back, decided by a second officer, and everything of a holder, over mutual TLS."""

from datetime import datetime
from typing import Final

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.officers.identity import Officer
from ca.registration import MAX_REASON
from ca.status.acts.proposal_repository import ProposalState
from ca.status.acts.proposals import Decided
from ca.status.revocation import RevocationReason
from ca.status.revocation_desk import parse_reason
from pki.errors import ErrorCode
from webapp.api.registrations import PATH as REGISTRATIONS
from webapp.api.registrations import EmptyBody
from webapp.api.suspensions import SuspendedCertificate
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.published import publish_soon
from webapp.revocation_documents import proposal_members, revoked_members
from webapp.services import Services, installed

PATH: Final = "/api/v1/revocations"


class ProposalAnswer(BaseModel):
    """A revocation that reaches back, and what became of it."""

    proposal: str
    serial: str
    state: ProposalState
    reason: RevocationReason
    invalidity_date: datetime
    evidence_sha256: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    why: str | None = Field(description="Of a refusal.")


class ProposalsAnswer(BaseModel):
    """What waits for a second officer, oldest first, at most 500."""

    revocations: list[ProposalAnswer]


class RefusedRevocationBody(BaseModel):
    """Why it is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    why: str = Field(min_length=1, max_length=MAX_REASON)


class HolderRevocationBody(BaseModel):
    """Why everything is revoked, and of what."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(max_length=32, description="RFC 5280 §5.3.1, such as cessationOfOperation.")
    whole_holder: bool = Field(default=False, description="Of every registration file of the same holder.")


class HolderRevokedAnswer(BaseModel):
    """What was revoked; empty where nothing lived any more."""

    file: str
    revoked: list[SuspendedCertificate]
    abandoned: list[str] = Field(description="Serial numbers of orders that came to nothing.")
    published: bool = Field(description="Whether the lists tell it; if not, the worker publishes them within a second.")


LIST: Final = Operation(
    method="GET",
    path=PATH,
    name="listProposedRevocations",
    summary="What waits for a second officer",
    description="Revocations with a date in the past; their certificates are on hold.",
    answer=ProposalsAnswer,
    problems=(),
    security=OFFICER,
)
APPROVE: Final = Operation(
    method="POST",
    path=PATH + "/{proposal_id}/approval",
    name="approveRevocation",
    summary="The revocation, approved",
    description="Revoke as proposed: signatures made after the date lose their worth. Neither the officer who "
    "proposed it nor the holder may. OCSP tells it at once.",
    answer=ProposalAnswer,
    body=EmptyBody,
    problems=(ErrorCode.NOT_FOUND, ErrorCode.FOUR_EYES, ErrorCode.STATE_ILLEGAL, ErrorCode.DATABASE_UNAVAILABLE),
    security=OFFICER,
)
REFUSE: Final = Operation(
    method="POST",
    path=PATH + "/{proposal_id}/refusal",
    name="refuseRevocation",
    summary="The revocation, refused",
    description="Refuse it, or take back one's own. The certificate stays on hold until an officer lifts that.",
    answer=ProposalAnswer,
    body=RefusedRevocationBody,
    problems=(ErrorCode.NOT_FOUND, ErrorCode.FOUR_EYES, ErrorCode.STATE_ILLEGAL, ErrorCode.DATABASE_UNAVAILABLE),
    security=OFFICER,
)
REVOKE_ALL: Final = Operation(
    method="POST",
    path=REGISTRATIONS + "/{file_id}/revocation",
    name="revokeEverything",
    summary="What was revoked",
    description="Revoke every living certificate of a registration file, or of its holder, all or nothing. Orders "
    "under way, activation codes and enrolment secrets end too.",
    answer=HolderRevokedAnswer,
    body=HolderRevocationBody,
    problems=(ErrorCode.NOT_FOUND, ErrorCode.FOUR_EYES, ErrorCode.DATABASE_UNAVAILABLE),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/revocations` and `/api/v1/registrations/{id}/revocation`."""

    def listed(officer: Officer) -> Response:
        found = installed(services.proposals).proposals_for(officer)
        return json_response({"revocations": [proposal_members(one) for one in found]})

    def decided(done: Decided) -> Response:
        publish_soon(services.publish_status, done.changed)
        return json_response(proposal_members(done.proposal))

    def approve(officer: Officer, proposal_id: str) -> Response:
        read_json(EmptyBody)
        return decided(installed(services.proposals).approve(proposal_id, officer))

    def refuse(officer: Officer, proposal_id: str) -> Response:
        why = read_json(RefusedRevocationBody).why
        return decided(installed(services.proposals).refuse(proposal_id, officer, why))

    def revoke_all(officer: Officer, file_id: str) -> Response:
        body = read_json(HolderRevocationBody)
        reason, whole = parse_reason(body.reason), body.whole_holder
        done = installed(services.holders).revoke_all(file_id, reason, officer, whole_holder=whole)
        published = publish_soon(services.publish_status, done.revoked)
        return json_response({**revoked_members(done), "published": published})

    api.add(LIST, listed)
    api.add(APPROVE, approve)
    api.add(REFUSE, refuse)
    api.add(REVOKE_ALL, revoke_all)
