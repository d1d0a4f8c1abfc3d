from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from werkzeug.test import Client as WsgiClient

from ca.status.answer_store import StoredAnswer
from pki.errors import ErrorCode, Unavailable
from tests.webapp.conftest import NOW
from webapp.answer_following import follow_in_background
from webapp.services import Services
from webapp.status import status_wsgi

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def test_following_goes_on_whatever_goes_wrong() -> None:
    stopping, failures = threading.Event(), [Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "gone"), ValueError("a fault")]

    def follow() -> None:
        if failures:
            raise failures.pop()
        stopping.set()

    thread = follow_in_background(follow, seconds=0, stopping=stopping)
    thread.join(30)
    assert not thread.is_alive()


def test_a_failure_is_logged_when_it_is_new_and_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    stopping, silent = threading.Event(), Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "gone")
    failures = iter([ValueError("a fault"), ValueError("a fault"), ValueError("a fault"), silent, silent])

    def follow() -> None:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        stopping.set()

    follow_in_background(follow, seconds=0, stopping=stopping).join(30)
    told = [record for record in caplog.records if record.name == "mohr.answers"]
    assert [record.exc_info is not None for record in told] == [True, False]


def test_a_stored_answer_tells_caches_its_end_and_is_looked_up_each_time(services: Services) -> None:
    begins = int(NOW.timestamp()) - 3600
    found = [StoredAnswer(b"0\x03new", begins, begins + 3640), StoredAnswer(b"0\x03old", begins, begins + 9000)]
    http = WsgiClient(status_wsgi(replace(services, stored_ocsp=lambda _request, _now: found.pop()), no_pages))
    first, second = http.get("/ocsp/MAMCAQU="), http.get("/ocsp/MAMCAQU=")
    assert (first.data, second.data) == (b"0\x03old", b"0\x03new")
    assert "max-age=60" in first.headers["Cache-Control"]
    assert "max-age=40" in second.headers["Cache-Control"]
    assert second.headers["Expires"] == "Sun, 22 Nov 2026 09:05:40 GMT"
    assert first.headers["ETag"] != second.headers["ETag"]


def no_pages(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise AssertionError(environ["PATH_INFO"])
