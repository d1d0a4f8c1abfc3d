"""An OpenAPI 3.1 layer: one registration makes both the rule and its description.

Errors are RFC 9457 problem documents, described once. Nothing that a caller sent is echoed in an error.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from flask import Flask, Response, request
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from ca.officers.identity import Officer
from pki.errors import ErrorCode, NotAllowed
from webapp.callers import require_deliberate
from webapp.freshness import etag_of
from webapp.problems import STATUS

JSON: Final = "application/json; charset=utf-8"
REF: Final = "#/components/schemas/{model}"
EVERYWHERE: Final = (ErrorCode.METHOD_REFUSED, ErrorCode.INTERNAL)
FOR_OFFICERS: Final = (
    ErrorCode.OFFICER_UNKNOWN,
    ErrorCode.OFFICER_SUSPENDED,
    ErrorCode.SCOPE_EXCEEDED,
    ErrorCode.NOT_ALLOWED,
    ErrorCode.MEDIA_TYPE_REFUSED,
    ErrorCode.CROSS_SITE_REFUSED,
    ErrorCode.UNAVAILABLE,
    ErrorCode.RECOVERY_PENDING,
)
OF_BODIES: Final = (
    ErrorCode.JSON_MALFORMED,
    ErrorCode.INPUT_MALFORMED,
    ErrorCode.INPUT_EMPTY,
    ErrorCode.INPUT_TOO_LARGE,
    ErrorCode.LENGTH_REQUIRED,
)
"""What a JSON request body may be refused for."""
PUBLIC: Final[tuple[str, ...]] = ()
"""The security of an operation that anybody may ask for."""
OFFICER: Final = ("officerCertificate",)
"""The security of an operation that officers ask for over mutual TLS."""
_IN_PATH: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Where the code is explained.", examples=["/help/problems#input-empty"])
    title: str = Field(description="One English sentence.")
    title_fa: str = Field(description="The same sentence in Persian.")
    status: int
    code: str = Field(description="Stable; programs decide by it.", examples=["input-empty"])
    detail: str | None = None
    request_id: str = Field(description="Names the line in the server's log.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a request says outside its body and path: a header or a member of the query."""

    place: Literal["header", "query"]
    name: str
    description: str
    required: bool = False
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


