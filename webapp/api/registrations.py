"""Registration files for officers over mutual TLS: drafted and submitted by one, approved by two others."""

from datetime import datetime, timedelta
from typing import Final

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from ca.est.secrets import LIFE, MAX_LIFE
from ca.officers.identity import Officer
from ca.registration import MAX_FILE_OCTETS, MAX_REASON, FileState, RegistrationFile
from pki.errors import ErrorCode
from pki.instants import format_instant
from webapp.json_requests import read_json, read_octets
from webapp.openapi import OF_BODIES, OFFICER, Api, Operation, Parameter, json_response
from webapp.queries import check_query, choice_in_query, flag_in_query
from webapp.registration_documents import listed_file_members, whole_file_members
from webapp.services import Services, installed

PATH: Final = "/api/v1/registrations"


class ApprovalAnswer(BaseModel):
    """One officer's yes."""

    officer: str
    at: datetime
    silence_reason: str | None = Field(default=None, description="Why it was taken that a registry did not answer.")


class EvidenceAnswer(BaseModel):
    """A document that the file names; what follows its digest is known once its scan was brought."""

    what: str
    sha256: str
    media_type: str | None = None
    octets: int | None = None
    attached_by: str | None = None
    attached_at: datetime | None = None
    deleted_at: datetime | None = None


class WordAnswer(BaseModel):
    """What a registry said: `ok`, `failed`, or `silent`, which is no word about the holder."""

    source: str
    answer: str
    at: datetime
    why: str | None = None
    differs: list[str] = Field(default=[], description="Claims that are another in the registry, never their values.")
    reference: str | None = None
    valid_until: datetime | None = None


class RegistrationAnswer(BaseModel):
    """A registration file without identifiers."""

    id: str
    state: FileState
    kind: str
    name: str
    province: str | None
    realm: str | None = Field(description="The realm that the file belongs to: its submitter's.")
    evidence: list[EvidenceAnswer]
    sha256: str = Field(description="The digest of the registration that approvals are about.")
    submitted_by: str
    submitted_at: datetime
    previous: str | None = Field(description="The closed file of the same holder that this one comes after.")
    checked_at: datetime | None
    registries: list[WordAnswer]
    approvals: list[ApprovalAnswer]
    refused_by: str | None
    refused_at: datetime | None
    reason: str | None = Field(description="Why it was refused.")
    expires_at: datetime | None = Field(description="When an undecided file ends by itself.")
    ended_at: datetime | None


class ListedAnswer(BaseModel):
    """A file in a list."""

    id: str
    state: FileState
    kind: str
    province: str | None
    realm: str | None
    submitted_by: str
    submitted_at: datetime
    expires_at: datetime | None


class ListAnswer(BaseModel):
    """Files that the officer's roles cover, newest first, and behind which one the next page begins."""

    registrations: list[ListedAnswer]
    next: str | None


class ApprovalBody(BaseModel):
    """A yes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    silence_reason: str | None = Field(
        default=None, min_length=1, max_length=MAX_REASON, description="Why it is taken that a registry did not answer."
    )


class RefusalBody(BaseModel):
    """Why a file is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=MAX_REASON)


class EmptyBody(BaseModel):
    """An empty object: the act is all that is said."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SecretBody(BaseModel):
    """How many days a secret lasts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    days: int = Field(default=LIFE.days, ge=1, le=MAX_LIFE.days)


class SecretAnswer(BaseModel):
    """A one-time secret, shown now and never again."""

    file: str
    secret: str
    expires_at: datetime


