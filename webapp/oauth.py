"""The OAuth addresses: token, introspection, revocation, server metadata.

The trade itself (client assertions, the gate, binding, signing, what a refusal may tell) is `ca.tokens`'s; here
are the form and the connection it came over.
"""

import json
from typing import Final

from flask import Flask, Response, request

from ca.tokens.oauth_answers import OAuthError, OAuthResponse, RequestRefused, unavailable
from pki.errors import ErrorCode
from webapp.callers import peer_certificate
from webapp.openapi import JSON, json_response
from webapp.services import OAuthEndpoint, Services, installed

MAX_FORM_OCTETS: Final = 64 * 1024
FORM: Final = "application/x-www-form-urlencoded"


def install(app: Flask, services: Services) -> None:
    """Serve `/oauth2/token`, `/oauth2/introspect`, `/oauth2/revoke` and the metadata (RFC 8414 §3)."""
    _add(app, "token", services.token)
    _add(app, "introspect", services.introspection)
    _add(app, "revoke", services.revocation)

    def metadata() -> Response:
        answer = json_response(installed(services.oauth_metadata)())
        answer.headers["Cache-Control"] = "public, max-age=300"
        return answer

    app.add_url_rule("/.well-known/oauth-authorization-server", "oauth_metadata", metadata, methods=["GET"])


def _add(app: Flask, name: str, endpoint: OAuthEndpoint | None) -> None:
    def view() -> Response:
        if endpoint is None:
            return _response(unavailable())
        if request.mimetype != FORM:  # RFC 6749 §4.4.2
            return _response(_bad_request(ErrorCode.MEDIA_TYPE_REFUSED))
        if request.content_length is None or request.content_length > MAX_FORM_OCTETS:
            return _response(_bad_request(ErrorCode.INPUT_TOO_LARGE))
        return _response(endpoint(request.form.to_dict(flat=False), peer_certificate()))

    app.add_url_rule(f"/oauth2/{name}", f"oauth_{name}", view, methods=["POST"])


def _bad_request(code: ErrorCode) -> OAuthResponse:
    return RequestRefused(OAuthError.INVALID_REQUEST, code, str(code)).response()


def _response(answer: OAuthResponse) -> Response:
    body = b"" if answer.json is None else json.dumps(answer.json, ensure_ascii=False).encode()
    return Response(body, status=answer.status, headers=dict(answer.headers), content_type=JSON)
