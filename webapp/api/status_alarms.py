"""Alarms about officers who revoke or suspend much, for two others to look at."""

from datetime import datetime
from typing import Final

from flask import Response
from pydantic import BaseModel, Field

from ca.officers.identity import Officer
from pki.errors import ErrorCode
from webapp.api.alarms import NoteBody
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.revocation_documents import status_alarm_members
from webapp.services import Services, installed

PATH: Final = "/api/v1/status-alarms"


class StatusAlarmAnswer(BaseModel):
    """Many changes by one officer, and the officers who said that the alarm may be closed."""

    alarm: str
    officer: str
    changes: int = Field(description="Certificates revoked or suspended; counts on while the alarm is open.")
    since: datetime
    raised_at: datetime
    closed_at: datetime | None
    officers: list[str]


class StatusAlarmsAnswer(BaseModel):
    """Open alarms, oldest first, at most 500."""

    alarms: list[StatusAlarmAnswer]


LIST: Final = Operation(
    method="GET",
    path=PATH,
    name="listStatusAlarms",
    summary="The open alarms",
    description="Officers who revoked or suspended many certificates in a short time. Nothing was stopped.",
    answer=StatusAlarmsAnswer,
    problems=(),
    security=OFFICER,
)
CLOSE: Final = Operation(
    method="POST",
    path=PATH + "/{alarm_id}/notes",
    name="noteStatusAlarm",
    summary="The alarm after this note",
    description="Say why an alarm may be closed; it is when a second officer says so. Nobody closes one of their own.",
    answer=StatusAlarmAnswer,
    body=NoteBody,
    problems=(ErrorCode.NOT_FOUND, ErrorCode.FOUR_EYES, ErrorCode.STATE_ILLEGAL),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/status-alarms`."""

    def listed(officer: Officer) -> Response:
        found = installed(services.status_alarms).alarms_for(officer)
        return json_response({"alarms": [status_alarm_members(alarm) for alarm in found]})

    def close(officer: Officer, alarm_id: str) -> Response:
        note = read_json(NoteBody).note
        return json_response(status_alarm_members(installed(services.status_alarms).close(alarm_id, officer, note)))

    api.add(LIST, listed)
    api.add(CLOSE, close)
