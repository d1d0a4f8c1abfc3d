"""Status endpoints as bytes: OCSP, CRLs, issuers, time-stamps, token keys, checkpoint.

A bare WSGI callable in front of Flask, so that these answer fast. Lists, issuers and the checkpoint are files and
answer while custodian and database are down; OCSP reads rows, time-stamps and unforeseen OCSP questions need a key.
RFC 6960 appendix A and RFC 5019 §5-6 (OCSP over HTTP), RFC 2585 §4 (media types), RFC 3161 §3.4.
Nothing raises out of here: what goes wrong is a problem document.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from ca.status.answer_store import StoredAnswer
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError, Unavailable
from webapp import logs
from webapp.freshness import etag_of, ocsp_freshness, stored_freshness
from webapp.problems import CONTENT_TYPE, Problem, problem_of
from webapp.remembered import LIFE, Remembered
from webapp.security import FIXED_HEADERS, MACHINE_POLICY, new_request_id
from webapp.served_lists import FileBody
from webapp.services import Services, installed

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_OCTETS: Final = 64 * 1024
MAX_OCSP_GET_CHARS: Final = 2048
OCSP_MALFORMED_REQUEST: Final = bytes.fromhex("30030a0101")  # RFC 6960 §4.2.1
OCSP_TRY_LATER: Final = bytes.fromhex("30030a0103")

_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_HEADERS: Final = (*FIXED_HEADERS.items(), ("Content-Security-Policy", MACHINE_POLICY))
_CRL: Final = re.compile(r"/crl/([a-z0-9-]{1,64})/([0-9]{1,6})(\.delta)?\.crl")
_CA: Final = re.compile(r"/ca/([a-z0-9-]{1,64})\.cer")
_NO_STORE: Final = ("Cache-Control", "no-store")


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with its media type and the headers that are its own."""

    body: bytes | FileBody
    content_type: str
    headers: tuple[tuple[str, str], ...] = (_NO_STORE,)


@dataclass(frozen=True, slots=True)
class _Route:
    name: str
    methods: tuple[str, ...]
    answer: Callable[["WSGIEnvironment", str], Answer]


def status_wsgi(services: Services, fallback: "WSGIApplication") -> "WSGIApplication":
    """Answer the status addresses from `services`; hand every other request to `fallback`."""
    endpoints = StatusEndpoints(services)
    exact = {
        "/ocsp": _Route("/ocsp", ("POST",), endpoints.ocsp_post),
        "/tsa": _Route("/tsa", ("POST",), endpoints.tsa),
        "/log/checkpoint": _Route("/log/checkpoint", ("GET", "HEAD"), endpoints.checkpoint),
        "/oauth2/jwks": _Route("/oauth2/jwks", ("GET", "HEAD"), endpoints.jwks),
    }
    prefixed = (
        ("/ocsp/", _Route("/ocsp/{request}", ("GET", "HEAD"), endpoints.ocsp_get)),
        ("/crl/", _Route("/crl/{ca}/{shard}.crl", ("GET", "HEAD"), endpoints.crl)),
        ("/ca/", _Route("/ca/{name}.cer", ("GET", "HEAD"), endpoints.ca_certificate)),
    )

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        route = exact.get(path) or next((found for prefix, found in prefixed if path.startswith(prefix)), None)
        if route is None:
            return fallback(environ, start_response)
        return _serve(route, path, environ, start_response, services.counted)

    return application


def _serve(
    route: _Route,
    path: str,
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
    counted: Callable[[str, int], None] | None,
) -> Iterable[bytes]:
    try:
        answer, status = _answer(route, path, environ)
    except ServiceError as error:
        answer, status = _problem(problem_of(error, new_request_id()), route)
    except Exception as error:  # noqa: BLE001 - documented boundary: nothing raises out of the status endpoints
        problem = Problem(code=ErrorCode.INTERNAL, request_id=new_request_id())
        logs.log_incident(error, request_id=problem.request_id, route=route.name)
        answer, status = _problem(problem, route)
    headers = [*_HEADERS, *answer.headers]
    if status != 304:
        headers += [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
    start_response(_LINES[status], headers)
    if counted is not None:
        counted(route.name, status)
    if isinstance(answer.body, bytes):
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]
    if environ["REQUEST_METHOD"] == "HEAD":
        answer.body.close()
        return []
    return answer.body


def _answer(route: _Route, path: str, environ: "WSGIEnvironment") -> tuple[Answer, int]:
    if environ["REQUEST_METHOD"] not in route.methods:
        raise NotAllowed(ErrorCode.METHOD_REFUSED)
    answer = route.answer(environ, path)
    if _not_modified(environ, dict(answer.headers)):
        if isinstance(answer.body, FileBody):
            answer.body.close()
        return Answer(b"", answer.content_type, answer.headers), 304
    return answer, 200


def _problem(problem: Problem, route: _Route) -> tuple[Answer, int]:
    headers = [_NO_STORE, ("X-Request-Id", problem.request_id), *problem.extra_headers.items()]
    if problem.code is ErrorCode.METHOD_REFUSED:
        headers.append(("Allow", ", ".join(route.methods)))
    return Answer(problem.body(), CONTENT_TYPE, tuple(headers)), problem.status


