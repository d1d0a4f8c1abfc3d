"""The holder's emergency page: one code, and everything that is theirs is suspended from now on.

Nobody logs in here. Every wrong code is answered in the same words, and one address gets so many tries a minute.
"""

from flask import Flask, g, render_template, request

from ca.tokens.rate_limit import RateLimiter
from pki.errors import ErrorCode, ServiceError, Unavailable
from webapp.pages.frame import ProblemView, add_page, problem_view
from webapp.problems import STATUS, problem_of
from webapp.published import publish_soon
from webapp.services import Services, installed

WAY = "page"
MAX_FORM_OCTETS = 4096
TRIES_A_MINUTE = 20


def install(app: Flask, services: Services) -> None:
    """Serve the form and what became of it."""
    limiter = RateLimiter(per_minute=TRIES_A_MINUTE, burst=TRIES_A_MINUTE)

    def page() -> str | tuple[str, int]:
        if request.method != "POST":
            return _form()
        request.max_content_length = MAX_FORM_OCTETS
        code = request.form.get("code", "")
        if limiter.take(request.remote_addr or "", services.clock.now()) is not None:
            raise Unavailable(ErrorCode.OVERLOADED, "too many codes from this address")
        try:
            done = installed(services.suspension).suspend(code, WAY)
        except ServiceError as error:
            if STATUS[error.code] >= 500:
                raise
            problem = problem_view(problem_of(error, g.request_id))
            return _form(problem), problem.status
        publish_soon(services.publish_status, done.changed)
        serials = [record.serial_hex for record in (*done.changed, *done.before)]
        return render_template("suspended.html", here="suspend", serials=serials)

    add_page(app, "suspend", page, ("GET", "POST"))


def _form(problem: ProblemView | None = None) -> str:
    mistyped = problem is not None and problem.code == ErrorCode.INPUT_MALFORMED
    return render_template("suspend.html", here="suspend", problem=problem, mistyped=mistyped)
