"""What the pages and the API need, named as callables, so that no page ever builds a service.

A part that is None is not installed in this deployment; its address answers 503 `unavailable`.
Every callable may raise `pki.errors.ServiceError`; anything else it raises becomes a 500 with an incident id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from pki.clock import Clock
from webapp.health import HealthReport

PEER_CERTIFICATE: Final = "mohr.peer_certificate"
"""The `environ` key under which the mTLS listener puts the client certificate's DER (never a header)."""


class Verifier(Protocol):
    """Verify any bytes and answer with the JSON object of one `mohr verify --json` line."""

    def __call__(self, data: bytes, *, content: bytes | None, name: str) -> Mapping[str, Any]:
        """Return the verdict on `data`; `content` is what a detached signature covers, `name` the file's name."""
        ...


class TokenEndpoint(Protocol):
    """Answer an OAuth token request (RFC 6749 §4.4) with the members of its JSON response."""

    def __call__(self, form: Mapping[str, str], peer_certificate: bytes | None) -> Mapping[str, Any]:
        """Return the token response; ServiceError where the request is refused."""
        ...


class AccessCheck(Protocol):
    """Check a bound access token as a gateway does."""

    def __call__(self, token: str, peer_certificate: bytes) -> Mapping[str, Any]:
        """Return what the gateway may tell the caller; ServiceError where the token does not hold."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that the web application is given by its composition root."""

    public_url: str
    clock: Clock
    health: Callable[[], HealthReport]
    origins: frozenset[str] = frozenset()
    font_file: Path | None = None
    verify: Verifier | None = None
    ocsp: Callable[[bytes], bytes] | None = None
    crl: Callable[[str, int], bytes | None] | None = None
    ca_certificate: Callable[[str], bytes | None] | None = None
    tsa: Callable[[bytes], bytes] | None = None
    checkpoint: Callable[[], bytes | None] | None = None
    token: TokenEndpoint | None = None
    jwks: Callable[[], bytes] | None = None
    oauth_metadata: Callable[[], Mapping[str, Any]] | None = None
    access: AccessCheck | None = None

    @property
    def page_origins(self) -> frozenset[str]:
        """Origins whose forms are accepted: the public URL's and those a deployer adds."""
        parts = urlsplit(self.public_url)
        return self.origins | {f"{parts.scheme}://{parts.netloc}"}
