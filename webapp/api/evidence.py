"""Scans that registration files name: brought by registrars, seen by approvers and auditors."""

from datetime import datetime
from typing import Any, Final

from flask import Response, request
from pydantic import BaseModel

from ca.evidence.blobs import MAX_OCTETS, MEDIA_TYPES, Reader
from ca.evidence.records import Scan
from ca.officers.identity import Officer
from pki.errors import ErrorCode, InvalidInput
from webapp.api.registrations import PATH as FILES
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.registration_documents import attachment_members
from webapp.services import Services, installed

PATH: Final = FILES + "/{file_id}/evidence/{digest}"


SCAN_PROBLEMS: Final = (
    ErrorCode.NOT_FOUND,
    ErrorCode.STATE_ILLEGAL,
    ErrorCode.INPUT_EMPTY,
    ErrorCode.INPUT_TOO_LARGE,
    ErrorCode.INPUT_MALFORMED,
    ErrorCode.INPUT_FORMAT_UNKNOWN,
    ErrorCode.LENGTH_REQUIRED,
    ErrorCode.STORAGE_LOW,
)
SCAN_BODY: Final[dict[str, Any]] = {"required": True, "content": {media_type: {} for media_type in MEDIA_TYPES}}


class AttachmentAnswer(BaseModel):
    """What is known of a scan; `deleted_at` once it is gone."""

    sha256: str
    media_type: str
    octets: int
    attached_by: str
    attached_at: datetime
    deleted_at: datetime | None


ATTACH: Final = Operation(
    method="PUT",
    path=PATH,
    name="attachEvidence",
    summary="The scan is kept",
    description="Bring a scan that an undecided file names by its SHA-256: PDF, JPEG or PNG, at most 5 MiB, and 20 MiB "
    "for a file. What is here already stays as it is.",
    answer=AttachmentAnswer,
    problems=SCAN_PROBLEMS,
    security=OFFICER,
    request_body=SCAN_BODY,
)
SHOW: Final = Operation(
    method="GET",
    path=PATH,
    name="showEvidence",
    summary="The scan as it was brought",
    description="See a scan. Who looks is recorded. Scans are deleted some time after the decision on their file.",
    answer=None,
    media_types=MEDIA_TYPES,
    problems=(ErrorCode.NOT_FOUND,),
    security=OFFICER,
)


def scan_brought() -> Reader:
    """Return the scan that a request brings, not read yet; InvalidInput for another type, or one too large."""
    if request.mimetype not in MEDIA_TYPES:
        raise InvalidInput(ErrorCode.MEDIA_TYPE_REFUSED, ", ".join(MEDIA_TYPES), reason="evidence.media-type")
    length = request.content_length
    if length is None:
        raise InvalidInput(ErrorCode.LENGTH_REQUIRED)
    if length > MAX_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "evidence has at most 5 MiB", reason="evidence.too-large")
    return request.stream


def scan_response(scan: Scan) -> Response:
    """Answer with a scan as it was brought."""
    answer = Response(scan.data, content_type=scan.attachment.media_type)
    answer.headers["Content-Disposition"] = "attachment"  # a stranger's octets are no page of ours
    return answer


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/registrations/{id}/evidence/{digest}`."""

    def attach(officer: Officer, file_id: str, digest: str) -> Response:
        kept = installed(services.evidence).attach(file_id, digest, scan_brought(), officer)
        return json_response(attachment_members(kept))

    def show(officer: Officer, file_id: str, digest: str) -> Response:
        return scan_response(installed(services.evidence).show(file_id, digest, officer))

    api.add(ATTACH, attach)
    api.add(SHOW, show)
