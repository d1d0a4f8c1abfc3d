"""Who asks: form, client assertion, connection, key, certificate, in this order.

1. The form: each parameter once, sizes bounded, before any cryptography.
2. The assertion: its form, then the registered key that its header names, then signature and claims.
3. The connection's client certificate, if there is one, must be the registered certificate.
4. How often the client asks.
5. In the deciding transaction: the assertion is used up, then certificate and token must be in force.

Until 5 has used up the assertion, nothing is proven (it may be a copy) and no reason is told.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from ca import repository as certificates
from ca.revocation import CertificateState
from ca.tokens import repository
from ca.tokens.assertions import ASSERTION_TYPE, AssertionClaims, certificate_digest, check_assertion, read_assertion
from ca.tokens.config import TokenSettings
from ca.tokens.life_cycle import BoundCertificate, ConnectionToken, TokenState
from ca.tokens.oauth_answers import OAuthError, RequestRefused
from ca.tokens.rate_limit import RateLimiter
from pki.compact_jws import TokenReason, TokenRefused
from pki.errors import ErrorCode
from storage.engine import Database

Form = Mapping[str, Sequence[str]]
MAX_PARAMETERS: Final = 16
MAX_FORM_CHARACTERS: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client whose assertion is signed by its registered key; the assertion may still be a copy."""

    token: ConnectionToken
    certificate: BoundCertificate
    assertion: AssertionClaims


def single_values(form: Form) -> dict[str, str]:
    """Return the parameters; RequestRefused when one appears twice (RFC 6749 §3.2) or the form is too large.

    A parameter without a value counts as left out.
    """
    size = sum(len(name) + sum(map(len, values)) for name, values in form.items())
    if len(form) > MAX_PARAMETERS or size > MAX_FORM_CHARACTERS:
        raise _bad_request(ErrorCode.INPUT_TOO_LARGE, "form-too-large")
    if any(len(values) != 1 for values in form.values()):
        raise _bad_request(ErrorCode.INPUT_MALFORMED, "parameter-repeated")
    return {name: values[0] for name, values in form.items() if values[0]}


def _bad_request(code: ErrorCode, reason: str) -> RequestRefused:
    return RequestRefused(OAuthError.INVALID_REQUEST, code, reason)


class ClientAuthenticator:
    """Authenticate clients against the connection tokens of a database."""

    def __init__(self, database: Database, settings: TokenSettings) -> None:
        self._database, self._settings = database, settings
        self._limiter = RateLimiter(per_minute=settings.requests_per_minute, burst=settings.burst)

    def identify(self, form: Mapping[str, str], peer_certificate_der: bytes | None, now: datetime) -> Client:
        """Do steps 2 to 4; RequestRefused."""
        if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
            raise _unproven(None, "client-assertion-missing")
        client_id: str | None = None
        try:
            jws = read_assertion(form["client_assertion"])
            with self._database.read() as connection:
                token, certificate = _named_by(connection, certificate_digest(jws), jws.header.get("kid"))
            client_id = token.id
            assertion = check_assertion(jws, certificate.spki, client_id, self._settings, now)
        except TokenRefused as refusal:
            raise _unproven(client_id, f"assertion-{refusal.reason}") from refusal
        if form.get("client_id", client_id) != client_id:
            raise _unproven(client_id, "client-id-of-another")
        if peer_certificate_der is not None and hashlib.sha256(peer_certificate_der).digest() != certificate.sha256:
            raise _unproven(client_id, "connection-of-another-certificate")
        self._limit(client_id, now)
        return Client(token=token, certificate=certificate, assertion=assertion)

    def _limit(self, client_id: str, now: datetime) -> None:
        wait = self._limiter.take(client_id, now)
        if wait is not None:
            raise RequestRefused(
                OAuthError.TEMPORARILY_UNAVAILABLE,
                ErrorCode.UNAVAILABLE,
                "rate-limited",
                client=client_id,
                status=429,
                retry_after=wait.seconds,
                in_ledger=not wait.first,
            )

    @staticmethod
    def confirm(connection: Connection, client: Client, now: datetime) -> ConnectionToken | RequestRefused:
        """Do step 5 inside the deciding transaction; return the token as it stands when the client is proven.

        A refusal is returned, not raised: the assertion stays used, so the transaction must be committed.
        """
        token_id, assertion = client.token.id, client.assertion
        if not repository.use_assertion(connection, token_id, assertion.jti, assertion.expires_at):
            return _unproven(token_id, "assertion-replayed", ErrorCode.ASSERTION_REPLAYED)
        token = repository.find_token(connection, token_id)
        reason = _not_in_force(connection, client.certificate, now)
        if token is None or token.certificate != client.certificate:
            reason = "certificate-replaced"
        elif token.state is TokenState.TERMINATED:
            reason = "terminated"
        if token is None or reason is not None:
            return RequestRefused(
                OAuthError.INVALID_CLIENT, ErrorCode.NOT_ALLOWED, str(reason), client=token_id, proven=True
            )
        return token


def _unproven(client_id: str | None, reason: str, code: ErrorCode = ErrorCode.ASSERTION_INVALID) -> RequestRefused:
    return RequestRefused(OAuthError.INVALID_CLIENT, code, reason, client=client_id)


def _named_by(
    connection: Connection, sha256: bytes | None, key_id: str | None
) -> tuple[ConnectionToken, BoundCertificate]:
    """Find the token whose certificate or key the assertion names; TokenRefused (`key-unknown`)."""
    found = None
    if sha256 is not None:
        found = repository.find_by_certificate(connection, sha256)
    elif key_id is not None:
        found = repository.find_by_key(connection, key_id)
    if found is None or found.certificate is None or key_id not in (None, found.certificate.key_id):
        raise TokenRefused(TokenReason.KEY_UNKNOWN)
    return found, found.certificate


def _not_in_force(connection: Connection, certificate: BoundCertificate, now: datetime) -> str | None:
    """Say why a certificate is not in force, None when it is."""
    record = certificates.find(connection, certificate.serial)
    if record is None:
        return "certificate-unknown"
    if record.state is not CertificateState.GOOD:
        return f"certificate-{record.state}".replace("_", "-")
    if now >= record.not_after:
        return "certificate-expired"
    return None if now >= record.not_before else "certificate-not-yet-valid"
