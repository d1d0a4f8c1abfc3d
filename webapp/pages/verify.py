"""The public check: a form, and the verdict in the words that a pharmacist needs."""

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, g, render_template, request

from pki.errors import ErrorCode, InvalidInput
from webapp.languages import current_language
from webapp.pages.frame import ProblemView, add_page, problem_view, sentence_of
from webapp.pages.verdict import main_reason, outcome_of_file, read_verdict, views_of
from webapp.problems import problem_of
from webapp.reports import report_kind, report_on
from webapp.services import Services, installed
from webapp.uploads import MAX_REQUEST_OCTETS, Upload, read_upload


def install(app: Flask, services: Services) -> None:
    """Serve the form and the verdict page."""

    def page() -> str | tuple[str, int] | Response:
        if request.method != "POST":
            return _form()
        try:
            upload = read_upload()
        except InvalidInput as error:
            problem = problem_view(problem_of(error, g.request_id))
            return _form(problem), problem.status
        if "report" in request.form:
            return report_on(upload, report_kind(request.form["report"]), services)
        members = installed(services.verify)(upload.data, content=upload.content, name=upload.name)
        return render_template("verdict.html", here="verify", **_verdict_values(members, upload, services))

    add_page(app, "verify", page, ("GET", "POST"))


def _form(problem: ProblemView | None = None) -> str:
    too_large = sentence_of(ErrorCode.INPUT_TOO_LARGE)
    return render_template("verify.html", here="verify", limit=MAX_REQUEST_OCTETS, too_large=too_large, problem=problem)


def _verdict_values(members: Mapping[str, Any], upload: Upload, services: Services) -> dict[str, Any]:
    verdict = read_verdict(members)
    return {
        "verdict": verdict,
        "outcome": outcome_of_file(verdict).value,
        "why": main_reason(verdict, current_language()),
        "signatures": views_of(verdict, current_language(), services.identities),
        "name": upload.name,
        "detached": upload.content is not None,
        "sha256": hashlib.sha256(upload.data).hexdigest(),
        "size": len(upload.data),
        "api_url": f"{services.public_url}/api/v1/verify",
    }
