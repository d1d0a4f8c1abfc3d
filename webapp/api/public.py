"""Operations that no officer is needed for: verify a file, the protected demonstration endpoint, health."""

from datetime import datetime
from typing import Any, Final

from flask import Response
from pydantic import BaseModel, ConfigDict

from pki.compact_jws import TokenRefused
from pki.errors import ErrorCode, NotAllowed
from webapp.callers import bearer_token, peer_certificate
from webapp.health import PartState
from webapp.openapi import PUBLIC, Api, Operation, json_response
from webapp.reports import MEDIA_TYPES, report_kind, report_on
from webapp.schemas import FileVerdict
from webapp.services import Services, installed
from webapp.uploads import MAX_REQUEST_OCTETS, read_upload

HIX_SCOPE: Final = "hix.submit"
_BINARY: Final = {"type": "string", "format": "binary"}


class PartAnswer(BaseModel):
    """One part of the service."""

    state: PartState
    since: datetime | None
    vital: bool
    note: str | None = None


class HealthAnswer(BaseModel):
    """The service and its parts."""

    state: PartState
    at: datetime
    parts: dict[str, PartAnswer]


class EchoAnswer(BaseModel):
    """What the protected endpoint knows of its caller."""

    model_config = ConfigDict(extra="allow")

    client_id: str
    scopes: list[str]
    at: datetime


VERIFY: Final = Operation(
    method="POST",
    path="/api/v1/verify",
    name="verifyFile",
    summary="The verdict on the file",
    description=(
        "Verify any signed file; its format is found from its bytes. Any bytes get a verdict, also unsigned ones. "
        f"The request holds at most {MAX_REQUEST_OCTETS} octets. Nothing is stored."
    ),
    answer=FileVerdict,
    problems=(
        ErrorCode.INPUT_EMPTY,
        ErrorCode.INPUT_MALFORMED,
        ErrorCode.INPUT_TOO_LARGE,
        ErrorCode.LENGTH_REQUIRED,
        ErrorCode.MEDIA_TYPE_REFUSED,
        ErrorCode.UNAVAILABLE,
    ),
    security=PUBLIC,
    request_body={
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": _BINARY, "content": {**_BINARY, "description": "detached content"}},
                }
            },
            "application/octet-stream": {"schema": _BINARY},
        },
    },
)
REPORT: Final = Operation(
    method="POST",
    path="/api/v1/verify/report/{form}",
    name="reportOnFile",
    summary="A report on the file",
    description=(
        "The verdict as a file to keep: `form` is `pdf` or `html` (people; Persian and English), `json` (the verdict "
        "with the tree of checks) or `xml` (ETSI TS 119 102-2). The request is that of `verifyFile`. Nothing is stored."
    ),
    answer=None,
    media_types=tuple(media_type.partition(";")[0] for media_type in MEDIA_TYPES.values()),
    problems=(*VERIFY.problems, ErrorCode.NOT_FOUND),
    security=PUBLIC,
    request_body=VERIFY.request_body,
)
ECHO: Final = Operation(
    method="GET",
    path="/api/v1/hix/echo",
    name="echoToCentre",
    summary="Who the exchange sees",
    description="A protected endpoint for a centre's first call: it needs a token and the certificate it is bound to.",
    answer=EchoAnswer,
    problems=(
        ErrorCode.TOKEN_INVALID,
        ErrorCode.TOKEN_EXPIRED,
        ErrorCode.TOKEN_BINDING,
        ErrorCode.SCOPE_REFUSED,
        ErrorCode.UNAVAILABLE,
    ),
    security=("clientCertificate", "boundToken"),
)
HEALTH: Final = Operation(
    method="GET",
    path="/healthz",
    name="health",
    summary="Each part's state",
    description="200 while care can go on; a part that does not answer is `silent`, not `down`.",
    answer=HealthAnswer,
    problems=(),
    security=PUBLIC,
    other_statuses={503: "A vital part is down or silent"},
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/verify` and its reports, `/api/v1/hix/echo` and `/healthz`."""

    def verify() -> Response:
        verifier, upload = installed(services.verify), read_upload()
        return json_response(verifier(upload.data, content=upload.content, name=upload.name))

    def report(form: str) -> Response:
        kind = report_kind(form)
        return report_on(read_upload(), kind, services)

    def echo() -> Response:
        decision = installed(services.access)(bearer_token(), peer_certificate())
        if decision.reasons:
            raise TokenRefused(decision.reasons[0], ", ".join(str(reason) for reason in decision.reasons))
        if decision.claims is None or not decision.allows(HIX_SCOPE):
            raise NotAllowed(ErrorCode.SCOPE_REFUSED, HIX_SCOPE)
        now = services.clock.now()
        members: dict[str, Any] = {
            "client_id": decision.claims.client_id,
            "scopes": sorted(decision.claims.scopes),
            "at": now.isoformat().replace("+00:00", "Z"),
        }
        return json_response(members | {"decision": decision.document(now)})

    def health() -> Response:
        report = services.health()
        return json_response(report.as_json(), 503 if report.state is PartState.DOWN else 200)

    api.add(VERIFY, verify)
    api.add(REPORT, report)
    api.add(ECHO, echo)
    api.add(HEALTH, health)
