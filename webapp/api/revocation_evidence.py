"""What revocations that reach back rest on: brought by officers who revoke, seen by these and by auditors."""

from typing import Final

from flask import Response

from ca.evidence.blobs import MEDIA_TYPES
from ca.officers.identity import Officer
from pki.errors import ErrorCode
from webapp.api.evidence import SCAN_BODY, SCAN_PROBLEMS, AttachmentAnswer, scan_brought, scan_response
from webapp.api.revocations import PATH as REVOCATIONS
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.registration_documents import attachment_members
from webapp.services import Services, installed

PATH: Final = REVOCATIONS + "/{proposal_id}/evidence"
ATTACH: Final = Operation(
    method="PUT",
    path=PATH,
    name="attachRevocationEvidence",
    summary="The scan is kept",
    description="Bring what an undecided revocation names by its SHA-256: PDF, JPEG or PNG, at most 5 MiB.",
    answer=AttachmentAnswer,
    problems=SCAN_PROBLEMS,
    security=OFFICER,
    request_body=SCAN_BODY,
)
SHOW: Final = Operation(
    method="GET",
    path=PATH,
    name="showRevocationEvidence",
    summary="The scan as it was brought",
    description="See what a revocation rests on. Who looks is recorded. It is deleted some time after the decision.",
    answer=None,
    media_types=MEDIA_TYPES,
    problems=(ErrorCode.NOT_FOUND,),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/revocations/{id}/evidence`."""

    def attach(officer: Officer, proposal_id: str) -> Response:
        kept = installed(services.revocation_evidence).attach(proposal_id, scan_brought(), officer)
        return json_response(attachment_members(kept))

    def show(officer: Officer, proposal_id: str) -> Response:
        return scan_response(installed(services.revocation_evidence).show(proposal_id, officer))

    api.add(ATTACH, attach)
    api.add(SHOW, show)
