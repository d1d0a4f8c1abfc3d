"""Whether signed content may be used now: its own dates, apart from whether the signature holds."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from signer.parsers.model import ContentClaims
from signer.validation.reasons import Reason
from signer.validation.verdict import Finding, note

UNUSABLE = frozenset((Reason.CONTENT_EXPIRED, Reason.CONTENT_NOT_YET))


def content_findings(claims: ContentClaims | None, at: datetime, skew: timedelta) -> Iterator[Finding]:
    """Yield what keeps the content from being used at an instant (RFC 8392 §3.1.4 to §3.1.6); it never decides."""
    if claims is None:
        return
    if claims.expires_at is not None and at >= claims.expires_at:
        yield note(Reason.CONTENT_EXPIRED, f"expired at {claims.expires_at.isoformat()}")
    starts = [start for start in (claims.issued_at, claims.not_before) if start is not None]
    if starts and max(starts) > at + skew:
        yield note(Reason.CONTENT_NOT_YET, f"good from {max(starts).isoformat()}")