_READING: Final = (ErrorCode.NOT_FOUND,)
_ACTING: Final = (*_READING, ErrorCode.STATE_ILLEGAL)
SUBMIT: Final = Operation(
    method="POST",
    path=PATH,
    name="submitRegistration",
    summary="The file, submitted or drafted",
    description="Ask the registries about a registration and put it before the approvers, or keep it to submit later. "
    "Two other officers approve it.",
    answer=RegistrationAnswer,
    status=201,
    problems=(*OF_BODIES, ErrorCode.IDENTITY_INVALID, ErrorCode.IDENTITY_DIFFERS, ErrorCode.STATE_ILLEGAL, *_READING),
    security=OFFICER,
    parameters=(
        Parameter(
            place="query",
            name="draft",
            description="Keep it to submit later; the registries are not asked yet.",
            schema={"type": "boolean", "default": False},
        ),
        Parameter(
            place="query", name="previous", description="The closed file of the same holder that this one comes after."
        ),
    ),
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
LIST: Final = Operation(
    method="GET",
    path=PATH,
    name="listRegistrations",
    summary="One page of files",
    description="Look through at most 100 files and list those that the officer's roles cover: a page may be short, "
    "and another behind it. Who looks is recorded.",
    answer=ListAnswer,
    problems=(*_READING, ErrorCode.INPUT_MALFORMED),
    security=OFFICER,
    parameters=(
        Parameter(
            place="query",
            name="state",
            description="Only files in this state.",
            schema={"enum": [state.value for state in FileState]},
        ),
        Parameter(place="query", name="after", description="Go on behind this file: `next` of the page before."),
    ),
)
SHOW: Final = Operation(
    method="GET",
    path=PATH + "/{file_id}",
    name="showRegistration",
    summary="The file",
    description="A registration file, what the registries said and what officers decided. Who looks is recorded.",
    answer=RegistrationAnswer,
    problems=_READING,
    security=OFFICER,
)
PRESENT: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/submission",
    name="submitDraft",
    summary="The file, submitted",
    description="Ask the registries about one's own draft and put it before the approvers.",
    answer=RegistrationAnswer,
    body=EmptyBody,
    problems=_ACTING,
    security=OFFICER,
)
CHECK: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/checks",
    name="checkRegistration",
    summary="The file with what the registries say now",
    description="Ask the registries again about a file that is not decided.",
    answer=RegistrationAnswer,
    body=EmptyBody,
    problems=_ACTING,
    security=OFFICER,
)
APPROVE: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/approvals",
    name="approveRegistration",
    summary="The file after this approval",
    description="Give one of the two approvals; nobody approves what they submitted, their own file, or twice. A "
    "registry's no refuses it; its silence does unless a reason is given.",
    answer=RegistrationAnswer,
    body=ApprovalBody,
    problems=(*_ACTING, ErrorCode.FOUR_EYES, ErrorCode.REGISTRY_REFUSED, ErrorCode.REGISTRY_SILENT),
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
    problems=_ACTING,
    security=OFFICER,
)
WITHDRAW: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/withdrawal",
    name="withdrawRegistration",
    summary="The file, withdrawn",
    description="Take back one's own file before it is decided.",
    answer=RegistrationAnswer,
    body=EmptyBody,
    problems=_ACTING,
    security=OFFICER,
)
SECRET: Final = Operation(
    method="POST",
    path=PATH + "/{file_id}/est-secret",
    name="makeEnrolmentSecret",
    summary="The secret, once",
    description="Make the one-time secret by which a centre or system enrols over EST, in place of the one before.",
    answer=SecretAnswer,
    status=201,
    body=SecretBody,
    problems=_ACTING,
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/registrations`."""

    def whole(file: RegistrationFile, status: int = 200) -> Response:
        words = installed(services.registrations).words(file.id)
        brought = installed(services.evidence).of_file(file.id)
        return json_response(whole_file_members(file, words, brought), status)

    def submit(officer: Officer) -> Response:
        check_query(("draft", "previous"))
        desk, is_draft = installed(services.registrations), flag_in_query("draft")
        data, previous = read_octets(MAX_FILE_OCTETS), request.args.get("previous")
        if is_draft:
            file = desk.draft_file(data, officer, previous=previous)
        else:
            file = desk.submit_file(data, officer, previous=previous)
        answer = whole(file, 201)
        answer.headers["Location"] = f"{PATH}/{file.id}"
        return answer

    def listed(officer: Officer) -> Response:
        check_query(("state", "after"))
        state = choice_in_query("state", FileState)
        page = installed(services.registrations).page(officer, state, after=request.args.get("after"))
        return json_response({"registrations": [listed_file_members(file) for file in page.files], "next": page.next})

    def show(officer: Officer, file_id: str) -> Response:
        return whole(installed(services.registrations).show(file_id, officer))

    def present(officer: Officer, file_id: str) -> Response:
        read_json(EmptyBody)
        return whole(installed(services.registrations).submit_draft(file_id, officer))

    def check(officer: Officer, file_id: str) -> Response:
        read_json(EmptyBody)
        return whole(installed(services.registrations).check(file_id, officer))

    def approve(officer: Officer, file_id: str) -> Response:
        said = read_json(ApprovalBody).silence_reason
        return whole(installed(services.registrations).approve(file_id, officer, silence_reason=said))

    def refuse(officer: Officer, file_id: str) -> Response:
        reason = read_json(RefusalBody).reason
        return whole(installed(services.registrations).refuse(file_id, officer, reason))

    def withdraw(officer: Officer, file_id: str) -> Response:
        read_json(EmptyBody)
        return whole(installed(services.registrations).withdraw(file_id, officer))

    def make_secret(officer: Officer, file_id: str) -> Response:
        life = timedelta(days=read_json(SecretBody).days)
        made = installed(services.secrets).make(file_id, officer, life)
        return json_response(
            {"file": made.file_id, "secret": made.secret, "expires_at": format_instant(made.expires_at)}, 201
        )

    api.add(SUBMIT, submit)
    api.add(LIST, listed)
    api.add(SHOW, show)
    api.add(PRESENT, present)
    api.add(CHECK, check)
    api.add(APPROVE, approve)
    api.add(REFUSE, refuse)
    api.add(WITHDRAW, withdraw)
    api.add(SECRET, make_secret)
