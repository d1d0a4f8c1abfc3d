"""Asking for time-stamps: over HTTP (RFC 3161 §3.4), or from an authority in the same process."""

import http.client
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from pki.errors import InvalidInput, Unavailable
from signer.errors import TimestampInvalid, TimestampUnavailable
from signer.http_exchange import exchange, parse_url
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
    """Take tokens from an RFC 3161 service: no redirects, no proxies, at most 64 KiB, one deadline."""

    def __init__(
        self,
        url: str,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        *,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        """Take an http(s) URL (InvalidInput for another) and the seconds that one stamp may last."""
        parse_url(url)
        self._url, self._timeout, self._random_bits = url, timeout, random_bits

    def stamp(self, digest_sha256: bytes) -> bytes:
        """Return a token over the digest."""
        nonce = self._random_bits(NONCE_BITS)
        return read_response(self._post(build_request(digest_sha256, nonce)), digest_sha256, nonce)

    def _post(self, request: bytes) -> bytes:
        try:
            reply = exchange(
                self._url, seconds=self._timeout, limit=MAX_RESPONSE_OCTETS, body=request, headers=_HEADERS
            )
        except Unavailable as error:
            raise TimestampUnavailable(error.detail) from error
        except InvalidInput as error:
            raise TimestampInvalid("reply larger than 64 KiB") from error
        if reply.status != http.client.OK:
            raise TimestampUnavailable(f"HTTP {reply.status}")
        if reply.content_type != "application/timestamp-reply":
            raise TimestampInvalid("not a time-stamp reply")
        return reply.body
