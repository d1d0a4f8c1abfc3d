"""Compact JWS of tokens, read strictly (RFC 7515 §3.1, RFC 8725 §3).

One spelling only: three segments of canonical base64url, a header of exactly the expected text members,
the algorithm fixed by the key that is used and never by the header. The payload is not looked at before
the signature holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.jose import b64url, compact_json, json_object, unb64url
from pki.keys import PublicKey, SignatureAlgorithm, SigningKey, jose_signature, verify_signature, x509_signature

MAX_TOKEN_OCTETS: Final = 8 * 1024
MAX_TIME_DISTANCE: Final = 100 * 366 * 86_400  # seconds either side of now


@unique
class TokenReason(StrEnum):
    """Why a token or an assertion is refused; part of the gateway's answer and of audit facts."""

    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    HEADER = "header"
    TYPE = "type"
    ALGORITHM = "algorithm"
    KEY_UNKNOWN = "key-unknown"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    TIMES = "times"
    ISSUER = "issuer"
    SUBJECT = "subject"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    BINDING = "binding"
    REVOKED = "revoked"


_CODES: Final = {
    TokenReason.EXPIRED: ErrorCode.TOKEN_EXPIRED,
    TokenReason.BINDING: ErrorCode.TOKEN_BINDING,
}


class TokenRefused(VerificationFailed):
    """A token or an assertion that does not hold, with the check that failed."""

    reason: TokenReason

    def __init__(self, reason: TokenReason, detail: str = "") -> None:
        super().__init__(_CODES.get(reason, ErrorCode.TOKEN_INVALID), detail or str(reason), reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRule:
    """Which header a token type must have: `alg`, `typ`, and at least one of `names`; nothing else."""

    types: frozenset[str]
    names: frozenset[str]

    def check(self, header: Mapping[str, Any]) -> None:
        """TokenRefused (`header`, `type`) unless the header is exactly of this form."""
        members = header.keys()
        named = members - {"alg", "typ"}
        if not named or not named <= self.names or not all(map(is_plain_text, header.values())):
            raise TokenRefused(TokenReason.HEADER)
        if header.get("typ") not in self.types:
            raise TokenRefused(TokenReason.TYPE)
        if "alg" not in members:
            raise TokenRefused(TokenReason.HEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactJws:
    """A well-formed compact JWS whose signature is not checked yet."""

    header: Mapping[str, str]
    payload: bytes
    signing_input: bytes
    signature: bytes

    @staticmethod
    def read(token: str | bytes, rule: HeaderRule, *, limit: int = MAX_TOKEN_OCTETS) -> "CompactJws":
        """Take a token apart; TokenRefused (`too-large`, `malformed`, `header`, `type`)."""
        if len(token) > limit:
            raise TokenRefused(TokenReason.TOO_LARGE)
        try:
            raw = token.encode("ascii") if isinstance(token, str) else token
            header_part, payload_part, signature_part = raw.split(b".")
            header = json_object(unb64url(header_part))
            payload, signature = unb64url(payload_part), unb64url(signature_part)
        except (InvalidInput, ValueError) as error:  # UnicodeEncodeError and a wrong number of parts are ValueErrors
            raise TokenRefused(TokenReason.MALFORMED) from error
        rule.check(header)
        return CompactJws(header=header, payload=payload, signing_input=raw[: raw.rindex(b".")], signature=signature)

    def verify(self, public_key: PublicKey, algorithm: SignatureAlgorithm) -> None:
        """Check the signature; TokenRefused (`algorithm`, `signature`)."""
        if self.header["alg"] != algorithm:
            raise TokenRefused(TokenReason.ALGORITHM)
        try:
            verify_signature(public_key, x509_signature(algorithm, self.signature), self.signing_input, algorithm)
        except VerificationFailed as error:
            raise TokenRefused(TokenReason.SIGNATURE) from error

    def claims(self) -> dict[str, Any]:
        """Read the payload as a JSON object; call after `verify`. TokenRefused (`malformed`)."""
        try:
            return json_object(self.payload)
        except InvalidInput as error:
            raise TokenRefused(TokenReason.MALFORMED) from error


def signing_input(header: Mapping[str, str], payload: Mapping[str, Any]) -> bytes:
    """Return the octets that a compact JWS signature is made over (RFC 7515 §5.1)."""
    return f"{b64url(compact_json(header))}.{b64url(compact_json(payload))}".encode()


def sign_compact(message: bytes, key: SigningKey) -> str:
    """Sign a `signing_input` and return the whole compact JWS."""
    return f"{message.decode()}.{b64url(jose_signature(key.algorithm, key.sign(message)))}"


def numeric_date(claims: Mapping[str, Any], name: str, now: datetime) -> int:
    """Read a time claim: an integer of seconds within 100 years of `now`; TokenRefused (`times`)."""
    value = claims.get(name)
    if type(value) is not int or abs(value - now.timestamp()) > MAX_TIME_DISTANCE:
        raise TokenRefused(TokenReason.TIMES, name)
    return value


def is_plain_text(value: object, limit: int = 256) -> bool:
    """Whether a decoded value is text of 1 to `limit` printable ASCII characters."""
    return isinstance(value, str) and 0 < len(value) <= limit and value.isascii() and value.isprintable()


def text_claim(claims: Mapping[str, Any], name: str, *, limit: int = 256) -> str:
    """Read a text claim of 1 to `limit` printable ASCII characters; TokenRefused (`claims`)."""
    value = claims.get(name)
    if not is_plain_text(value, limit):
        raise TokenRefused(TokenReason.CLAIMS, name)
    return str(value)
