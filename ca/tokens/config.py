"""Settings of connection tokens and of the OAuth endpoint, validated when made."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from ca.tokens.gate import HIX_POLICY, GatePolicy
from pki.errors import ErrorCode, InvalidInput

MAX_ASSERTION_LIFE: Final = timedelta(seconds=300)
MAX_ACCESS_LIFE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """`issuer` is the issuer identifier (RFC 8414 §2); `exchange_url` where the same endpoints answer over mTLS.

    `requests_per_minute` and `burst` bound what one centre may ask; `light_refresh` is how much the age of an
    unchanged answer may grow before the sweep writes it down again.
    """

    issuer: str
    exchange_url: str | None = None
    key_label: str = "token"
    policy: GatePolicy = HIX_POLICY
    access_life: timedelta = timedelta(minutes=10)
    assertion_life: timedelta = timedelta(seconds=120)
    clock_tolerance: timedelta = timedelta(seconds=10)
    requests_per_minute: int = 60
    burst: int = 30
    light_refresh: timedelta = timedelta(minutes=15)

    def __post_init__(self) -> None:
        for url in (self.issuer, self.exchange_url):
            if url is not None:
                _check_url(url)
        if not timedelta() < self.assertion_life <= MAX_ASSERTION_LIFE:
            raise _refuse("assertion_life is at most 300 seconds")
        if not timedelta() < self.access_life <= MAX_ACCESS_LIFE:
            raise _refuse("access_life is at most an hour")
        if self.requests_per_minute < 1 or self.burst < 1:
            raise _refuse("requests_per_minute and burst are at least 1")

    @property
    def audience(self) -> str:
        """The resource that access tokens of kind HIX are for."""
        return f"{self.issuer}/hix"

    @property
    def token_endpoint(self) -> str:
        """Where clients ask for access tokens."""
        return f"{self.issuer}/oauth2/token"


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"token settings: {what}")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and len(url) <= 200
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise _refuse("an issuer is http(s)://host[:port][/path] without query and fragment (RFC 8414 §2)")
    if url.endswith("/"):
        raise _refuse("a URL has no slash at its end")
