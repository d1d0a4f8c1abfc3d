"""The linter's alarms for officers: listed, and closed once two of them said why."""

from datetime import datetime
from typing import Final

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.officers.identity import Officer
from ca.registration import MAX_REASON
from pki.errors import ErrorCode
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.registration_documents import alarm_members
from webapp.services import Services, installed

PATH: Final = "/api/v1/alarms"
MOST: Final = 500


class AlarmAnswer(BaseModel):
    """A certificate that breaks rules, and the officers who said that the alarm may be closed."""

    alarm: str
    serial: str
    linter: str
    severity: str
    rules: list[str]
    holds: bool = Field(description="Whether the certificate is not active yet, and cannot be while this is open.")
    raised_at: datetime
    closed_at: datetime | None
    officers: list[str]


class AlarmsAnswer(BaseModel):
    """Open alarms, oldest first, at most 500."""

    alarms: list[AlarmAnswer]


class NoteBody(BaseModel):
    """Why the alarm may be closed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    note: str = Field(min_length=1, max_length=MAX_REASON)


LIST: Final = Operation(
    method="GET",
    path=PATH,
    name="listAlarms",
    summary="The open alarms",
    description="What the independent linter found wrong and nobody has answered yet.",
    answer=AlarmsAnswer,
    problems=(),
    security=OFFICER,
)
CLOSE: Final = Operation(
    method="POST",
    path=PATH + "/{alarm_id}/notes",
    name="noteAlarm",
    summary="The alarm after this note",
    description="Say why an alarm may be closed; it is when a second officer says so.",
    answer=AlarmAnswer,
    body=NoteBody,
    problems=(
        ErrorCode.NOT_FOUND,
        ErrorCode.FOUR_EYES,
        ErrorCode.STATE_ILLEGAL,
    ),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/alarms`."""

    def listed(officer: Officer) -> Response:
        found = installed(services.linting).alarms_for(officer, limit=MOST)
        return json_response({"alarms": [alarm_members(alarm) for alarm in found]})

    def close(officer: Officer, alarm_id: str) -> Response:
        note = read_json(NoteBody).note
        return json_response(alarm_members(installed(services.linting).close_alarm(alarm_id, officer, note)))

    api.add(LIST, listed)
    api.add(CLOSE, close)
