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

from ca.tokens import repository
from ca.tokens.assertions import ASSERTION_TYPE, AssertionClaims, certificate_digest, check_assertion, read_assertion
from ca.tokens.config import TokenSettings
from ca.tokens.life_cycle import BoundCertificate
from ca.tokens.oauth_answers import OAuthError, RequestRefused
from ca.tokens.rate_limit import RateLimiter
from ca.tokens.standing import Standing
from ca.tokens.succession import follow
from pki.compact_jws import TokenReason, TokenRefused
from pki.errors import ErrorCode
from storage.engine import Database

Form = Mapping[str, Sequence[str]]
MAX_PARAMETERS: Final = 16
MAX_FORM_CHARACTERS: Final = 16 * 1024
MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registered:
    """Which client a key or certificate belongs to."""

    client_id: str
    certificate: BoundCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client whose assertion is signed by its registered key; the assertion may still be a copy."""

    client_id: str
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
        self._registered: dict[tuple[bytes | None, str | None], _Registered] = {}

    def identify(self, form: Mapping[str, str], peer_certificate_der: bytes | None, now: datetime) -> Client:
        """Do steps 2 to 4; RequestRefused."""
        if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
            raise _unproven(None, "client-assertion-missing")
        client_id: str | None = None
        try:
            jws = read_assertion(form["client_assertion"])
            registered = self._registered_as(certificate_digest(jws), jws.header.get("kid"), peer_certificate_der, now)
            client_id, certificate = registered.client_id, registered.certificate
            assertion = check_assertion(jws, certificate.spki, client_id, self._settings, now)
        except TokenRefused as refusal:
            raise _unproven(client_id, f"assertion-{refusal.reason}") from refusal
        if form.get("client_id", client_id) != client_id:
            raise _unproven(client_id, "client-id-of-another")
        if peer_certificate_der is not None and hashlib.sha256(peer_certificate_der).digest() != certificate.sha256:
            raise _unproven(client_id, "connection-of-another-certificate")
        self._limit(client_id, now)
        return Client(client_id=client_id, certificate=certificate, assertion=assertion)

    def _registered_as(
        self, sha256: bytes | None, key_id: str | None, peer_der: bytes | None, now: datetime
    ) -> "_Registered":
        """Find the client, whose token may follow to the certificate that the connection shows; TokenRefused."""
        try:
            found = self._named_by(sha256, key_id)
        except TokenRefused:
            if peer_der is None or not follow(self._database, peer_der, now):
                raise
        else:
            if peer_der is None or hashlib.sha256(peer_der).digest() == found.certificate.sha256:
                return found
            if not follow(self._database, peer_der, now):
                return found
        self._registered.clear()
        return self._named_by(sha256, key_id)

    def _named_by(self, sha256: bytes | None, key_id: str | None) -> "_Registered":
        """Find the client whose certificate or key an assertion names; TokenRefused (`key-unknown`).

        What was found is remembered: a binding changes only by `follow`, and `confirm` looks at the present one.
        """
        found = self._registered.get((sha256, key_id))
        if found is not None:
            return found
        token = None
        with self._database.read() as connection:
            if sha256 is not None:
                token = repository.find_by_certificate(connection, sha256)
            elif key_id is not None:
                token = repository.find_by_key(connection, key_id)
        if token is None or token.certificate is None or key_id not in (None, token.certificate.key_id):
            raise TokenRefused(TokenReason.KEY_UNKNOWN)
        found = _Registered(client_id=token.id, certificate=token.certificate)
        if len(self._registered) >= MAX_REMEMBERED:
            self._registered.clear()
        self._registered[sha256, key_id] = found
        return found

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
    def confirm(connection: Connection, client: Client, now: datetime) -> Standing | RequestRefused:
        """Do step 5 inside the deciding transaction; return how the token stands when the client is proven.

        A refusal is returned, not raised: the assertion stays used, so the transaction must be committed.
        """
        client_id, assertion = client.client_id, client.assertion
        if not repository.use_assertion(connection, client_id, assertion.jti, assertion.expires_at):
            return _unproven(client_id, "assertion-replayed", ErrorCode.ASSERTION_REPLAYED)
        standing = repository.standing_of(connection, client_id)
        reason = standing.objection(now)
        if standing.token.certificate != client.certificate:
            reason = "certificate-replaced"
        if reason is None:
            return standing
        return RequestRefused(OAuthError.INVALID_CLIENT, ErrorCode.NOT_ALLOWED, reason, client=client_id, proven=True)


def _unproven(client_id: str | None, reason: str, code: ErrorCode = ErrorCode.ASSERTION_INVALID) -> RequestRefused:
    return RequestRefused(OAuthError.INVALID_CLIENT, code, reason, client=client_id)
