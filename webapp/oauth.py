"""The OAuth addresses that answer through Flask: token endpoint and server metadata.

The trade itself (client assertions, the gate, binding, signing) is `ca`'s; here are the form, the error names of
RFC 6749 §5.2 and the cache headers of RFC 6749 §5.1.
"""

from typing import Final

from flask import Flask, Response, g, request

from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.messages import MESSAGES
from webapp.callers import peer_certificate
from webapp.openapi import json_response
from webapp.problems import problem_of
from webapp.services import Services, installed

MAX_FORM_OCTETS: Final = 32 * 1024
FORM: Final = "application/x-www-form-urlencoded"
_ERROR_NAMES: Final = {
    401: "invalid_client",
    403: "unauthorized_client",
    500: "server_error",
    502: "server_error",
    503: "temporarily_unavailable",
}


def install(app: Flask, services: Services) -> None:
    """Serve `/oauth2/token` and `/.well-known/oauth-authorization-server`."""

    def token() -> Response:
        try:
            members = installed(services.token)(_form(), peer_certificate())
        except ServiceError as error:
            return _refusal(error)
        answer = json_response(members)
        answer.headers["Pragma"] = "no-cache"
        return answer

    def metadata() -> Response:
        answer = json_response(installed(services.oauth_metadata)())
        answer.headers["Cache-Control"] = "public, max-age=300"
        return answer

    app.add_url_rule("/oauth2/token", "token", token, methods=["POST"])
    app.add_url_rule("/.well-known/oauth-authorization-server", "oauth_metadata", metadata, methods=["GET"])


def _form() -> dict[str, str]:
    """Read the form; no parameter may appear twice (RFC 6749 §3.2)."""
    if request.mimetype != FORM:
        raise InvalidInput(ErrorCode.MEDIA_TYPE_REFUSED, FORM)
    if (request.content_length or 0) > MAX_FORM_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {MAX_FORM_OCTETS} octets")
    found: dict[str, str] = {}
    for name, values in request.form.lists():
        if len(values) != 1:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a parameter appears twice")
        found[name] = values[0]
    return found


def _refusal(error: ServiceError) -> Response:
    """Answer with the error members of RFC 6749 §5.2 beside those of RFC 9457."""
    problem = problem_of(error, g.request_id)
    name, status = _ERROR_NAMES.get(problem.status, "invalid_request"), problem.status
    if problem.code is ErrorCode.SCOPE_REFUSED:
        name, status = "invalid_scope", 400
    members = problem.as_json() | {"error": name, "error_description": MESSAGES[problem.code].en, "status": status}
    answer = json_response(members, status)
    if status == 503:
        answer.headers.update(problem.extra_headers)
    return answer
