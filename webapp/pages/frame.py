"""What every page shares: addresses in both languages, the frame's values, and how an error looks to people."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, g, render_template

from pki.errors import ErrorCode
from pki.messages import MESSAGES
from webapp.addresses import Language, page_path
from webapp.languages import current_language
from webapp.problems import CONTENT_TYPE, Problem

View = Callable[[], str | tuple[str, int] | Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemView:
    """A problem in the language of the page."""

    code: str
    status: int
    message: str


def add_page(app: Flask, page: str, view: View, methods: Iterable[str] = ("GET",)) -> None:
    """Serve one page at its Persian and its English address."""
    for language in Language:
        app.add_url_rule(page_path(page, language), page, view, methods=list(methods))


def sentence_of(code: ErrorCode) -> str:
    """Return an error code's sentence in the language of the request."""
    message = MESSAGES[code]
    return message.fa if current_language() is Language.FA else message.en


def problem_view(problem: Problem) -> ProblemView:
    """Put a problem into the language of the request."""
    return ProblemView(code=str(problem.code), status=problem.status, message=sentence_of(problem.code))


def problem_page(problem: Problem) -> Response:
    """Answer people with a page about a problem."""
    g.request_id = problem.request_id
    body = render_template("error.html", here="home", problem=problem_view(problem))
    return Response(body, status=problem.status, headers=problem.extra_headers)


def problem_document(problem: Problem) -> Response:
    """Answer programs with an RFC 9457 document."""
    return Response(problem.body(), status=problem.status, content_type=CONTENT_TYPE, headers=problem.extra_headers)


def install(app: Flask) -> None:
    """Give the templates the language and the addresses of pages."""

    @app.context_processor
    def frame() -> dict[str, Any]:
        language = current_language()
        return {
            "language": language,
            "page": lambda name: page_path(name, language),
            "other_page": lambda name: page_path(name, language.other),
        }
