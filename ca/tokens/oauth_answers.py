"""The answers of the OAuth endpoints: bodies, statuses, headers, and what of a refusal the asker may learn.

A client learns the OAuth error code; the reason only after it has proved who it is. The audit event of a
refusal always has the reason. Neither holds an assertion, a token or a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Any, Final

from pki.audit import AuditAction, AuditEvent
from pki.errors import ErrorCode, ServiceError
from pki.jose import compact_json

_NO_STORE: Final = MappingProxyType({"Cache-Control": "no-store", "Pragma": "no-cache"})  # RFC 6749 §5.1


@unique
class OAuthError(StrEnum):
    """Error codes of RFC 6749 §5.2 and RFC 8707 §2, and `temporarily_unavailable` of RFC 6749 §4.1.2.1."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TARGET = "invalid_target"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


_STATUSES: Final = {OAuthError.INVALID_CLIENT: 401, OAuthError.TEMPORARILY_UNAVAILABLE: 503}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthResponse:
    """An HTTP answer without HTTP: status, JSON members (none: an empty body), headers."""

    status: int
    json: Mapping[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_STORE)


class RequestRefused(ServiceError):
    """A request that is answered with an OAuth error.

    `client` is the id of the connection token the request is known to concern, `proven` whether the asker
    proved to be it; `facts` go to a proven client and to the audit event.
    `in_ledger` says that no event of it needs recording any more.
    """

    def __init__(
        self,
        error: OAuthError,
        code: ErrorCode,
        reason: str,
        *,
        client: str | None = None,
        proven: bool = False,
        status: int | None = None,
        retry_after: int | None = None,
        facts: Mapping[str, Any] | None = None,
        in_ledger: bool = False,
    ) -> None:
        super().__init__(code, reason)
        self.error, self.reason, self.client, self.proven = error, reason, client, proven
        self.status = status or _STATUSES.get(error, 400)
        self.retry_after = retry_after
        self.facts, self.in_ledger = facts or {}, in_ledger

    def response(self) -> OAuthResponse:
        """Return the answer to the asker."""
        members: dict[str, Any] = {"error": str(self.error)}
        if self.proven:
            members |= {"reason": self.reason, **self.facts}
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return OAuthResponse(status=self.status, json=members, headers={**_NO_STORE, **retry})

    def event(self, now: datetime) -> AuditEvent:
        """Return the audit event of this refusal."""
        facts = {
            name: value if isinstance(value, str) else compact_json(value).decode()
            for name, value in self.facts.items()
        }
        return AuditEvent(
            action=AuditAction.ACCESS_TOKEN_REFUSED,
            at=now,
            actor=self.client if self.client and self.proven else "unproven",
            subject=self.client or "unknown",
            facts={**facts, "error": str(self.error), "code": str(self.code), "reason": self.reason},
        )


def unavailable(seconds: int = 5) -> OAuthResponse:
    """Return the answer for "not now"."""
    return RequestRefused(
        OAuthError.TEMPORARILY_UNAVAILABLE, ErrorCode.UNAVAILABLE, "unavailable", retry_after=seconds
    ).response()
