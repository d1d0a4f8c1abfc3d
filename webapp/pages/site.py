"""The plain pages: start, help, policy, error codes, state of the services."""

from flask import Flask, render_template

from webapp.pages.frame import add_page, sentence_of
from webapp.problems import STATUS
from webapp.services import Services


def install(app: Flask, services: Services) -> None:
    """Serve the plain pages."""

    def home() -> str:
        return render_template("home.html", here="home")

    def help_page() -> str:
        return render_template("help.html", here="help", own_root=services.own_root)

    def problems() -> str:
        rows = [
            {"code": str(code), "status": status, "text": sentence_of(code)} for code, status in sorted(STATUS.items())
        ]
        return render_template("problems.html", here="problems", rows=rows)

    def policy() -> str:
        whose = {"organization": services.organization, "own_root": services.own_root}
        return render_template("policy.html", here="policy", arc=services.oid_arc, **whose)

    def status() -> str:
        return render_template("status.html", here="status", report=services.health())

    for page, view in (
        ("home", home),
        ("help", help_page),
        ("problems", problems),
        ("policy", policy),
        ("status", status),
    ):
        add_page(app, page, view)
