"""A small HTTP client for gateways and centres: TLS or loopback, bounded answers, no redirects.

Standard library alone, so that a gateway installs nothing for it.
"""

import http.client
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from pki.errors import ErrorCode, InvalidInput, Unavailable, VerificationFailed

MAX_ANSWER_OCTETS: Final = 1024 * 1024
TIMEOUT_SECONDS: Final = 10.0
DEADLINE_SECONDS: Final = 30.0
_CHUNK_OCTETS: Final = 64 * 1024
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# To programs of our own on this machine, whatever proxy the environment names.
DIRECTLY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What a server answered, whatever its status."""

    status: int
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: tokens and keys come from the address that was named."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow nothing."""


def host_of(url: str) -> str:
    """Return the host of a URL that may be asked: https anywhere, http on this machine alone; InvalidInput."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not a URL") from error
    if not host or not url.isascii() or not url.isprintable() or " " in url or parts.username is not None:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not an http(s) URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "https, or http on this machine, is needed")
    return host


def ask(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    json: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    method: str | None = None,
) -> HttpAnswer:
    """Send one request, POST if there is a form or JSON and no other `method`.

    `tls` brings trust anchors and a client certificate.
    InvalidInput for a URL that may not be asked, Unavailable when nobody answers in time or the answer is
    larger than 1 MiB, VerificationFailed when the server's certificate is not trusted.
    """
    host = host_of(url)
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if host in _LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    if tls is not None:
        handlers.append(urllib.request.HTTPSHandler(context=tls))
    data = json if form is None else urllib.parse.urlencode(form).encode()
    typed = {} if json is None else {"Content-Type": "application/json"}
    told = {"Accept": "application/json", **typed, **(headers or {})}
    request = urllib.request.Request(url, data, told, method=method)  # noqa: S310 - host_of refuses other schemes
    opener = urllib.request.build_opener(*handlers)
    try:
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return HttpAnswer(status=answer.status, body=_bounded(answer, host))
        except urllib.error.HTTPError as error:
            with error:
                return HttpAnswer(status=error.code, body=_bounded(error, host))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _translated(error, host) from error


def _translated(error: Exception, host: str) -> Unavailable | VerificationFailed:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"the certificate of {host} is not trusted")
    return Unavailable(ErrorCode.UNAVAILABLE, f"{host} does not answer")


def _bounded(stream: IO[bytes], host: str) -> bytes:
    """Read an answer within size and time; a server that drips is one that does not answer."""
    end, found = time.monotonic() + DEADLINE_SECONDS, bytearray()
    while chunk := stream.read1(_CHUNK_OCTETS) if hasattr(stream, "read1") else stream.read(_CHUNK_OCTETS):
        found += chunk
        if len(found) > MAX_ANSWER_OCTETS or time.monotonic() > end:
            raise Unavailable(ErrorCode.UNAVAILABLE, f"the answer of {host} is too large or too slow")
    return bytes(found)
