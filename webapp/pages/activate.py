"""The holder's page: the name of an activation and its two codes, and what they made good.

Nobody logs in here: who knows both codes is the holder. Five wrong pairs lock an activation, whose name is as hard to
guess as to lock.
"""

from flask import Flask, g, render_template, request

from ca.activation.codes import NAME_SYMBOLS, read_code
from ca.holder_codes.codes import grouped
from pki.errors import ErrorCode, InvalidInput, ServiceError
from webapp.pages.frame import ProblemView, add_page, problem_view
from webapp.problems import STATUS, problem_of
from webapp.services import Services, installed

WAY = "page"
MAX_FORM_OCTETS = 4096


def install(app: Flask, services: Services) -> None:
    """Serve the form and what became of it."""

    def page() -> str | tuple[str, int]:
        if request.method != "POST":
            return _form("")
        request.max_content_length = MAX_FORM_OCTETS
        name, letter, sms = (request.form.get(field, "") for field in ("activation", "letter", "sms"))
        try:
            done = installed(services.activation).activate(name, letter, sms, WAY)
        except ServiceError as error:
            if STATUS[error.code] >= 500:
                raise
            problem = problem_view(problem_of(error, g.request_id))
            return _form(name, problem), problem.status
        serials = [record.serial_hex for record in done.certificates]
        return render_template("activated.html", here="activate", serials=serials)

    add_page(app, "activate", page, ("GET", "POST"))


def _form(name: str, problem: ProblemView | None = None) -> str:
    mistyped = problem is not None and problem.code == ErrorCode.INPUT_MALFORMED
    known = _well_typed(name)
    return render_template("activate.html", here="activate", name=known, problem=problem, mistyped=mistyped)


def _well_typed(name: str) -> str:
    """Return the name of an activation to be shown again, in groups; nothing of what is none, and never a code."""
    try:
        return grouped(read_code(name, NAME_SYMBOLS))
    except InvalidInput:
        return ""