IDEMPOTENCY_KEY: Final = Parameter(
    place="header",
    name="Idempotency-Key",
    description="The caller's own name of this request: sent again, it is answered again and not done again.",
    required=True,
    schema={"type": "string", "pattern": "^[ -+\\--~]{1,128}$"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: its rule and what the document says of it.

    `{name}` in `path` is handed to the view as that keyword. `security` is stated by every operation; PUBLIC means
    that anybody may ask. An `answer` of another `media_type` than JSON is one line of it; without one, the answer is
    octets of one of `media_types`. `body` is a JSON request body, `request_body` describes any other. `problems` are
    those that only this operation has: the ones of its body, of officers and of all need not be said.
    """

    method: str
    path: str
    name: str
    summary: str
    description: str
    answer: type[BaseModel] | None
    problems: tuple[ErrorCode, ...]
    security: tuple[str, ...]
    status: int = 200
    media_type: str = "application/json"
    media_types: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    request_body: Mapping[str, Any] | None = None
    parameters: tuple[Parameter, ...] = ()
    other_statuses: Mapping[int, str] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return _IN_PATH.sub(r"<\1>", self.path)


def _nobody() -> Officer:
    raise NotAllowed(ErrorCode.OFFICER_UNKNOWN, reason="officer.no-certificate")


class Api:
    """Registers operations on an application and writes the document about them."""

    def __init__(
        self, app: Flask, *, title: str, version: str, server: str, officer_of_request: Callable[[], Officer] = _nobody
    ) -> None:
        self._app = app
        self._officer_of_request = officer_of_request
        self._about = {"title": title, "version": version}
        self._server = server
        self._operations: list[Operation] = []

    def add(self, operation: Operation, view: Callable[..., Response]) -> None:
        """Serve `operation` by `view`; one for officers is given the `officer` who asks, or is not asked."""
        self._operations.append(operation)
        served = self._for_officers(view) if operation.security == OFFICER else view
        self._app.add_url_rule(operation.rule, operation.name, served, methods=[operation.method])

    def _for_officers(self, view: Callable[..., Response]) -> Callable[..., Response]:
        def decided(**names: str) -> Response:
            officer = self._officer_of_request()
            require_deliberate()
            return view(officer=officer, **names)

        return decided

    def document(self) -> dict[str, Any]:
        """Write the OpenAPI document."""
        answers = {one.answer for one in self._operations if one.answer is not None} | {ProblemDocument}
        bodies = {operation.body for operation in self._operations if operation.body is not None}
        modes: list[tuple[type[BaseModel], Literal["serialization", "validation"]]] = [
            *((model, "serialization") for model in sorted(answers, key=lambda model: model.__name__)),
            *((model, "validation") for model in sorted(bodies - answers, key=lambda model: model.__name__)),
        ]
        _, schemas = models_json_schema(modes, ref_template=REF)
        paths: dict[str, dict[str, Any]] = {}
        for operation in self._operations:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
        return {
            "openapi": "3.1.0",
            "info": self._about,
            "servers": [{"url": self._server}],
            "paths": paths,
            "components": {"schemas": schemas["$defs"], "securitySchemes": SECURITY_SCHEMES},
        }

    def serve_document(self, path: str) -> None:
        """Serve the document, built once, with an ETag."""
        body = json.dumps(self.document(), ensure_ascii=False, indent=1).encode()
        etag = etag_of(body)

        def view() -> Response:
            known = request.headers.get("If-None-Match") == etag
            answer = Response(b"" if known else body, status=304 if known else 200, content_type=JSON)
            answer.headers["ETag"] = etag
            answer.headers["Cache-Control"] = "public, max-age=300"
            return answer

        self._app.add_url_rule(path, "openapi", view, methods=["GET"])


SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "clientCertificate": {"type": "mutualTLS", "description": "The centre's connection certificate."},
    "officerCertificate": {
        "type": "mutualTLS",
        "description": "An officer's own certificate, bound to the officer in this deployment's register.",
    },
    "boundToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "RFC 9068 JWT",
        "description": "An access token bound to the client certificate (RFC 8705).",
    },
}


def _describe(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {} for media_type in operation.media_types}
    if operation.answer is not None:
        content = _json_content(operation.answer, operation.media_type)
    success = {"description": operation.summary, "content": content}
    answers: dict[str, Any] = {str(operation.status): success}
    for status, text in operation.other_statuses.items():
        answers[str(status)] = {"description": text, "content": success["content"]}
    everywhere = FOR_OFFICERS + EVERYWHERE if operation.security == OFFICER else EVERYWHERE
    of_body = OF_BODIES if operation.body is not None else ()
    known = tuple(dict.fromkeys((*operation.problems, *of_body, *everywhere)))
    for status in sorted({STATUS[code] for code in known}):
        codes = [str(code) for code in known if STATUS[code] == status]
        answers.setdefault(
            str(status),
            {
                "description": "Problem: " + ", ".join(codes),
                "content": {"application/problem+json": {"schema": {"$ref": REF.format(model="ProblemDocument")}}},
            },
        )
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        **({"parameters": parameters} if (parameters := _parameters(operation)) else {}),
        **({"requestBody": request_body} if (request_body := _request_body(operation)) else {}),
        "security": [{key: [] for key in operation.security}] if operation.security else [],
        "responses": answers,
    }


def _json_content(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": REF.format(model=model.__name__)}}}


def _request_body(operation: Operation) -> Mapping[str, Any] | None:
    if operation.body is None:
        return operation.request_body
    return {"required": True, "content": _json_content(operation.body)}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"in": "path", "name": name, "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(operation.path)
    ]
    others = [
        {"in": one.place, "name": one.name, "description": one.description, "required": one.required}
        | {"schema": dict(one.schema)}
        for one in operation.parameters
    ]
    return in_path + others


def json_response(members: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with a JSON object."""
    return Response(json.dumps(members, ensure_ascii=False), status=status, content_type=JSON)
