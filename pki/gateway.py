"""The offline check of a gateway or resource server: does this token open my door for this connection?

Pure: keys, certificate and time are given. Whatever the token is, the answer is a decision that says why
and how old the keys are; no token makes it raise. What it does not check: status of the connection token
after the access token was issued (bounded by the token's life).
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Any, Final

from pki.access_tokens import AccessClaims, read_access_token
from pki.compact_jws import TokenReason, TokenRefused
from pki.instants import format_instant
from pki.jwks import KeySet

LEEWAY: Final = timedelta(seconds=10)  # for `iat` and `nbf` only; `exp` of one's own issuer has none


@unique
class Decision(StrEnum):
    """The gateway's word."""

    ACCEPT = "accept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDecision:
    """The answer for one token. `claims` are there only when the issuer's signature holds."""

    decision: Decision
    reasons: tuple[TokenReason, ...]
    claims: AccessClaims | None
    token_exp: datetime | None
    keys_as_of: datetime

    @property
    def accepted(self) -> bool:
        """Whether the token opens the door."""
        return self.decision is Decision.ACCEPT

    def allows(self, scope: str) -> bool:
        """Whether the token is accepted and carries `scope`; false means 403 `insufficient_scope` if accepted."""
        return self.accepted and self.claims is not None and scope in self.claims.scopes

    def document(self, now: datetime) -> dict[str, Any]:
        """Return the decision as JSON members, with the age of the keys at `now`."""
        return {
            "decision": str(self.decision),
            "reasons": [str(reason) for reason in self.reasons],
            "token_exp": format_instant(self.token_exp) if self.token_exp else None,
            "keys_as_of": format_instant(self.keys_as_of),
            "keys_age_s": int((now - self.keys_as_of).total_seconds()),
            "claims": self.claims.members() if self.claims else None,
        }


def verify_access_token(
    token: str | bytes,
    jwks: KeySet,
    issuer: str,
    audience: str,
    certificate_der: bytes | None,
    now: datetime,
    leeway: timedelta = LEEWAY,
) -> TokenDecision:
    """Decide about one access token presented over a connection with `certificate_der` as client certificate.

    `certificate_der` is the certificate of the caller's own TLS connection, None without one; then the
    answer is always a refusal (`binding`). `leeway` forgives clocks for `iat` and `nbf`, never for `exp`.
    """
    try:
        claims = read_access_token(token, jwks, now)
    except TokenRefused as refusal:
        return TokenDecision(
            decision=Decision.REFUSE,
            reasons=(refusal.reason,),
            claims=None,
            token_exp=None,
            keys_as_of=jwks.as_of,
        )
    reasons = tuple(_objections(claims, issuer, audience, certificate_der, now, leeway))
    return TokenDecision(
        decision=Decision.REFUSE if reasons else Decision.ACCEPT,
        reasons=reasons,
        claims=claims,
        token_exp=claims.expires_at,
        keys_as_of=jwks.as_of,
    )


def _objections(
    claims: AccessClaims, issuer: str, audience: str, certificate_der: bytes | None, now: datetime, leeway: timedelta
) -> Iterator[TokenReason]:
    if claims.issuer != issuer:
        yield TokenReason.ISSUER
    if claims.audience != audience:
        yield TokenReason.AUDIENCE
    if claims.subject != claims.client_id:  # RFC 9068 §2.2: client credentials only
        yield TokenReason.SUBJECT
    if now >= claims.expires_at:
        yield TokenReason.EXPIRED
    if max(claims.issued_at, claims.not_before or claims.issued_at) > now + leeway:
        yield TokenReason.NOT_YET_VALID
    presented = b"" if certificate_der is None else hashlib.sha256(certificate_der).digest()
    if not hmac.compare_digest(presented, claims.certificate_sha256):
        yield TokenReason.BINDING
