"""Registration files for officers over mutual TLS: submitted by one, approved by two others."""

from datetime import datetime
from typing import Any, Final

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.officers.identity import Officer
from ca.registration import MAX_FILE_OCTETS, MAX_REASON, FileState, RegistrationFile
from pki.errors import ErrorCode
from pki.instants import format_instant
from webapp.json_requests import read_json, read_octets
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.services import Services, installed

PATH: Final = "/api/v1/registrations"


class ApprovalAnswer(BaseModel):
    """One officer's yes."""

    officer: str
    at: datetime


class RegistrationAnswer(BaseModel):
    """A registration file, without what it says of a person."""

    id: str
    state: FileState
    kind: str
    realm: str | None = Field(description="The realm that the file belongs to: its submitter's.")
    sha256: str = Field(description="The digest of the registration that approvals are about.")
    submitted_by: str
    submitted_at: datetime
    approvals: list[ApprovalAnswer]
    refused_by: str | None = None
    reason: str | None = Field(default=None, description="Why it was refused.")


class RefusalBody(BaseModel):
    """Why a file is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=MAX_REASON)


class EmptyBody(BaseModel):
    """An empty object: the act is all that is said."""

    model_config = ConfigDict(extra="forbid", strict=True)


_READING: Final = (ErrorCode.NOT_FOUND,)
_DECIDING: Final = (
    *_READING,
    ErrorCode.FOUR_EYES,
    ErrorCode.STATE_ILLEGAL,
    ErrorCode.JSON_MALFORMED,
    ErrorCode.INPUT_MALFORMED,
    ErrorCode.INPUT_EMPTY,
    ErrorCode.INPUT_TOO_LARGE,
    ErrorCode.LENGTH_REQUIRED,
)
SUBMIT: Final = Operation(
    method="POST",
    path=PATH,
    name="submitRegistration",
    summary="The file, submitted",
    description="Put a registration before the approvers. Two other officers approve it.",
    answer=RegistrationAnswer,
    status=201,
    problems=(
        ErrorCode.JSON_MALFORMED,
        ErrorCode.INPUT_MALFORMED,
        ErrorCode.INPUT_EMPTY,
        ErrorCode.INPUT_TOO_LARGE,
        ErrorCode.LENGTH_REQUIRED,
        ErrorCode.IDENTITY_INVALID,
    ),
    security=OFFICER,
    request_body={
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["kind"],
                    "properties": {"kind": {"enum": ["clinician", "citizen", "centre", "system", "officer"]}},
                    "description": "As `mohr ca file submit` takes it; unknown members are refused.",
                }
            }
        },
    },
)
SHOW: Final = Operation(
    method="GET",
    path=PATH + "/{file_id}",
    name="showRegistration",
    summary="The file",
    description="A registration file and what officers decided about it. Who looks is recorded.",
    answer=RegistrationAnswer,
    problems=_READING,
    security=OFFICER,
)
APPROVE: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/approvals",
    name="approveRegistration",
    summary="The file after this approval",
    description="Give one of the two approvals; nobody approves what they submitted, their own file, or twice.",
    answer=RegistrationAnswer,
    body=EmptyBody,
    problems=_DECIDING,
    security=OFFICER,
)
REFUSE: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/refusal",
    name="refuseRegistration",
    summary="The file, refused",
    description="Refuse a file for good, saying why.",
    answer=RegistrationAnswer,
    body=RefusalBody,
    problems=_DECIDING,
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/registrations`."""

    def submit(officer: Officer) -> Response:
        data = read_octets(MAX_FILE_OCTETS)
        file = installed(services.registrations).submit_file(data, officer)
        answer = json_response(_members(file), 201)
        answer.headers["Location"] = f"{PATH}/{file.id}"
        return answer

    def show(officer: Officer, file_id: str) -> Response:
        return json_response(_members(installed(services.registrations).show(file_id, officer)))

    def approve(officer: Officer, file_id: str) -> Response:
        read_json(EmptyBody)
        return json_response(_members(installed(services.registrations).approve(file_id, officer)))

    def refuse(officer: Officer, file_id: str) -> Response:
        reason = read_json(RefusalBody).reason
        return json_response(_members(installed(services.registrations).refuse(file_id, officer, reason)))

    api.add(SUBMIT, submit)
    api.add(SHOW, show)
    api.add(APPROVE, approve)
    api.add(REFUSE, refuse)


def _members(file: RegistrationFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "state": file.state.value,
        "kind": file.registration.kind.value,
        "realm": file.realm,
        "sha256": file.digest,
        "submitted_by": file.submitted_by,
        "submitted_at": format_instant(file.submitted_at),
        "approvals": [{"officer": given.officer, "at": format_instant(given.at)} for given in file.approvals],
        "refused_by": file.refused_by,
        "reason": file.reason,
    }
