"""What a program proves of itself with a request: a bearer token, a client certificate."""

from flask import request

from pki.errors import ErrorCode, NotAllowed
from webapp.services import PEER_CERTIFICATE


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
