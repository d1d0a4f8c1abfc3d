"""What a program proves of itself with a request: a bearer token, a client certificate."""

from typing import Final

from flask import request

from pki.errors import ErrorCode, InvalidInput, NotAllowed
from webapp.services import OVER_TLS, PEER_CERTIFICATE


def bearer_token() -> str:
    """Return the request's bearer token (RFC 6750 §2.1); NotAllowed (`token-invalid`) without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAllowed(ErrorCode.TOKEN_INVALID, "a bearer token is needed")
    return token.strip()


def peer_certificate() -> bytes | None:
    """Return the DER of the connection's client certificate, as the mTLS listener saw it; headers do not count."""
    found = request.environ.get(PEER_CERTIFICATE)
    return found if isinstance(found, bytes) else None


def came_over_tls() -> bool:
    """Tell whether the mTLS listener's own socket spoke TLS; no header counts, and no proxy's word."""
    return request.environ.get(OVER_TLS) is True


_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_FORMS: Final = frozenset({"", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"})
"""What a page of another site can have a browser send without asking first (Fetch §2.2.2)."""


def require_deliberate() -> None:
    """Refuse a change whose body any page could send: a browser shows the officer's certificate by itself.

    InvalidInput (`media-type-refused`).
    """
    if request.method not in _SAFE and request.mimetype in _OF_FORMS:
        raise InvalidInput(
            ErrorCode.MEDIA_TYPE_REFUSED, "application/json, also for an empty object", reason="request.not-json"
        )
