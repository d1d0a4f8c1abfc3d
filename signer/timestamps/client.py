"""Asking for time-stamps: over HTTP (RFC 3161 §3.4), or from an authority in the same process."""

import http.client
import secrets
import time
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from pki.errors import ErrorCode, InvalidInput
from signer.errors import TimestampInvalid, TimestampUnavailable
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.messages import MAX_RESPONSE_OCTETS, build_request, read_response

NONCE_BITS: Final = 64
DEFAULT_TIMEOUT_SECONDS: Final = 10.0
_HEADERS: Final = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}


class TimeStamper(Protocol):
    """Something that gives time-stamp tokens."""

    def stamp(self, digest_sha256: bytes) -> bytes:
        """Return a DER token (ContentInfo) over a SHA-256 digest.

        TimestampUnavailable when none can be had now, TimestampInvalid when the answer is wrong.
        """
        ...


class LocalTimeStamper:
    """Take tokens from an authority in this process."""

    def __init__(self, authority: TimestampAuthority, *, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._authority, self._random_bits = authority, random_bits

    def stamp(self, digest_sha256: bytes) -> bytes:
        """Return a token over the digest, checked as one from afar."""
        nonce = self._random_bits(NONCE_BITS)
        return read_response(self._authority.respond(build_request(digest_sha256, nonce)), digest_sha256, nonce)


class HttpTimestampClient:
    """Take tokens from an RFC 3161 service: no redirects, no proxies, at most 64 KiB, bounded waits."""

    def __init__(
        self,
        url: str,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        *,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        """Take an http(s) URL and the seconds that each wait, and the whole body, may last; InvalidInput otherwise."""
        self._url, self._timeout, self._random_bits = _parse_url(url), timeout, random_bits

    def stamp(self, digest_sha256: bytes) -> bytes:
        """Return a token over the digest."""
        nonce = self._random_bits(NONCE_BITS)
        return read_response(self._post(build_request(digest_sha256, nonce)), digest_sha256, nonce)

    def _post(self, request: bytes) -> bytes:
        secure = self._url.scheme == "https"
        make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = make(self._url.hostname or "", self._url.port, timeout=self._timeout)
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        try:
            connection.request("POST", path, request, _HEADERS)
            return _read_reply(connection.getresponse(), time.monotonic() + self._timeout)
        except (OSError, http.client.HTTPException) as error:
            raise TimestampUnavailable(f"no answer ({type(error).__name__})") from error
        finally:
            connection.close()


def _parse_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not a URL") from error
    if not valid or any(character <= " " for character in url):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not an http or https URL")
    return parts


def _read_reply(reply: http.client.HTTPResponse, deadline: float) -> bytes:
    if reply.status != http.client.OK:
        raise TimestampUnavailable(f"HTTP {reply.status}")
    kind = reply.headers.get_content_type()
    if kind != "application/timestamp-reply":
        raise TimestampInvalid("not a time-stamp reply")
    body = b""
    while chunk := reply.read1(MAX_RESPONSE_OCTETS + 1 - len(body)):
        body += chunk
        if len(body) > MAX_RESPONSE_OCTETS:
            raise TimestampInvalid("reply larger than 64 KiB")
        if time.monotonic() > deadline:
            raise TimestampUnavailable("reply too slow")
    return body
