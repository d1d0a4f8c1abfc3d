from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client as WsgiClient

from pki.errors import ErrorCode, InvalidInput, Unavailable
from tests.support.ocsp_forge import ocsp_answer
from tests.support.pki import Issuer, make_root
from tests.webapp.conftest import NOW, FixedClock, healthy
from webapp.security import FIXED_HEADERS
from webapp.served_lists import ServedList
from webapp.services import Services
from webapp.status import MAX_BODY_OCTETS, OCSP_MALFORMED_REQUEST, OCSP_TRY_LATER, status_wsgi

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

OCSP_REQUEST = b"0\x03\x0a\x01\x00 any request the responder understands"


class Recorder:
    """A start_response that remembers."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.headers: list[tuple[str, str]] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        self.statuses.append(status)
        self.headers += headers
        return lambda data: None


def fallback(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"flask saw " + environ["PATH_INFO"].encode()]


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return make_root()


@pytest.fixture(scope="module")
def ocsp_good(issuer: Issuer) -> bytes:
    return ocsp_answer(issuer, issuer.issue(), responder=issuer.ocsp_responder())


@pytest.fixture(scope="module")
def crl(issuer: Issuer) -> bytes:
    return issuer.crl({7: NOW})


@pytest.fixture
def full(services: Services, issuer: Issuer, ocsp_good: bytes, crl: bytes) -> Services:
    return replace(
        services,
        ocsp=lambda request: ocsp_good if request == OCSP_REQUEST else OCSP_MALFORMED_REQUEST,
        crl=lambda *wanted: ServedList.of(crl) if wanted in (("persons", 3, False), ("persons", 5, True)) else None,
        ca_certificate=lambda name: issuer.certificate.der if name == "persons" else None,
        tsa=lambda query: b"stamp over " + query,
        checkpoint=lambda: b"mohr.example/log\n1\nAAAA\n",
        jwks=lambda: b'{"keys":[]}',
    )


@pytest.fixture
def http(full: Services) -> WsgiClient:
    return WsgiClient(status_wsgi(full, fallback))


def ocsp_path(request: bytes = OCSP_REQUEST) -> str:
    return "/ocsp/" + quote(base64.b64encode(request).decode(), safe="")


def test_an_ocsp_request_is_answered_by_post(http: WsgiClient, ocsp_good: bytes) -> None:
    answer = http.post("/ocsp", data=OCSP_REQUEST, content_type="application/ocsp-request")
    assert (answer.status_code, answer.data) == (200, ocsp_good)
    assert answer.content_type == "application/ocsp-response"


def test_an_ocsp_request_in_the_path_is_answered_with_cache_headers(http: WsgiClient, ocsp_good: bytes) -> None:
    answer = http.get(ocsp_path())
    assert answer.data == ocsp_good
    assert answer.headers["Cache-Control"] == "public, no-transform, must-revalidate, max-age=60"
    assert answer.headers["Last-Modified"] == "Sun, 22 Nov 2026 08:55:00 GMT"
    assert answer.headers["Expires"] == "Sun, 22 Nov 2026 09:06:00 GMT"
    assert answer.headers["ETag"].startswith('"')


def test_a_cache_that_has_the_answer_gets_304(http: WsgiClient) -> None:
    first = http.get(ocsp_path())
    for headers in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-None-Match": f'"other", W/{first.headers["ETag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        again = http.get(ocsp_path(), headers=headers)
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    for headers in (
        {"If-None-Match": '"other"'},
        {"If-Modified-Since": "Sat, 21 Nov 2026 00:00:00 GMT"},
        {"If-Modified-Since": "Sun, 22 Nov 2026 08:55:01 GMT"},  # a date of its own, of the second of two answers
        {"If-Modified-Since": "Sun, 22 Nov 2026 10:00:00 GMT"},  # of a clock that is ahead
        {"If-Modified-Since": "yesterday"},
        {"If-Modified-Since": "Mon, 01 Jan 2020 00:00:00 +99999999999999"},
    ):
        assert http.get(ocsp_path(), headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/ocsp/", "/ocsp/!!!", "/ocsp/%ff%fe", "/ocsp/AAA", "/ocsp/" + quote("\u06f1")])
def test_what_is_not_base64_is_a_malformed_request(http: WsgiClient, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.data) == (200, OCSP_MALFORMED_REQUEST)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_responder_that_is_silent_says_try_later(full: Services) -> None:
    def silent(_request: bytes) -> NoReturn:
        raise Unavailable(ErrorCode.HSM_UNAVAILABLE)

    answer = WsgiClient(status_wsgi(replace(full, ocsp=silent), fallback)).get(ocsp_path())
    assert (answer.status_code, answer.data) == (200, OCSP_TRY_LATER)


def test_a_responder_that_refuses_the_request_says_malformed(full: Services) -> None:
    def refusing(_request: bytes) -> NoReturn:
        raise InvalidInput(ErrorCode.DER_MALFORMED)

    answer = WsgiClient(status_wsgi(replace(full, ocsp=refusing), fallback)).post(
        "/ocsp", data=b"x", content_type="application/ocsp-request"
    )
    assert answer.data == OCSP_MALFORMED_REQUEST


def test_an_answer_past_its_end_is_not_kept_by_caches(full: Services) -> None:
    late = replace(full, clock=FixedClock(NOW + timedelta(days=2)))
    assert WsgiClient(status_wsgi(late, fallback)).get(ocsp_path()).headers["Cache-Control"] == "no-store"


def test_a_crl_and_an_issuer_come_as_der(http: WsgiClient, crl: bytes, issuer: Issuer) -> None:
    for path in ("/crl/persons/3.crl", "/crl/persons/5.delta.crl"):
        answer = http.get(path)
        assert (answer.data, answer.content_type) == (crl, "application/pkix-crl")
    assert "max-age=60" in answer.headers["Cache-Control"]
    answer = http.get("/ca/persons.cer")
    assert (answer.data, answer.content_type) == (issuer.certificate.der, "application/pkix-cert")


@pytest.mark.parametrize(
    "path",
    ["/crl/persons/4.crl", "/crl/../3.crl", "/crl/persons/3.pem", "/crl/persons/٣.crl", "/ca/none.cer", "/ca/a/b.cer"],
)
def test_what_is_not_published_is_not_found(http: WsgiClient, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert json.loads(answer.data)["code"] == "not-found"


def test_keys_checkpoint_and_stamps_are_served(http: WsgiClient) -> None:
    assert http.get("/oauth2/jwks").content_type == "application/jwk-set+json"
    assert http.get("/log/checkpoint").data.endswith(b"AAAA\n")
    answer = http.post("/tsa", data=b"query", content_type="application/timestamp-query")
    assert (answer.data, answer.content_type) == (b"stamp over query", "application/timestamp-reply")


def test_head_tells_the_size_without_the_body(http: WsgiClient, crl: bytes) -> None:
    answer = http.head("/crl/persons/3.crl")
    assert (answer.status_code, answer.data, answer.content_length) == (200, b"", len(crl))


@pytest.mark.parametrize(("method", "path"), [("GET", "/ocsp"), ("PUT", "/tsa"), ("POST", "/ca/persons.cer")])
def test_other_methods_are_refused_with_the_right_ones_named(http: WsgiClient, method: str, path: str) -> None:
    answer = http.open(path, method=method)
    assert answer.status_code == 405
    assert answer.headers["Allow"]
    assert json.loads(answer.data)["code"] == "method-refused"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"", "application/timestamp-query", "input-empty"),
        (b"x" * (MAX_BODY_OCTETS + 1), "application/timestamp-query", "input-too-large"),
        (b"x", "text/plain", "media-type-refused"),
    ],
)
def test_bad_bodies_are_refused_by_name(http: WsgiClient, body: bytes, content_type: str, code: str) -> None:
    answer = http.post("/tsa", data=body, content_type=content_type)
    assert json.loads(answer.data)["code"] == code


def test_a_body_without_announced_length_is_bounded_too(full: Services) -> None:
    start = Recorder()
    environ: Any = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/tsa",
        "CONTENT_TYPE": "application/timestamp-query",
        "wsgi.input": BytesIO(b"x" * (MAX_BODY_OCTETS + 1)),
    }
    body = status_wsgi(full, fallback)(environ, start)
    assert start.statuses == ["413 Request Entity Too Large"]
    assert b"input-too-large" in b"".join(body)


@pytest.mark.parametrize(("path", "kind"), [("/ocsp", "ocsp-request"), ("/tsa", "timestamp-query")])
def test_a_part_that_is_not_installed_is_unavailable(services: Services, path: str, kind: str) -> None:
    http = WsgiClient(status_wsgi(services, fallback))
    answer = http.post(path, data=b"x", content_type=f"application/{kind}")
    assert (answer.status_code, json.loads(answer.data)["code"]) == (503, "unavailable")


def test_an_unexpected_failure_is_an_incident_without_its_message(
    full: Services, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_query: bytes) -> NoReturn:
        raise RuntimeError("national code 0000012343")

    http = WsgiClient(status_wsgi(replace(full, tsa=broken), fallback))
    with caplog.at_level(logging.ERROR, "mohr.web"):
        answer = http.post("/tsa", data=b"x", content_type="application/timestamp-query")
    problem = json.loads(answer.data)
    assert (answer.status_code, problem["code"]) == (500, "internal")
    assert "0000012343" not in answer.text
    fields = vars(caplog.records[0])["fields"]
    assert fields["request_id"] == problem["request_id"]
    assert "0000012343" not in json.dumps(fields)


def test_everything_else_goes_on_to_flask(http: WsgiClient) -> None:
    assert http.get("/verify").data == b"flask saw /verify"
    assert http.get("/ocspx").data == b"flask saw /ocspx"


def test_status_answers_carry_the_security_headers(http: WsgiClient) -> None:
    for path in ("/ca/persons.cer", "/ca/none.cer"):
        headers = http.get(path).headers
        assert all(headers[name] == value for name, value in FIXED_HEADERS.items())
        assert "sandbox" in headers["Content-Security-Policy"]


PREFIXES = ("/ocsp", "/ocsp/", "/tsa", "/crl/", "/ca/", "/log/checkpoint", "/oauth2/jwks")


def _parts() -> Services:
    return Services(
        public_url="https://mohr.example",
        clock=FixedClock(),
        health=healthy,
        ocsp=lambda request: request,
        crl=lambda name, shard, delta: ServedList.of(b"crl") if shard else None,
        ca_certificate=lambda name: name.encode(),
        tsa=lambda query: query,
        checkpoint=lambda: None,
        jwks=lambda: b"{}",
    )


@given(
    path=st.builds(str.__add__, st.sampled_from(PREFIXES), st.binary(max_size=64).map(lambda b: b.decode("latin-1"))),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "x"]),
    body=st.binary(max_size=256),
    content_type=st.sampled_from(["application/ocsp-request", "application/timestamp-query", "", "a/b; c"]),
    length=st.sampled_from(["", "0", "12", "-1", "99999999999", "ten", "٣"]),
)
def test_no_request_makes_it_raise(path: str, method: str, body: bytes, content_type: str, length: str) -> None:
    start = Recorder()
    environ: Any = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": length,
        "wsgi.input": BytesIO(body),
    }
    b"".join(status_wsgi(_parts(), fallback)(environ, start))
    assert len(start.statuses) == 1
    assert not start.statuses[0].startswith("500")
    assert not any(char in value for _, value in start.headers for char in "\r\n")


def test_the_path_of_a_get_is_what_the_server_unquoted(full: Services) -> None:
    environ: Any = {"REQUEST_METHOD": "GET", "PATH_INFO": unquote(ocsp_path())}
    start = Recorder()
    status_wsgi(full, fallback)(environ, start)
    assert start.statuses == ["200 OK"]
