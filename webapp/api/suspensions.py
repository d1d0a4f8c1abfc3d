"""Suspension by the holder, for officers over mutual TLS: a call centre takes codes, an issuer has new ones made."""

from datetime import datetime
from typing import Final

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.officers.identity import Officer
from ca.status.revocation import CertificateState, RevocationReason
from pki.errors import ErrorCode, NotFound
from webapp.api.registrations import PATH as REGISTRATIONS
from webapp.api.registrations import EmptyBody
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.published import publish_soon
from webapp.services import Services, installed
from webapp.suspension_documents import suspended_members, suspension_code_members

PATH: Final = "/api/v1/suspensions"
WAY: Final = "telephone"


class SaidCodeBody(BaseModel):
    """The code that a holder says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(max_length=64, description="Sixteen digits; spaces and hyphens do not matter.")


class SuspendedCertificate(BaseModel):
    """A certificate and its status, without its holder's national code."""

    serial: str
    state: CertificateState
    profile: str
    profile_version: int | None
    issuer: str
    name: str
    not_after: datetime
    unapproved: bool
    reason: RevocationReason | None
    revoked_at: datetime | None
    predecessor: str | None = Field(description="What it renews or replaces.")


class SuspendedAnswer(BaseModel):
    """What a code suspended."""

    file: str = Field(description="The registration file that the code was sent for.")
    at: datetime
    suspended: list[SuspendedCertificate]
    before: list[SuspendedCertificate] = Field(description="What was on hold, or not activated, already.")
    published: bool = Field(description="Whether the lists tell it; if not, the worker publishes them within a second.")


class SuspensionCodeAnswer(BaseModel):
    """That the holder of a registration file has a suspension code; never the code."""

    file: str
    channel: str = Field(description="The way by which it goes.")
    made_by: str
    made_at: datetime
    sent_at: datetime | None = Field(description="When it was under way.")


SUSPEND: Final = Operation(
    method="POST",
    path=PATH,
    name="takeSuspensionCode",
    summary="What was suspended",
    description="Suspend from now on everything that is a holder's, who tells the code on the telephone. Any officer "
    "may. Every wrong code is answered alike; after five within an hour none is taken for that hour.",
    answer=SuspendedAnswer,
    body=SaidCodeBody,
    problems=(ErrorCode.SUSPENSION_REFUSED, ErrorCode.DATABASE_UNAVAILABLE),
    security=OFFICER,
)
MAKE: Final = Operation(
    method="POST",
    path=REGISTRATIONS + "/{file_id}/suspension-code",
    name="makeSuspensionCode",
    summary="The new code; it is sent within seconds",
    description="Have a new suspension code sent to the holder. The one before is void once this one is under way.",
    answer=SuspensionCodeAnswer,
    body=EmptyBody,
    status=201,
    problems=(ErrorCode.NOT_FOUND, ErrorCode.STATE_ILLEGAL),
    security=OFFICER,
)
SHOW: Final = Operation(
    method="GET",
    path=REGISTRATIONS + "/{file_id}/suspension-code",
    name="showSuspensionCode",
    summary="When the code was made and sent",
    description="The code itself is nowhere to be seen. Who looks is recorded.",
    answer=SuspensionCodeAnswer,
    problems=(ErrorCode.NOT_FOUND,),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/suspensions` and `/api/v1/registrations/{id}/suspension-code`."""

    def suspend(officer: Officer) -> Response:
        code = read_json(SaidCodeBody).code
        done = installed(services.suspension).suspend_for(code, officer, WAY)
        published = publish_soon(services.publish_status, done.changed)
        return json_response({**suspended_members(done), "published": published})

    def make(officer: Officer, file_id: str) -> Response:
        read_json(EmptyBody)
        return json_response(suspension_code_members(installed(services.suspension).make(file_id, officer)), 201)

    def show(officer: Officer, file_id: str) -> Response:
        installed(services.registrations).show(file_id, officer)
        found = installed(services.suspension).code_of(file_id)
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no suspension code of this file yet")
        return json_response(suspension_code_members(found))

    api.add(SUSPEND, suspend)
    api.add(MAKE, make)
    api.add(SHOW, show)
