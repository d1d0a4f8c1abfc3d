"""One HTTP request with a hard end: no redirects, no proxies, a size limit, and a deadline that nothing extends.

The deadline holds for everything: looking up the name, connecting, TLS, and a server that sends one octet at a time.
A request that misses it is left behind in its thread, so this is for programs that soon end, not for servers. Plain
HTTP is normal here: answers are signed, and their readers check that.
"""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pki.errors import ErrorCode, InvalidInput, ServiceError, Unavailable

_NO_HEADERS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """A whole answer; `content_type` is lower case and without parameters."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


def parse_url(url: str) -> SplitResult:
    """Take an http or https URL apart; InvalidInput for anything else."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not a URL") from error
    if not valid or any(character <= " " for character in url):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not an http or https URL")
    return parts


def exchange(
    url: str, *, seconds: float, limit: int, body: bytes | None = None, headers: Mapping[str, str] = _NO_HEADERS
) -> HttpReply:
    """GET `url`, or POST `body` to it, and return whatever is answered, redirects and errors included.

    InvalidInput for another kind of URL (`input-malformed`) or an answer above `limit` octets (`input-too-large`),
    Unavailable when no whole answer came within `seconds`.
    """
    parts = parse_url(url)
    answers: SimpleQueue[HttpReply | ServiceError] = SimpleQueue()
    Thread(
        target=lambda: answers.put(_talk(parts, seconds, limit, body, headers)), name="HTTP exchange", daemon=True
    ).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty as error:
        raise Unavailable(ErrorCode.UNAVAILABLE, "the answer is too slow") from error
    if isinstance(answer, ServiceError):
        raise answer
    return answer


def _talk(
    parts: SplitResult, seconds: float, limit: int, body: bytes | None, headers: Mapping[str, str]
) -> HttpReply | ServiceError:
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=seconds)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET" if body is None else "POST", path, body, dict(headers))
        reply = connection.getresponse()
        content = reply.read(limit + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Unavailable(ErrorCode.UNAVAILABLE, f"no answer ({type(error).__name__})")
    finally:
        connection.close()
    if len(content) <= limit and reply.length:
        return Unavailable(ErrorCode.UNAVAILABLE, "the answer is cut short")
    if len(content) > limit:
        return InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"the answer is larger than {limit} octets")
    return HttpReply(status=reply.status, content_type=reply.headers.get_content_type(), body=content)
