"""How far a key may go within its purpose: the numbers and sets that a policy file states for it.

None means that the policy does not limit it; what a purpose itself demands holds in any case.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from hsm.errors import PurposeRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """Limits of one key. OIDs are dotted, instants aware UTC.

    `backdate_seconds` and `ahead_seconds` bound, against now, what says when something begins: notBefore,
    thisUpdate, producedAt, iat. `not_after` is the end of all that the key signs. `ca_path_length`: a CA
    certificate other than the root's own must carry a pathLenConstraint of at most this.
    """

    backdate_seconds: int | None = None
    ahead_seconds: int | None = None
    not_after: datetime | None = None
    certificate_seconds: int | None = None
    allowed_extensions: frozenset[str] | None = None
    required_extensions: frozenset[str] = frozenset()
    allowed_key_purposes: frozenset[str] | None = None
    ca_path_length: int | None = None
    crl_seconds: int | None = None
    ocsp_seconds: int | None = None
    timestamp_tolerance_ms: int | None = None
    timestamp_policies: frozenset[str] | None = None
    token_seconds: int | None = None
    token_issuer: str | None = None


@lru_cache(maxsize=64)
def _span(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a key at an instant, `now`, which is aware UTC."""

    limits: KeyLimits
    now: datetime

    def check_begins(self, instant: datetime, what: str) -> None:
        """Refuse an instant that is too far from now in either direction."""
        back, ahead = self.limits.backdate_seconds, self.limits.ahead_seconds
        if back is not None and instant < self.now - _span(back):
            raise PurposeRefused(f"{what} lies further back than {back} s")
        if ahead is not None and instant > self.now + _span(ahead):
            raise PurposeRefused(f"{what} lies further ahead than {ahead} s")

    def check_ends(self, begin: datetime, end: datetime, seconds: int | None, what: str) -> None:
        """Refuse a span of more than `seconds`, and one that outlasts the key's own end."""
        if seconds is not None and end - begin > _span(seconds):
            raise PurposeRefused(f"{what} is later than {seconds} s after its beginning")
        if self.limits.not_after is not None and end > self.limits.not_after:
            raise PurposeRefused(f"{what} lies beyond the end of this key")
