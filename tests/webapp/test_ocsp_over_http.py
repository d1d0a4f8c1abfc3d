"""OCSP over HTTP (RFC 6960 appendix A, RFC 5019 §5-6): how a request may be spelled in a path, and what caches keep."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final
from urllib.parse import quote

import pytest
from werkzeug.test import Client as WsgiClient

from pki import der
from pki.errors import ErrorCode, Unavailable
from tests.support.ocsp_forge import GOOD, NONCE, UNKNOWN, OcspForge, extension, revoked
from tests.support.pki import NOW as ISSUED
from tests.support.pki import make_root
from tests.webapp.conftest import NOW, FixedClock
from tests.webapp.test_status import fallback
from webapp.services import Services
from webapp.status import MAX_OCSP_GET_CHARS, OCSP_MALFORMED_REQUEST, OCSP_TRY_LATER, status_wsgi

# Its base64 holds `+`, `/`, `//` and `=`.
REQUEST: Final = b"\x30\x08\x00" + b"\xfb\xef\xbe" + b"\xff\xff\xff" + b"\x00"
BASE64: Final = base64.b64encode(REQUEST).decode()
SPELLINGS: Final[dict[str, str]] = {
    "escaped whole": quote(BASE64, safe=""),
    "escaped in lower case": quote(BASE64, safe="").replace("%2B", "%2b").replace("%2F", "%2f"),
    "only = escaped": quote(BASE64, safe="+/"),
    "only / escaped": quote(BASE64, safe="+="),
    "only + escaped": quote(BASE64, safe="/="),
    "not escaped": BASE64,
    "escaped twice": quote(quote(BASE64, safe=""), safe=""),
    "+ as a space": quote(BASE64.replace("+", " "), safe="/="),
    "after two slashes": "/" + BASE64,
}
WRONG: Final[dict[str, str]] = {
    "nothing": "",
    "no base64": "!!!",
    "base64url": "MEUwQ-_A",
    "padding left out": BASE64.rstrip("="),
    "not ASCII": quote("\u06f1\u06f2\u06f3\u06f4"),
    "octets that are no text": "%ff%fe",
    "a line break inside": BASE64[:4] + "%0a" + BASE64[4:],
}


def asking(services: Services, answer: Callable[[bytes], bytes]) -> WsgiClient:
    return WsgiClient(status_wsgi(replace(services, ocsp=answer, clock=FixedClock(NOW)), fallback))


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_request_in_the_path_is_understood_however_it_is_escaped(services: Services, name: str) -> None:
    assert {"+", "/", "="} <= set(BASE64)
    seen: list[bytes] = []

    def answer(request: bytes) -> bytes:
        seen.append(request)
        return OCSP_TRY_LATER

    assert asking(services, answer).get("/ocsp/" + SPELLINGS[name]).status_code == 200
    assert seen == [REQUEST]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_request_is_malformed_and_not_kept(services: Services, name: str) -> None:
    http = asking(services, lambda _request: b"never asked")
    answer = http.get("/ocsp/" + WRONG[name])
    assert (answer.status_code, answer.data) == (200, OCSP_MALFORMED_REQUEST)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("octets", "status"), [(255, 200), (256, 200), (MAX_OCSP_GET_CHARS, 413)])
def test_a_get_may_be_longer_than_255_octets_up_to_a_limit(services: Services, octets: int, status: int) -> None:
    text = base64.b64encode(bytes(octets)).decode()
    assert asking(services, lambda _request: OCSP_TRY_LATER).get("/ocsp/" + text).status_code == status


def answer_of(*, status: bytes = GOOD, nonce: bool = False, hours: float | None = 8) -> bytes:
    root = make_root()
    return OcspForge(
        subject=root.issue().certificate,
        issuer=root.certificate,
        signer=root.ocsp_responder(),
        status=status,
        extensions=[extension(NONCE, der.octet_string(b"n" * 32))] if nonce else (),
        next_update=None if hours is None else ISSUED + timedelta(hours=hours),
    ).build()


KEPT: Final[dict[str, Callable[[], bytes]]] = {
    "good": answer_of,
    "revoked": lambda: answer_of(status=revoked(reason=1)),
    "on hold": lambda: answer_of(status=revoked(reason=6)),
}
NOT_KEPT: Final[dict[str, Callable[[], bytes]]] = {
    "unknown": lambda: answer_of(status=UNKNOWN),
    "with a nonce": lambda: answer_of(nonce=True),
    "without nextUpdate": lambda: answer_of(hours=None),
    "past its end": lambda: answer_of(hours=-0.01),
    "tryLater": lambda: OCSP_TRY_LATER,
    "malformedRequest": lambda: OCSP_MALFORMED_REQUEST,
    "unauthorized": lambda: bytes.fromhex("30030a0106"),
    "internalError": lambda: bytes.fromhex("30030a0102"),
}


@pytest.mark.parametrize("name", KEPT)
def test_caches_keep_an_answer_for_a_minute_at_most(services: Services, name: str) -> None:
    data = KEPT[name]()
    answer = asking(services, lambda _request: data).get("/ocsp/" + BASE64)
    assert answer.headers["Cache-Control"] == "public, no-transform, must-revalidate, max-age=60"
    assert {"ETag", "Last-Modified", "Expires"} <= set(answer.headers.keys())
    assert answer.content_length == len(data)


@pytest.mark.parametrize("name", NOT_KEPT)
def test_caches_keep_nothing_that_is_one_callers_or_soon_otherwise(services: Services, name: str) -> None:
    data = NOT_KEPT[name]()
    answer = asking(services, lambda _request: data).get("/ocsp/" + BASE64)
    assert (answer.status_code, answer.content_type) == (200, "application/ocsp-response")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_an_answer_to_a_post_is_kept_by_nobody(services: Services) -> None:
    data = answer_of()
    http = asking(services, lambda _request: data)
    answer = http.post("/ocsp", data=REQUEST, content_type="application/ocsp-request")
    assert (answer.data, answer.headers["Cache-Control"]) == (data, "no-store")


def test_a_device_that_is_away_is_try_later_with_status_200(services: Services) -> None:
    def away(_request: bytes) -> bytes:
        raise Unavailable(ErrorCode.HSM_UNAVAILABLE)

    for answer in (
        asking(services, away).get("/ocsp/" + BASE64),
        asking(services, away).post("/ocsp", data=REQUEST, content_type="application/ocsp-request"),
    ):
        assert (answer.status_code, answer.data) == (200, OCSP_TRY_LATER)
        assert answer.headers["Cache-Control"] == "no-store"
