"""Officers, their roles and realms, for officers over mutual TLS."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.officers.desk import OfficerDesk
from ca.officers.identity import Officer, Role
from ca.officers.realms import Level, Realm
from ca.officers.records import Grant, OfficerState, RequestState
from ca.officers.scopes import MAX_NAMES, Scope
from pki.certificates import load_certificates
from pki.errors import ErrorCode, InvalidInput
from webapp.json_requests import read_json
from webapp.officer_documents import officer_members, realm_members, request_members
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.services import Services, installed

OFFICERS: Final = "/api/v1/officers"
REALMS: Final = "/api/v1/realms"
REQUESTS: Final = "/api/v1/role-requests"

Names = list[str] | None
_Enum = TypeVar("_Enum", bound=StrEnum)


class _Answer(BaseModel):
    professions: Names = Field(description="Professions and kinds of holders; null is all there are.")
    provinces: Names


class RoleAnswer(_Answer):
    """A role in a realm."""

    role: Role
    realm: str


class RealmAnswer(_Answer):
    """A realm."""

    id: str
    parent: str | None
    level: Level
    name: str


class OfficerAnswer(BaseModel):
    """An officer."""

    id: str
    name: str
    realm: str
    state: OfficerState
    roles: list[RoleAnswer]


class RoleRequestAnswer(RoleAnswer):
    """A role that one administrator asked for, and what another decided."""

    id: str
    officer: str
    state: RequestState
    requested_by: str
    requested_at: datetime
    decided_by: str | None


class OfficersAnswer(BaseModel):
    """Officers, by id."""

    officers: list[OfficerAnswer]


class RealmsAnswer(BaseModel):
    """Realms, by id."""

    realms: list[RealmAnswer]


class RoleRequestsAnswer(BaseModel):
    """Requests that wait for a decision, oldest first."""

    requests: list[RoleRequestAnswer]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _ScopedBody(_Body):
    professions: Names = Field(default=None, max_length=MAX_NAMES)
    provinces: Names = Field(default=None, max_length=MAX_NAMES)

    @property
    def scope(self) -> Scope:
        return Scope(
            professions=None if self.professions is None else frozenset(self.professions),
            provinces=None if self.provinces is None else frozenset(self.provinces),
        )


class EnrolmentBody(_Body):
    """A new officer."""

    id: str = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    name: str
    realm: str
    national_code: str | None = None


class CertificateBody(_Body):
    """A certificate of the register."""

    pem: str = Field(max_length=32 * 1024)


class SuspensionBody(_Body):
    """Why an officer is suspended."""

    reason: str = Field(min_length=1, max_length=256)


class NothingBody(_Body):
    """An empty object: the act is all that is said."""


class RoleBody(_ScopedBody):
    """A role that is asked for."""

    role: str
    realm: str


class RealmBody(_ScopedBody):
    """A new realm below another."""

    id: str
    parent: str
    level: str
    name: str


_CHANGING: Final = (ErrorCode.NOT_FOUND, ErrorCode.CONFLICT, ErrorCode.FOUR_EYES, ErrorCode.STATE_ILLEGAL)


def _list(path: str, name: str, summary: str, answer: type[BaseModel]) -> Operation:
    return Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        description=f"{summary}; any officer may read.",
        answer=answer,
        problems=(),
        security=OFFICER,
    )


def _change(
    path: str,
    name: str,
    summary: str,
    description: str,
    body: type[BaseModel],
    answer: type[BaseModel],
    status: int = 200,
) -> Operation:
    return Operation(
        method="POST",
        path=path,
        name=name,
        summary=summary,
        description=description,
        answer=answer,
        body=body,
        status=status,
        problems=(*_CHANGING, ErrorCode.IDENTITY_INVALID, ErrorCode.IDENTITY_DIFFERS, ErrorCode.CERTIFICATE_MALFORMED),
        security=OFFICER,
    )


LIST_OFFICERS: Final = _list(OFFICERS, "listOfficers", "The officers", OfficersAnswer)
LIST_REALMS: Final = _list(REALMS, "listRealms", "The realms", RealmsAnswer)
LIST_REQUESTS: Final = _list(REQUESTS, "listRoleRequests", "The requests that wait", RoleRequestsAnswer)
ENROL: Final = _change(
    OFFICERS,
    "enrolOfficer",
    "The officer",
    "Enrol an officer, who may do nothing before a certificate is bound and a role granted.",
    EnrolmentBody,
    OfficerAnswer,
    201,
)
BIND: Final = _change(
    OFFICERS + "/{officer_id}/certificates",
    "bindOfficerCertificate",
    "The officer",
    "Bind a certificate of the register to the officer whom it was issued to; not one's own.",
    CertificateBody,
    OfficerAnswer,
)
SUSPEND: Final = _change(
    OFFICERS + "/{officer_id}/suspension",
    "suspendOfficer",
    "The officer, suspended",
    "From the next transaction on, the officer may do nothing.",
    SuspensionBody,
    OfficerAnswer,
)
RESTORE: Final = _change(
    OFFICERS + "/{officer_id}/restoration",
    "restoreOfficer",
    "The officer, restored",
    "Let a suspended officer act again.",
    NothingBody,
    OfficerAnswer,
)
REQUEST_ROLE: Final = _change(
    OFFICERS + "/{officer_id}/roles",
    "requestRole",
    "The request",
    "Ask for a role for another officer; a second administrator grants it.",
    RoleBody,
    RoleRequestAnswer,
    201,
)
REMOVE_ROLE: Final = _change(
    OFFICERS + "/{officer_id}/role-removals",
    "removeRole",
    "The officer without the role",
    "Take a role away at once; one administrator suffices.",
    RoleBody,
    OfficerAnswer,
)
APPROVE_ROLE: Final = _change(
    REQUESTS + "/{request_id}/approvals",
    "approveRole",
    "The request, granted",
    "Grant what another administrator asked for; not one's own role, not one's own request.",
    NothingBody,
    RoleRequestAnswer,
)
REFUSE_ROLE: Final = _change(
    REQUESTS + "/{request_id}/refusal",
    "refuseRole",
    "The request, refused",
    "Refuse what was asked for.",
    NothingBody,
    RoleRequestAnswer,
)
ADD_REALM: Final = _change(
    REALMS, "addRealm", "The realm", "Add a realm below another, within its scope.", RealmBody, RealmAnswer, 201
)


def _enum(kind: type[_Enum], value: str, member: str) -> _Enum:
    try:
        return kind(value)
    except ValueError as error:
        detail = f"{member} is one of {', '.join(kind)}"
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="request.member-value") from error


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/officers`, `/api/v1/realms` and `/api/v1/role-requests`."""

    def desk() -> OfficerDesk:
        return installed(services.officers)

    def list_of(name: str, read: Callable[[OfficerDesk], list[dict[str, Any]]]) -> Callable[..., Response]:
        def view(officer: Officer) -> Response:
            del officer  # whoever is one may read
            return json_response({name: read(desk())})

        return view

    def enrol(officer: Officer) -> Response:
        body = read_json(EnrolmentBody)
        record = desk().enrol(body.id, body.name, body.national_code, body.realm, officer)
        return json_response(officer_members(record), 201)

    def bind(officer: Officer, officer_id: str) -> Response:
        certificate = load_certificates(read_json(CertificateBody).pem.encode())[0]
        return json_response(officer_members(desk().bind(officer_id, certificate.der, officer)))

    def suspend(officer: Officer, officer_id: str) -> Response:
        return json_response(officer_members(desk().suspend(officer_id, officer, read_json(SuspensionBody).reason)))

    def restore(officer: Officer, officer_id: str) -> Response:
        read_json(NothingBody)
        return json_response(officer_members(desk().restore(officer_id, officer)))

    def request_role(officer: Officer, officer_id: str) -> Response:
        body = read_json(RoleBody)
        grant = Grant(role=_enum(Role, body.role, "role"), realm=body.realm, scope=body.scope)
        return json_response(request_members(desk().request_role(officer_id, grant, officer)), 201)

    def remove_role(officer: Officer, officer_id: str) -> Response:
        body = read_json(RoleBody)
        record = desk().remove_role(officer_id, _enum(Role, body.role, "role"), body.realm, officer)
        return json_response(officer_members(record))

    def approve_role(officer: Officer, request_id: str) -> Response:
        read_json(NothingBody)
        return json_response(request_members(desk().approve_role(request_id, officer)))

    def refuse_role(officer: Officer, request_id: str) -> Response:
        read_json(NothingBody)
        return json_response(request_members(desk().refuse_role(request_id, officer)))

    def add_realm(officer: Officer) -> Response:
        body = read_json(RealmBody)
        level = _enum(Level, body.level, "level")
        realm = Realm(id=body.id, parent=body.parent, level=level, name=body.name, scope=body.scope)
        return json_response(realm_members(desk().add_realm(realm, officer)), 201)

    api.add(LIST_OFFICERS, list_of("officers", lambda found: [officer_members(one) for one in found.officers()]))
    api.add(LIST_REALMS, list_of("realms", lambda found: [realm_members(one) for one in found.realms()]))
    api.add(LIST_REQUESTS, list_of("requests", lambda found: [request_members(one) for one in found.requests()]))
    for operation, view in (
        (ENROL, enrol),
        (BIND, bind),
        (SUSPEND, suspend),
        (RESTORE, restore),
        (REQUEST_ROLE, request_role),
        (REMOVE_ROLE, remove_role),
        (APPROVE_ROLE, approve_role),
        (REFUSE_ROLE, refuse_role),
        (ADD_REALM, add_realm),
    ):
        api.add(operation, view)
