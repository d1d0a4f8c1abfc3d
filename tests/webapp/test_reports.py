"""Reports to take away: the form after a verdict, and the address for programs."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from signer.isolation.order import ReportKind
from tests.webapp.conftest import FROM_OWN_PAGE, Client
from webapp.reports import MEDIA_TYPES

Seen = list[tuple[bytes, bytes | None, str, ReportKind]]


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def reporting(client_of: Client, seen: Seen) -> FlaskClient:
    def report(data: bytes, *, content: bytes | None, name: str, kind: ReportKind) -> bytes:
        seen.append((data, content, name, kind))
        return b"report"

    return client_of(report=report)


def form(**members: Any) -> dict[str, Any]:
    return {"data": {"file": (BytesIO(b"valid"), "rx\u202e.json"), **members}, "headers": FROM_OWN_PAGE}


@pytest.mark.parametrize("kind", list(ReportKind))
def test_each_button_and_each_address_answers_with_a_file_of_its_kind(
    reporting: FlaskClient, seen: Seen, kind: ReportKind
) -> None:
    page = reporting.post("/en/verify", **form(report=kind.value, content=(BytesIO(b"doc"), "doc.txt")))
    api = reporting.post(f"/api/v1/verify/report/{kind.value}", data=b"valid", content_type="application/octet-stream")
    for answer in (page, api):
        assert (answer.status_code, answer.data, answer.content_type) == (200, b"report", MEDIA_TYPES[kind])
        assert re.fullmatch(
            rf'attachment; filename="mohr-report-[0-9a-f]{{12}}\.{kind.value}"', answer.headers["Content-Disposition"]
        )
        assert answer.headers["Cache-Control"] == "no-store"
    assert seen == [(b"valid", b"doc", "rx\u202e.json", kind), (b"valid", None, "upload", kind)]


def test_a_verdict_has_a_button_for_each_kind_and_asks_for_the_content_of_a_detached_signature(
    reporting: FlaskClient,
) -> None:
    whole = reporting.post("/en/verify", **form()).text
    assert set(re.findall(r'name="report" value="([a-z]+)"', whole)) == {kind.value for kind in ReportKind}
    assert 'name="content"' not in whole
    assert 'name="content"' in reporting.post("/en/verify", **form(content=(BytesIO(b"doc"), "doc.txt"))).text


def test_another_kind_is_not_found_and_no_file_is_told(reporting: FlaskClient, seen: Seen) -> None:
    assert reporting.post("/verify", **form(report="docx")).status_code == 404
    assert reporting.post("/api/v1/verify/report/docx", data=b"valid").status_code == 404
    assert reporting.post("/verify", data={"report": "pdf"}, headers=FROM_OWN_PAGE).status_code in (400, 415)
    empty = reporting.post("/verify", **form(file=(BytesIO(b""), "x"), report="pdf"))
    assert (empty.status_code, 'role="alert"' in empty.text) == (400, True)
    assert seen == []
