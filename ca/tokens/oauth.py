"""The OAuth 2.0 endpoints of connected centres, without HTTP (RFC 6749 §4.4, RFC 7523, 7662, 7009, 8414, 8705).

Client credentials by `private_key_jwt`; every access token is bound to the client's registered certificate.
Every request has an answer and every refusal an audit event. The issuer comes from the settings, never from
a request.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from ca.tokens import repository
from ca.tokens.access import Grant, OpensKeys, TokenKey, grant_access
from ca.tokens.assertions import ASSERTION_ALGORITHMS
from ca.tokens.client_authentication import ClientAuthenticator, Form, single_values
from ca.tokens.config import TokenSettings
from ca.tokens.oauth_answers import OAuthError, OAuthResponse, RequestRefused, unavailable
from ca.tokens.standing import Standing
from pki.access_tokens import AccessClaims, parse_scopes, read_access_token
from pki.audit import AuditAction, AuditEvent
from pki.clock import Clock
from pki.compact_jws import TokenReason, TokenRefused, sign_compact
from pki.errors import ErrorCode, Unavailable
from pki.gateway import Decision, TokenDecision, verify_access_token
from pki.jose import compact_json
from pki.jwks import Jwk, KeySet
from pki.keys import SigningKey
from storage.engine import Database
from storage.shared_transactions import SharedTransactions
from storage.unit_of_work import UnitOfWork

GRANT_TYPE: Final = "client_credentials"
RETRY_AFTER: Final = 5

_Outcome = TypeVar("_Outcome")


class OAuthServer:
    """The endpoints. Threads may share it."""

    def __init__(
        self,
        database: Database,
        keys: OpensKeys,
        settings: TokenSettings,
        clock: Clock,
        *,
        believed: Clock | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Date tokens and what clients do by `believed`, the clock that raises Unavailable while it is suspect."""
        self._database, self._settings, self._clock = database, settings, clock
        self._believed = believed or clock
        self._key = TokenKey(keys, settings.key_label)
        self._authenticator = ClientAuthenticator(database, settings)
        self._transactions = SharedTransactions(database)
        self._random_bytes = random_bytes

    def token_endpoint(self, form: Form, peer_certificate_der: bytes | None) -> OAuthResponse:
        """Answer a token request; `peer_certificate_der` is the connection's client certificate, if any."""
        return self._answer(partial(self._token, form, peer_certificate_der))

    def introspection_endpoint(self, form: Form, peer_certificate_der: bytes | None) -> OAuthResponse:
        """Tell a client about an access token of its own (RFC 7662); of any other it says `active: false`."""
        return self._answer(partial(self._introspect, form, peer_certificate_der))

    def revocation_endpoint(self, form: Form, peer_certificate_der: bytes | None) -> OAuthResponse:
        """Deny an access token of the client's own (RFC 7009); 200 whatever the token is."""
        return self._answer(partial(self._revoke, form, peer_certificate_der))

    def _answer(self, handle: Callable[[datetime], OAuthResponse]) -> OAuthResponse:
        try:
            now = self._believed.now()
            try:
                return handle(now)
            except RequestRefused as refusal:
                if not refusal.in_ledger:
                    event = refusal.event(now)
                    self._transactions.run(lambda unit: unit.audit.record(event))
                return refusal.response()
        except Unavailable:
            return unavailable(RETRY_AFTER)

    def _as_client(
        self,
        values: Mapping[str, str],
        peer: bytes | None,
        now: datetime,
        act: Callable[[UnitOfWork, Standing], _Outcome | RequestRefused],
    ) -> _Outcome:
        """Authenticate, then act in the transaction that uses up the assertion; RequestRefused after its commit."""
        client = self._authenticator.identify(values, peer, now)

        def decide(unit: UnitOfWork) -> _Outcome | RequestRefused:
            standing = self._authenticator.confirm(unit.connection, client, now)
            outcome = standing if isinstance(standing, RequestRefused) else act(unit, standing)
            if isinstance(outcome, RequestRefused):
                unit.audit.record(outcome.event(now))
            return outcome

        outcome = self._transactions.run(decide)
        if isinstance(outcome, RequestRefused):
            outcome.in_ledger = True
            raise outcome
        return outcome

    # -- token ------------------------------------------------------------------------------------

    def _token(self, form: Form, peer: bytes | None, now: datetime) -> OAuthResponse:
        values = single_values(form)
        asked = self._asked(values)
        key, jwk = self._opened_key()

        def act(unit: UnitOfWork, standing: Standing) -> Grant | RequestRefused:
            outcome = grant_access(standing, asked, jwk, self._settings, now, self._random_bytes)
            if isinstance(outcome, Grant):
                unit.audit.record(outcome.event(now))
            return outcome

        return self._signed(self._as_client(values, peer, now, act), key, now)

    def _asked(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Return the scopes that are asked for, none meaning all; RequestRefused for another kind of request."""
        if values.get("grant_type") != GRANT_TYPE:
            error = OAuthError.UNSUPPORTED_GRANT_TYPE if "grant_type" in values else OAuthError.INVALID_REQUEST
            raise RequestRefused(error, ErrorCode.INPUT_MALFORMED, "grant-type")
        if values.get("resource", self._settings.audience) != self._settings.audience:
            raise RequestRefused(OAuthError.INVALID_TARGET, ErrorCode.SCOPE_REFUSED, "resource-of-another")
        try:
            return parse_scopes(values["scope"]) if "scope" in values else ()
        except TokenRefused as error:
            raise RequestRefused(OAuthError.INVALID_SCOPE, ErrorCode.SCOPE_REFUSED, "scope-malformed") from error

    def _opened_key(self) -> tuple[SigningKey, Jwk]:
        try:
            return self._key.open()
        except Unavailable as error:
            raise _no_signature(error) from error

    def _signed(self, grant: Grant, key: SigningKey, now: datetime) -> OAuthResponse:
        claims = grant.claims
        try:
            access_token = sign_compact(grant.message, key)
        except Unavailable as error:  # never another key: the client tries again
            raise _no_signature(error, client=claims.client_id, proven=True, facts={"jti": claims.jti}) from error
        members = {
            "access_token": access_token,
            "token_type": "Bearer",  # RFC 8705 §3: bound all the same
            "expires_in": int((claims.expires_at - now).total_seconds()),
            "scope": " ".join(claims.scopes),
        }
        return OAuthResponse(status=200, json=members)

    # -- introspection and revocation -------------------------------------------------------------

    def _introspect(self, form: Form, peer: bytes | None, now: datetime) -> OAuthResponse:
        values = single_values(form)

        def act(unit: UnitOfWork, standing: Standing) -> dict[str, Any]:
            claims = self._own(values.get("token", ""), standing.token.id, now)
            if claims is None or not self._usable(unit.connection, claims, now):
                return {"active": False}
            return {"active": True, "token_type": "Bearer", **claims.members()}

        return OAuthResponse(status=200, json=self._as_client(values, peer, now, act))

    def _revoke(self, form: Form, peer: bytes | None, now: datetime) -> OAuthResponse:
        values = single_values(form)

        def act(unit: UnitOfWork, standing: Standing) -> None:
            client_id = standing.token.id
            claims = self._own(values.get("token", ""), client_id, now)
            if claims is None:
                return
            repository.deny_token(unit.connection, claims.jti, claims.expires_at)
            event = AuditEvent(
                action=AuditAction.ACCESS_TOKEN_REVOKED,
                at=now,
                actor=client_id,
                subject=client_id,
                facts={"jti": claims.jti},
            )
            unit.audit.record(event)

        self._as_client(values, peer, now, act)
        return OAuthResponse(status=200, json=None)

    def _own(self, access_token: str, client_id: str, now: datetime) -> AccessClaims | None:
        """Return the claims of an access token of ours that is the client's and has not expired."""
        try:
            claims = read_access_token(access_token, self._key_set(now), now)
        except TokenRefused:
            return None
        return claims if claims.client_id == client_id and now < claims.expires_at else None

    def _usable(self, connection: Connection, claims: AccessClaims, now: datetime) -> bool:
        """Whether the issuer still stands by a token of its own."""
        if repository.is_denied(connection, claims.jti):
            return False
        standing = repository.standing_of(connection, claims.client_id)
        bound = standing.token.certificate
        same = bound is not None and bound.sha256 == claims.certificate_sha256
        return same and standing.is_usable(self._settings.policy, now)

    # -- what resource servers and clients need ---------------------------------------------------

    def check_access(self, token: str | bytes, peer_certificate_der: bytes | None) -> TokenDecision:
        """Decide about an access token as a gateway does, and by what the issuer knows now; Unavailable."""
        now, settings = self._clock.now(), self._settings
        decision = verify_access_token(
            token, self._key_set(now), settings.issuer, settings.audience, peer_certificate_der, now
        )
        if decision.claims is None or not decision.accepted:
            return decision
        with self._database.read() as connection:
            if self._usable(connection, decision.claims, now):
                return decision
        return replace(decision, decision=Decision.REFUSE, reasons=(TokenReason.REVOKED,))

    def _key_set(self, now: datetime) -> KeySet:
        return KeySet(keys=(self._key.open()[1],), as_of=now)

    def jwks(self) -> bytes:
        """Return the JWK Set of the issuer as it is served (RFC 7517 §5)."""
        return compact_json(self._key_set(self._clock.now()).document())

    def metadata(self) -> dict[str, Any]:
        """Return the authorization server metadata (RFC 8414 §2, RFC 8705 §3.3, RFC 9728 §4)."""
        issuer, exchange = self._settings.issuer, self._settings.exchange_url
        endpoints = {f"{name}_endpoint": f"/oauth2/{path}" for name, path in _ENDPOINTS.items()}
        methods = {
            f"{name}_endpoint_auth_{what}": value
            for name in _ENDPOINTS
            for what, value in (
                ("methods_supported", ["private_key_jwt"]),
                ("signing_alg_values_supported", [str(algorithm) for algorithm in ASSERTION_ALGORITHMS]),
            )
        }
        found: dict[str, Any] = {
            "issuer": issuer,
            **{name: issuer + path for name, path in endpoints.items()},
            "jwks_uri": f"{issuer}/oauth2/jwks",
            "grant_types_supported": [GRANT_TYPE],
            "response_types_supported": [],
            **methods,
            "scopes_supported": list(self._settings.policy.every),
            "tls_client_certificate_bound_access_tokens": True,
            "protected_resources": [self._settings.audience],
        }
        if exchange is not None:
            found["mtls_endpoint_aliases"] = {name: exchange + path for name, path in endpoints.items()}
        return found


def _no_signature(error: Unavailable, **known: Any) -> RequestRefused:
    return RequestRefused(
        OAuthError.TEMPORARILY_UNAVAILABLE, error.code, "signing-failed", retry_after=RETRY_AFTER, **known
    )


_ENDPOINTS: Final = {"token": "token", "introspection": "introspect", "revocation": "revoke"}
