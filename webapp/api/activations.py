"""Activations for officers over mutual TLS: new codes, and where an activation stands. Holders have a page."""

from datetime import datetime
from typing import Final

from flask import Response
from pydantic import BaseModel, Field

from ca.activation.records import ActivationState
from ca.officers.identity import Officer
from pki.errors import ErrorCode, NotFound
from webapp.activation_documents import activation_members
from webapp.api.registrations import PATH, EmptyBody
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.services import Services, installed


class ActivationAnswer(BaseModel):
    """The activation of what waits for the holder of a registration file; never a code."""

    activation: str = Field(description="Its name, as the letter tells it.", examples=["K7QM-2X9C-41TD"])
    file: str
    state: ActivationState
    channels: list[str] = Field(description="The ways by which the two codes go.")
    made_by: str
    made_at: datetime
    sent_at: datetime | None = Field(description="When both codes were under way.")
    expires_at: datetime
    tries_left: int
    done_at: datetime | None
    waiting: list[str] = Field(description="The serial numbers that wait for the holder.")


MAKE: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/activation",
    name="makeActivation",
    summary="The new activation; its codes are sent within seconds",
    description="Have new codes sent to the holder, by letter and SMS. Earlier ones are void. No answer shows a code.",
    answer=ActivationAnswer,
    body=EmptyBody,
    status=201,
    problems=(
        ErrorCode.NOT_FOUND,
        ErrorCode.STATE_ILLEGAL,
    ),
    security=OFFICER,
)
SHOW: Final = Operation(
    method="GET",
    path=PATH + "/{file_id}/activation",
    name="showActivation",
    summary="The activation",
    description="The file's open activation, or the one that was done last. Who looks is recorded.",
    answer=ActivationAnswer,
    problems=(ErrorCode.NOT_FOUND,),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/registrations/{id}/activation`."""

    def make(officer: Officer, file_id: str) -> Response:
        read_json(EmptyBody)
        installed(services.activation).make(file_id, officer)
        return _answer(file_id, 201)

    def show(officer: Officer, file_id: str) -> Response:
        installed(services.registrations).show(file_id, officer)
        return _answer(file_id, 200)

    def _answer(file_id: str, status: int) -> Response:
        found, waiting = installed(services.activation).status(file_id)
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no activation of this file yet")
        return json_response(activation_members(found, services.clock.now(), waiting), status)

    api.add(MAKE, make)
    api.add(SHOW, show)
