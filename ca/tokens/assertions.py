"""Client assertions: a centre proves itself by a signed JWT (RFC 7523 §2.2, draft-ietf-oauth-rfc7523bis).

Stricter than RFC 7523: the audience is this issuer alone as one text, `iat` and `jti` are required, the
life is bounded, the type is explicit, the algorithm is that of the registered key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from ca.tokens.config import TokenSettings
from pki.compact_jws import CompactJws, HeaderRule, TokenReason, TokenRefused, numeric_date, text_claim
from pki.errors import InvalidInput
from pki.jose import unb64url
from pki.keys import SignatureAlgorithm, algorithm_for
from pki.signatures import AnyPublicKey, load_public_key

MAX_ASSERTION_OCTETS: Final = 4 * 1024
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CERTIFICATE_NAME: Final = "x5t#S256"
ASSERTION_HEADER: Final = HeaderRule(
    types=frozenset({"client-authentication+jwt", "JWT"}), names=frozenset({"kid", CERTIFICATE_NAME})
)
ASSERTION_ALGORITHMS: Final = (SignatureAlgorithm.ES256, SignatureAlgorithm.ES384, SignatureAlgorithm.RS256)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionClaims:
    """What is kept of an assertion that holds: its id, and until when it could be replayed."""

    jti: str
    expires_at: datetime


@lru_cache(maxsize=1024)
def _client_key(spki: bytes) -> tuple[AnyPublicKey, SignatureAlgorithm]:
    public_key = load_public_key(spki)
    return public_key, algorithm_for(public_key)


def read_assertion(text: str) -> CompactJws:
    """Take an assertion apart; TokenRefused. Nothing in it is proven yet."""
    return CompactJws.read(text, ASSERTION_HEADER, limit=MAX_ASSERTION_OCTETS)


def certificate_digest(jws: CompactJws) -> bytes | None:
    """Return the certificate digest that the header names, None without one; TokenRefused (`header`)."""
    named = jws.header.get(CERTIFICATE_NAME)
    if named is None:
        return None
    try:
        digest = unb64url(named)
    except InvalidInput as error:
        raise TokenRefused(TokenReason.HEADER, CERTIFICATE_NAME) from error
    if len(digest) != 32:
        raise TokenRefused(TokenReason.HEADER, CERTIFICATE_NAME)
    return digest


def check_assertion(
    jws: CompactJws, spki: bytes, client_id: str, settings: TokenSettings, now: datetime
) -> AssertionClaims:
    """Check signature, then claims, of an assertion by the client `client_id` with this key; TokenRefused.

    Whether its `jti` was used before is NOT checked here.
    """
    public_key, algorithm = _client_key(spki)
    if algorithm not in ASSERTION_ALGORITHMS:
        raise TokenRefused(TokenReason.ALGORITHM)
    jws.verify(public_key, algorithm)
    claims = jws.claims()
    if text_claim(claims, "iss") != client_id or text_claim(claims, "sub") != client_id:
        raise TokenRefused(TokenReason.SUBJECT)
    if claims.get("aud") != settings.issuer:
        raise TokenRefused(TokenReason.AUDIENCE)
    return AssertionClaims(jti=text_claim(claims, "jti", limit=128), expires_at=_check_times(claims, settings, now))


def _check_times(claims: Mapping[str, Any], settings: TokenSettings, now: datetime) -> datetime:
    """Return the expiry of claims that are valid now."""
    issued, expires = numeric_date(claims, "iat", now), numeric_date(claims, "exp", now)
    begins = max(issued, numeric_date(claims, "nbf", now)) if "nbf" in claims else issued
    if not 0 < expires - issued <= settings.assertion_life.total_seconds():
        raise TokenRefused(TokenReason.TIMES, "exp")
    if expires <= now.timestamp():
        raise TokenRefused(TokenReason.EXPIRED)
    if begins > (now + settings.clock_tolerance).timestamp():
        raise TokenRefused(TokenReason.NOT_YET_VALID)
    return datetime.fromtimestamp(expires, UTC)
