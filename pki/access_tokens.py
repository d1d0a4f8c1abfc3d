"""What an access token of a centre says (RFC 9068, RFC 8705 §3.1), written and read.

Every token is bound to a certificate (`cnf.x5t#S256`), has one audience as text, and names the centre
(`siam_id`) and how fresh the knowledge of its lights was (`assurance`). Claims not known here are
ignored, so that an issuer may add some; the known ones are read strictly.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import Any, Final

from pki.compact_jws import CompactJws, HeaderRule, TokenReason, TokenRefused, numeric_date, signing_input, text_claim
from pki.errors import InvalidInput
from pki.jose import b64url, unb64url
from pki.jwks import Jwk, KeySet

ACCESS_TOKEN_TYPE: Final = "at+jwt"
ACCESS_TOKEN_HEADER: Final = HeaderRule(types=frozenset({ACCESS_TOKEN_TYPE}), names=frozenset({"kid"}))
MAX_SCOPES: Final = 32
_SCOPES: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")  # RFC 6749 §3.3


@unique
class Assurance(StrEnum):
    """How much the issuer knew of the centre when it issued; from best to least."""

    FRESH = "fresh"
    STALE = "stale"
    NARROWED = "narrowed"
    EMERGENCY = "emergency"


def parse_scopes(text: str) -> tuple[str, ...]:
    """Read a scope value (RFC 6749 §3.3) without repeats, in order; TokenRefused (`claims`)."""
    if len(text) > 2048 or not _SCOPES.fullmatch(text):
        raise TokenRefused(TokenReason.CLAIMS, "scope")
    scopes = tuple(dict.fromkeys(text.split(" ")))
    if len(scopes) > MAX_SCOPES:
        raise TokenRefused(TokenReason.CLAIMS, "scope")
    return scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """The claims of one access token. `certificate_sha256` is the digest of the holder's certificate."""

    issuer: str
    subject: str
    audience: str
    client_id: str
    issued_at: datetime
    expires_at: datetime
    not_before: datetime | None = None
    jti: str
    scopes: tuple[str, ...]
    certificate_sha256: bytes
    siam_id: str
    assurance: Assurance

    def members(self) -> dict[str, Any]:
        """Return the claims as they are signed."""
        times = {"iat": int(self.issued_at.timestamp()), "exp": int(self.expires_at.timestamp())}
        if self.not_before is not None:
            times["nbf"] = int(self.not_before.timestamp())
        return {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.audience,
            "client_id": self.client_id,
            **times,
            "jti": self.jti,
            "scope": " ".join(self.scopes),
            "cnf": {"x5t#S256": b64url(self.certificate_sha256)},
            "siam_id": self.siam_id,
            "assurance": str(self.assurance),
        }

    def signing_input(self, key: Jwk) -> bytes:
        """Return what the issuer's key named `key` signs (RFC 9068 §2.1)."""
        header = {"typ": ACCESS_TOKEN_TYPE, "alg": str(key.algorithm), "kid": key.kid}
        return signing_input(header, self.members())

    @staticmethod
    def parse(claims: dict[str, Any], now: datetime) -> "AccessClaims":
        """Read the claims of a token whose signature holds; TokenRefused (`claims`, `times`)."""
        issued, expires = numeric_date(claims, "iat", now), numeric_date(claims, "exp", now)
        if expires <= issued:
            raise TokenRefused(TokenReason.TIMES, "exp")
        return AccessClaims(
            issuer=text_claim(claims, "iss"),
            subject=text_claim(claims, "sub"),
            audience=text_claim(claims, "aud"),
            client_id=text_claim(claims, "client_id"),
            issued_at=datetime.fromtimestamp(issued, UTC),
            expires_at=datetime.fromtimestamp(expires, UTC),
            not_before=datetime.fromtimestamp(numeric_date(claims, "nbf", now), UTC) if "nbf" in claims else None,
            jti=text_claim(claims, "jti", limit=64),
            scopes=parse_scopes(text_claim(claims, "scope", limit=2048)),
            certificate_sha256=_confirmation(claims),
            siam_id=text_claim(claims, "siam_id", limit=36),
            assurance=_assurance(claims),
        )


def _confirmation(claims: dict[str, Any]) -> bytes:
    """Read `cnf`: exactly a certificate's SHA-256 (RFC 8705 §3.1)."""
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, dict) or confirmation.keys() != {"x5t#S256"}:
        raise TokenRefused(TokenReason.CLAIMS, "cnf")
    try:
        digest = unb64url(text_claim(confirmation, "x5t#S256", limit=43))
    except InvalidInput as error:
        raise TokenRefused(TokenReason.CLAIMS, "cnf") from error
    if len(digest) != 32:
        raise TokenRefused(TokenReason.CLAIMS, "cnf")
    return digest


def _assurance(claims: dict[str, Any]) -> Assurance:
    try:
        return Assurance(text_claim(claims, "assurance", limit=16))
    except ValueError as error:
        raise TokenRefused(TokenReason.CLAIMS, "assurance") from error


def read_access_token(token: str | bytes, keys: KeySet, now: datetime) -> AccessClaims:
    """Check form, type, key, algorithm and signature, in this order, then read the claims; TokenRefused.

    Issuer, audience, validity and binding are NOT checked: see `pki.gateway.verify_access_token`.
    """
    jws = CompactJws.read(token, ACCESS_TOKEN_HEADER)
    key = keys.find(jws.header["kid"])
    if key is None:
        raise TokenRefused(TokenReason.KEY_UNKNOWN)
    jws.verify(key.public_key, key.algorithm)
    return AccessClaims.parse(jws.claims(), now)