def _not_modified(environ: "WSGIEnvironment", headers: Mapping[str, str]) -> bool:
    """Apply If-None-Match, else If-Modified-Since (RFC 9110 §13.2.2)."""
    etag, last_modified = headers.get("ETag"), headers.get("Last-Modified")
    if etag is None:
        return False
    wanted = environ.get("HTTP_IF_NONE_MATCH")
    if wanted is not None:
        return wanted.strip() == "*" or etag in {part.strip().removeprefix("W/") for part in wanted.split(",")}
    since = environ.get("HTTP_IF_MODIFIED_SINCE")
    if since is None or last_modified is None:
        return False
    try:
        # Another date is of the asker's own clock, which may be ahead: an answer of before a revocation would go on.
        return parsedate_to_datetime(since) == parsedate_to_datetime(last_modified)
    except (ValueError, TypeError, OverflowError):
        return False


def _read_body(environ: "WSGIEnvironment", media_type: str) -> bytes:
    """Read a small request body; InvalidInput when it is of another type, empty or too large."""
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != media_type:
        raise InvalidInput(ErrorCode.MEDIA_TYPE_REFUSED, media_type)
    announced = environ.get("CONTENT_LENGTH") or ""
    if announced.isascii() and announced.isdigit() and int(announced) > MAX_BODY_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {MAX_BODY_OCTETS} octets")
    body: bytes = environ["wsgi.input"].read(MAX_BODY_OCTETS + 1)
    if len(body) > MAX_BODY_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {MAX_BODY_OCTETS} octets")
    if not body:
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    return body


def _as_it_was_sent(text: str) -> str:
    """Undo what clients and proxies are known to do to base64 in a path: escape twice, spell `+` as a space, add `/`.

    None of these characters means anything else in base64 that begins with a SEQUENCE (RFC 5019 §5).
    """
    return unquote(text).lstrip("/").replace(" ", "+")


class StatusEndpoints:
    """The answers themselves, each from one callable of the services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._remembered: Remembered[Answer] = Remembered()

    def ocsp_post(self, environ: "WSGIEnvironment", _path: str) -> Answer:
        """Answer an OCSP request in a body (RFC 6960 §A.1)."""
        return Answer(self._ocsp(_read_body(environ, "application/ocsp-request")), "application/ocsp-response")

    def ocsp_get(self, _environ: "WSGIEnvironment", path: str) -> Answer:
        """Answer an OCSP request in the path, with cache headers (RFC 5019 §5, §6.2)."""
        now = self._services.clock.now()
        request = _request_in(path)
        stored = self._stored(request, now)
        if stored is not None:
            headers = stored_freshness(stored, now, self._services.max_age)
            return Answer(stored.der, "application/ocsp-response", headers)
        return self._remembered.get(
            path, now, lambda: self._answer_signed_now(request, now), keep=lambda answer: answer.headers != (_NO_STORE,)
        )

    def _answer_signed_now(self, request: bytes, now: datetime) -> Answer:
        response = self._ocsp(request) if request else OCSP_MALFORMED_REQUEST
        under_way = math.ceil(LIFE.total_seconds())
        headers = ocsp_freshness(response).headers(now, self._services.max_age, under_way=under_way)
        return Answer(response, "application/ocsp-response", tuple(headers))

    def _stored(self, request: bytes, now: datetime) -> StoredAnswer | None:
        source = self._services.stored_ocsp
        return None if source is None else source(request, now)

    def _ocsp(self, request: bytes) -> bytes:
        responder = installed(self._services.ocsp)
        try:
            return responder(request)
        except Unavailable:
            return OCSP_TRY_LATER
        except InvalidInput:
            return OCSP_MALFORMED_REQUEST

    def crl(self, _environ: "WSGIEnvironment", path: str) -> Answer:
        """Answer with one shard's CRL, or the delta to it."""
        source = installed(self._services.crl)
        found = _CRL.fullmatch(path)
        served = source(found[1], int(found[2]), found[3] is not None) if found else None
        if served is None:
            raise NotFound(ErrorCode.NOT_FOUND)
        headers = served.freshness.headers(self._services.clock.now(), self._services.max_age)
        return Answer(served.body, "application/pkix-crl", tuple(headers))

    def ca_certificate(self, _environ: "WSGIEnvironment", path: str) -> Answer:
        """Answer with an issuer's certificate in DER."""
        source = installed(self._services.ca_certificate)
        found = _CA.fullmatch(path)
        data = source(found[1]) if found else None
        if data is None:
            raise NotFound(ErrorCode.NOT_FOUND)
        return Answer(data, "application/pkix-cert", _kept(data, 86400))

    def tsa(self, environ: "WSGIEnvironment", _path: str) -> Answer:
        """Answer a time-stamp query."""
        authority = installed(self._services.tsa)
        return Answer(authority(_read_body(environ, "application/timestamp-query")), "application/timestamp-reply")

    def checkpoint(self, _environ: "WSGIEnvironment", _path: str) -> Answer:
        """Answer with the ledger's latest checkpoint, a C2SP signed note."""
        note = installed(self._services.checkpoint)()
        if note is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no checkpoint yet")
        return Answer(note, "text/plain; charset=utf-8", (("Cache-Control", "no-cache"), ("ETag", etag_of(note))))

    def jwks(self, _environ: "WSGIEnvironment", _path: str) -> Answer:
        """Answer with the keys that sign tokens (RFC 7517 §5)."""
        keys = installed(self._services.jwks)()
        return Answer(keys, "application/jwk-set+json", _kept(keys, 300))


def _request_in(path: str) -> bytes:
    """Read the request in a path; b"" for what is none."""
    text = _as_it_was_sent(path.removeprefix("/ocsp/"))
    if len(text) > MAX_OCSP_GET_CHARS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "use POST for a request of this size")
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _kept(data: bytes, seconds: int) -> tuple[tuple[str, str], ...]:
    return (("Cache-Control", f"public, max-age={seconds}"), ("ETag", etag_of(data)))
