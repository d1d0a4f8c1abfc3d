"""What surrounds every request: its id, the headers of its answer, and where forms may come from.

CSRF: no page reads a cookie yet, but the rule stands before the first one does. A request that can change
something must come from our own pages, told by `Sec-Fetch-Site` and `Origin` (else `Referer`). Programs' addresses
read no cookie and are exempt, but a browser shows a client certificate by itself: on a connection with one, a request
that a browser says is of another site is refused there too.
"""

import secrets
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from pki.errors import ErrorCode, NotAllowed
from webapp.addresses import COOKIELESS, is_machine_path
from webapp.callers import peer_certificate

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HSTS: Final = "max-age=63072000; includeSubDomains"
FIXED_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Frame-Options": "DENY",
}
MACHINE_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"


def content_policy(nonce: str) -> str:
    """Write the Content-Security-Policy of a page whose scripts carry `nonce`."""
    return (
        "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
        f"script-src 'nonce-{nonce}'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def new_request_id() -> str:
    """Make the id that ties an answer to its log line."""
    return secrets.token_hex(8)


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL; empty when it has none or is malformed."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""


def from_own_pages(origins: frozenset[str], *, fetch_site: str | None, origin: str | None, referer: str | None) -> bool:
    """Tell whether a browser's own headers place a request in one of our pages (Fetch Metadata, RFC 6454 §7)."""
    if fetch_site is not None and fetch_site != "same-origin":
        return False
    source = origin if origin is not None else origin_of(referer or "")
    return source in origins


def not_from_elsewhere(origins: frozenset[str], *, fetch_site: str | None, origin: str | None) -> bool:
    """Tell whether nothing says that a request came from another site; programs say nothing."""
    return fetch_site in (None, "same-origin") and (origin is None or origin in origins)


def install(app: Flask, origins: frozenset[str]) -> None:
    """Put the request id, the cross-site rule and the headers around every request of `app`."""

    @app.before_request
    def begin() -> None:
        g.request_id = request.environ.get("mohr.request_id") or new_request_id()
        g.nonce = secrets.token_urlsafe(16)
        if request.method in SAFE_METHODS:
            return
        headers = request.headers
        if request.path.startswith(COOKIELESS):
            if peer_certificate() is not None and not not_from_elsewhere(
                origins, fetch_site=headers.get("Sec-Fetch-Site"), origin=headers.get("Origin")
            ):
                raise NotAllowed(ErrorCode.CROSS_SITE_REFUSED)
            return
        if not from_own_pages(
            origins,
            fetch_site=headers.get("Sec-Fetch-Site"),
            origin=headers.get("Origin"),
            referer=headers.get("Referer"),
        ):
            raise NotAllowed(ErrorCode.CROSS_SITE_REFUSED)

    @app.after_request
    def finish(response: Response) -> Response:
        headers = response.headers
        for name, value in FIXED_HEADERS.items():
            headers[name] = value
        headers["Content-Security-Policy"] = (
            MACHINE_POLICY if is_machine_path(request.path) else content_policy(g.get("nonce", ""))
        )
        headers["X-Request-Id"] = g.get("request_id", "")
        if request.is_secure:
            headers["Strict-Transport-Security"] = HSTS
        headers.setdefault("Cache-Control", "no-store")
        return response
