"""From a proven client and the gate to an access token: what is granted, written down, signed.

The audit event of a grant is durable before the key is used and holds the digest of what will be signed; if
the signature fails, a refusal follows it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from ca.tokens.config import TokenSettings
from ca.tokens.gate import GateDecision
from ca.tokens.life_cycle import BoundCertificate, ConnectionToken, TokenState
from ca.tokens.lights import Light
from ca.tokens.oauth_answers import OAuthError, RequestRefused
from ca.tokens.standing import Standing
from pki.access_tokens import AccessClaims
from pki.audit import AuditAction, AuditEvent
from pki.errors import ErrorCode
from pki.instants import format_instant
from pki.jose import b64url, compact_json
from pki.jwks import Jwk
from pki.keys import PublicKey, SigningKey

_JTI_OCTETS: Final = 16


class OpensKeys(Protocol):
    """Whoever holds the token key."""

    def signing_key(self, label: str) -> SigningKey:
        """Return the key that goes by `label`."""
        ...


class TokenKey:
    """The key that signs access tokens, and its public name."""

    def __init__(self, keys: OpensKeys, label: str) -> None:
        self._keys, self._label = keys, label
        self._named: tuple[PublicKey, Jwk] | None = None

    def open(self) -> tuple[SigningKey, Jwk]:
        """Return the key and its JWK; Unavailable when its device does not answer."""
        key = self._keys.signing_key(self._label)
        public_key = key.public_key()
        if self._named is None or self._named[0] is not public_key:
            self._named = (public_key, Jwk.of(public_key, algorithm=key.algorithm))
        return key, self._named[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An access token that is about to be signed. `message` is its JWS signing input."""

    claims: AccessClaims
    message: bytes
    gate: GateDecision

    def event(self, now: datetime) -> AuditEvent:
        """Return the audit event of the grant: enough to prove what was signed and why, nothing that opens a door."""
        claims = self.claims
        ages = {str(kind): int(age.total_seconds()) for kind, age in self.gate.ages}
        return AuditEvent(
            action=AuditAction.ACCESS_TOKEN_ISSUED,
            at=now,
            actor=claims.client_id,
            subject=claims.client_id,
            facts={
                "jti": claims.jti,
                "scope": " ".join(claims.scopes),
                "assurance": str(claims.assurance),
                "audience": claims.audience,
                "exp": int(claims.expires_at.timestamp()),
                "certificate_sha256": claims.certificate_sha256.hex(),
                "signing_input_sha256": hashlib.sha256(self.message).hexdigest(),
                "policy": self.gate.policy_version,
                "light_ages_s": compact_json(ages).decode(),
            },
        )


def grant_access(
    standing: Standing,
    asked: tuple[str, ...],
    jwk: Jwk,
    settings: TokenSettings,
    now: datetime,
    random_bytes: Callable[[int], bytes],
) -> Grant | RequestRefused:
    """Decide what a proven client gets now."""
    token, gate = standing.token, standing.gate(settings.policy, now)
    certificate = token.certificate
    refusal = _closed(token, gate)
    if refusal is not None or certificate is None:
        return refusal or _refuse(token, ErrorCode.STATE_ILLEGAL, "not-active")
    unknown = [scope for scope in asked if scope not in settings.policy.every]
    if unknown:
        return _refuse(token, ErrorCode.SCOPE_REFUSED, "scope-unknown", error=OAuthError.INVALID_SCOPE)
    claims = AccessClaims(
        issuer=settings.issuer,
        subject=token.id,
        audience=settings.audience,
        client_id=token.id,
        issued_at=now,
        expires_at=_end(certificate, settings, now),
        jti=b64url(random_bytes(_JTI_OCTETS)),
        scopes=gate.grant(asked),
        certificate_sha256=certificate.sha256,
        siam_id=token.siam_id,
        assurance=gate.assurance,
    )
    return Grant(claims=claims, message=claims.signing_input(jwk), gate=gate)


def _end(certificate: BoundCertificate, settings: TokenSettings, now: datetime) -> datetime:
    """No access token outlives the certificate it is bound to."""
    return min(now + settings.access_life, certificate.not_after).replace(microsecond=0)


def _closed(token: ConnectionToken, gate: GateDecision) -> RequestRefused | None:
    """Say why nothing is granted, naming the lights, so that the centre knows whom to ask."""
    if gate.failed:
        return _refuse(token, ErrorCode.GATE_CLOSED, "light-failed", lights=list(map(_light_members, gate.failed)))
    if token.hold is not None:
        return _refuse(token, ErrorCode.GATE_CLOSED, "on-hold", since=format_instant(token.hold.at))
    if token.state is not TokenState.ACTIVE:
        return _refuse(token, ErrorCode.STATE_ILLEGAL, "not-active")
    if gate.unknown:
        return _refuse(token, ErrorCode.REGISTRY_SILENT, "light-unknown", lights=[str(kind) for kind in gate.unknown])
    return None


def _light_members(light: Light) -> dict[str, str]:
    return {
        "kind": str(light.kind),
        "state": str(light.state),
        "since": format_instant(light.since),
        "source": light.source,
        "reference": light.reference,
    }


def _refuse(
    token: ConnectionToken,
    code: ErrorCode,
    reason: str,
    *,
    error: OAuthError = OAuthError.UNAUTHORIZED_CLIENT,
    **facts: Any,
) -> RequestRefused:
    return RequestRefused(error, code, reason, client=token.id, proven=True, facts=facts)
