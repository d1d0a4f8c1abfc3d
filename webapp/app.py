"""`create_app`: the Flask application, put together from its parts over given services."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flask import Flask, Response, g, request
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from pki.errors import ErrorCode, ServiceError
from webapp import api, assets, est, languages, logs, oauth, security, typography, uploads
from webapp.addresses import is_machine_path
from webapp.pages import activate, frame, site, suspend, verify
from webapp.problems import Problem, problem_of
from webapp.services import Services

TEMPLATES: Final = Path(__file__).with_name("templates")
_CODES: Final = {
    403: ErrorCode.NOT_ALLOWED,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_REFUSED,
    413: ErrorCode.INPUT_TOO_LARGE,
    415: ErrorCode.MEDIA_TYPE_REFUSED,
    503: ErrorCode.UNAVAILABLE,
}


def create_app(services: Services) -> Flask:
    """Build the application: pages, API, OAuth addresses, static files.

    Status endpoints are not here: put `webapp.status.status_wsgi(services, app)` in front.
    """
    app = Flask("webapp", static_folder=None, template_folder=str(TEMPLATES))
    app.url_map.merge_slashes = False  # a doubled slash is another address: programs are not sent on by a page
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    _log_requests(app, services.counted)
    uploads.install(app)
    languages.install(app)
    security.install(app, services.page_origins)
    typography.install(app)
    assets.install(app, assets.Assets(services.font_file))
    frame.install(app)
    site.install(app, services)
    verify.install(app, services)
    activate.install(app, services)
    suspend.install(app, services)
    api.install(app, services)
    oauth.install(app, services)
    est.install(app, services)
    _answer_errors(app)
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
    return app


def _log_requests(app: Flask, counted: Callable[[str, int], None] | None) -> None:
    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def line(response: Response) -> Response:
        logs.log_request(
            request_id=g.get("request_id", ""),
            method=request.method,
            route=_route(),
            status=response.status_code,
            milliseconds=(time.perf_counter() - g.get("started", time.perf_counter())) * 1000,
        )
        if counted is not None:
            counted(_route(), response.status_code)
        return response


def _route() -> str:
    return request.url_rule.rule if request.url_rule else "(none)"


def _answer_errors(app: Flask) -> None:
    """Turn every exception into a page or a problem document; the unexpected leaves an incident in the log."""

    @app.errorhandler(ServiceError)
    def service_error(error: ServiceError) -> Response:
        return _answer(problem_of(error, g.request_id))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response | HTTPException:
        if isinstance(error, RequestRedirect):  # of /en to /en/
            return error
        status = error.code or 500
        code = _CODES.get(status, ErrorCode.INPUT_MALFORMED if status < 500 else ErrorCode.INTERNAL)
        response = _answer(Problem(code=code, request_id=g.request_id))
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        logs.log_incident(error, request_id=g.request_id, route=_route())
        return _answer(Problem(code=ErrorCode.INTERNAL, request_id=g.request_id))


def _answer(problem: Problem) -> Response:
    return frame.problem_document(problem) if is_machine_path(request.path) else frame.problem_page(problem)
