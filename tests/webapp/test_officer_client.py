"""What an officer's command makes of a server's answers, also of answers that no server of ours gives."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

from pki.errors import ErrorCode, ServiceError, Unavailable
from webapp import officer_client
from webapp.http_client import HttpAnswer
from webapp.officer_client import OfficerClient
from webapp.problems import STATUS, Problem


@pytest.fixture
def client() -> OfficerClient:
    return OfficerClient(server="https://exchange.example", tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def answering(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes) -> list[dict[str, Any]]:
    """Let every question be answered so; return what is asked."""
    asked: list[dict[str, Any]] = []

    def ask(url: str, **more: Any) -> HttpAnswer:
        asked.append({"url": url, **more})
        return HttpAnswer(status=status, body=body)

    monkeypatch.setattr(officer_client, "ask", ask)
    return asked


def refusal(client: OfficerClient) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        client.post("/api/v1/certificates/ab/hold", {})
    return caught.value


@pytest.mark.parametrize("code", list(ErrorCode), ids=str)
def test_every_problem_of_a_server_is_the_error_of_that_code(
    client: OfficerClient, monkeypatch: pytest.MonkeyPatch, code: ErrorCode
) -> None:
    problem = Problem(code=code, request_id="r", detail="a detail", reason="a.reason")
    answering(monkeypatch, problem.status, problem.body())
    error = refusal(client)
    assert (error.code, error.detail, error.reason) == (code, "a detail", "a.reason")
    assert isinstance(error, Unavailable) is (STATUS[code] == 503)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>hello</html>"),
        (200, b""),
        (200, b"[]"),
        (200, b'{"a": 1, "a": 2}'),
        (302, b"moved"),
        (403, b'{"code": "no-such-code"}'),
        (403, b'{"code": 1}'),
        (403, b"{}"),
        (502, b"bad gateway"),
    ],
)
def test_what_is_no_answer_of_ours_is_unavailable(
    client: OfficerClient, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    answering(monkeypatch, status, body)
    error = refusal(client)
    assert (error.code, isinstance(error, Unavailable)) == (ErrorCode.UNAVAILABLE, True)
    assert f"exchange.example answered {status}" in error.detail


@pytest.mark.parametrize("detail", ["\x1b[2J", "a\nb", "x" * 501, 7, None])
def test_a_detail_that_a_terminal_should_not_show_is_left_out(
    client: OfficerClient, monkeypatch: pytest.MonkeyPatch, detail: object
) -> None:
    answering(monkeypatch, 403, json.dumps({"code": "not-allowed", "detail": detail, "reason": detail}).encode())
    error = refusal(client)
    assert (error.code, error.detail, error.reason) == (ErrorCode.NOT_ALLOWED, "", "")


def test_a_body_is_sent_as_it_is_and_members_as_json(client: OfficerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, 201, b'{"id": "f"}')
    assert client.post("/a", b'{ "kind":  "centre" }', {"Idempotency-Key": "k"}) == {"id": "f"}
    client.post("/b", {"reason": "خطا"})
    client.get("/c")
    assert [one["url"] for one in asked] == [f"https://exchange.example/{name}" for name in "abc"]
    assert asked[0]["json"] == b'{ "kind":  "centre" }'
    assert asked[0]["headers"] == {"Idempotency-Key": "k"}
    assert json.loads(asked[1]["json"]) == {"reason": "خطا"}
    assert "json" not in asked[2]
