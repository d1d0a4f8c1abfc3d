"""Error code → HTTP status and RFC 9457 problem document. Total: a test compares the table with `ErrorCode`."""

import json
from dataclasses import dataclass
from typing import Any, Final

from pki.errors import ErrorCode, ServiceError
from pki.messages import MESSAGES

CONTENT_TYPE: Final = "application/problem+json; charset=utf-8"

STATUS: Final[dict[ErrorCode, int]] = {
    ErrorCode.INPUT_TOO_LARGE: 413,
    ErrorCode.MEDIA_TYPE_REFUSED: 415,
    ErrorCode.METHOD_REFUSED: 405,
    ErrorCode.LENGTH_REQUIRED: 411,
    ErrorCode.CROSS_SITE_REFUSED: 403,
    ErrorCode.NOT_ALLOWED: 403,
    ErrorCode.FOUR_EYES: 403,
    ErrorCode.NOT_APPROVED: 403,
    ErrorCode.GATE_CLOSED: 403,
    ErrorCode.SCOPE_REFUSED: 403,
    ErrorCode.CONSENT_REFUSED: 403,
    ErrorCode.HSM_PURPOSE_REFUSED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.DEPLOYMENT_MISSING: 404,
    ErrorCode.DEPLOYMENT_WAITING: 409,
    ErrorCode.HSM_KEY_NOT_FOUND: 404,
    ErrorCode.CARD_KEY_NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.STATE_ILLEGAL: 409,
    ErrorCode.DEPLOYMENT_EXISTS: 409,
    ErrorCode.HSM_KEY_EXISTS: 409,
    ErrorCode.CRL_REGRESSION: 409,
    ErrorCode.ASSERTION_INVALID: 401,
    ErrorCode.ASSERTION_REPLAYED: 401,
    ErrorCode.TOKEN_INVALID: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.TOKEN_BINDING: 401,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DATABASE_UNAVAILABLE: 503,
    ErrorCode.TIMESTAMP_UNAVAILABLE: 503,
    ErrorCode.REGISTRY_SILENT: 503,
    ErrorCode.HSM_UNAVAILABLE: 503,
    ErrorCode.HSM_RATE_EXCEEDED: 503,
    ErrorCode.READER_SERVICE_DOWN: 503,
    ErrorCode.INPUT_EMPTY: 400,
    ErrorCode.INPUT_MALFORMED: 400,
    ErrorCode.INPUT_FORMAT_UNKNOWN: 400,
    ErrorCode.DER_MALFORMED: 400,
    ErrorCode.JSON_MALFORMED: 400,
    ErrorCode.CERTIFICATE_MALFORMED: 400,
    ErrorCode.CSR_MALFORMED: 400,
    ErrorCode.KEY_URI_MALFORMED: 400,
    ErrorCode.FILE_UNREADABLE: 400,
    ErrorCode.PIN_FORMAT: 400,
    ErrorCode.PROFILE_UNKNOWN: 400,
    ErrorCode.CSR_PROOF_INVALID: 422,
    ErrorCode.KEY_REFUSED: 422,
    ErrorCode.IDENTITY_INVALID: 422,
    ErrorCode.DOCUMENT_UNSIGNABLE: 422,
    ErrorCode.LINT_FAILED: 422,
    ErrorCode.VERIFICATION_FAILED: 422,
    ErrorCode.TIMESTAMP_INVALID: 502,
    ErrorCode.OFFICER_UNKNOWN: 401,
    ErrorCode.ENROLMENT_UNPROVEN: 401,
    ErrorCode.OFFICER_SUSPENDED: 403,
    ErrorCode.SCOPE_EXCEEDED: 403,
    ErrorCode.IDEMPOTENCY_CONFLICT: 409,
    ErrorCode.REQUEST_IN_PROGRESS: 409,
    ErrorCode.ACTIVATION_REFUSED: 403,
    ErrorCode.ACTIVATION_LOCKED: 409,
    ErrorCode.ACTIVATION_EXPIRED: 409,
    ErrorCode.SUSPENSION_REFUSED: 403,
    ErrorCode.AUTHORITY_CLOSED: 409,
    ErrorCode.LINT_HOLD: 409,
    ErrorCode.PROFILE_INVALID: 400,
    ErrorCode.PROFILE_RETIRED: 409,
    ErrorCode.IDENTITIES_INVALID: 400,
    ErrorCode.REGISTRY_REFUSED: 422,
    ErrorCode.IDENTITY_DIFFERS: 422,
    ErrorCode.KEY_PROOF_INVALID: 422,
    ErrorCode.NONCE_INVALID: 422,
    ErrorCode.RENEWAL_TOO_EARLY: 409,
    ErrorCode.BULK_MALFORMED: 400,
    ErrorCode.CLOCK_SUSPECT: 503,
    ErrorCode.STORAGE_LOW: 503,
    ErrorCode.TRUST_REFUSED: 422,
    ErrorCode.TRUST_ROLLBACK: 409,
    ErrorCode.RECOVERY_PENDING: 503,
    ErrorCode.OVERLOADED: 503,
    # What follows concerns cards and local programs, which never speak through this server.
    **dict.fromkeys(
        (
            ErrorCode.READER_NOT_FOUND,
            ErrorCode.READER_BUSY,
            ErrorCode.CARD_ABSENT,
            ErrorCode.CARD_REMOVED,
            ErrorCode.CARD_UNSUPPORTED,
            ErrorCode.CARD_PROTOCOL,
            ErrorCode.CARD_SIGNATURE_MISMATCH,
            ErrorCode.PIN_INCORRECT,
            ErrorCode.PIN_BLOCKED,
            ErrorCode.PIN_REQUIRED,
            ErrorCode.PIN_LAST_TRY,
            ErrorCode.FILE_UNWRITABLE,
            ErrorCode.USAGE,
            ErrorCode.CARD_FULL,
            ErrorCode.CARD_KEY_EXISTS,
            ErrorCode.HSM_PIN_INCORRECT,
            ErrorCode.HSM_PROTOCOL,
            ErrorCode.HSM_JOURNAL_GAP,
            ErrorCode.SHARE_MALFORMED,
            ErrorCode.SHARE_WRONG,
            ErrorCode.CEREMONY_SCRIPT,
            ErrorCode.CEREMONY_STOPPED,
            ErrorCode.LEDGER_EDITED,
            ErrorCode.LEDGER_REMOVED,
            ErrorCode.LEDGER_TRUNCATED,
            ErrorCode.LEDGER_FORKED,
            ErrorCode.CHECKPOINT_INVALID,
            ErrorCode.DEMO_DIFFERS,
            ErrorCode.INTERNAL,
        ),
        500,
    ),
}

RETRY_AFTER_SECONDS: Final = 5
_CHALLENGES: Final = {
    ErrorCode.TOKEN_INVALID: 'Bearer error="invalid_token"',  # RFC 6750 §3
    ErrorCode.TOKEN_EXPIRED: 'Bearer error="invalid_token"',
    ErrorCode.TOKEN_BINDING: 'Bearer error="invalid_token"',  # RFC 8705 §3
    ErrorCode.SCOPE_REFUSED: 'Bearer error="insufficient_scope"',
    ErrorCode.ENROLMENT_UNPROVEN: 'Basic realm="est", charset="UTF-8"',  # RFC 7030 §3.2.3, RFC 7617 §2.1
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refused or failed request, as it is told to the caller."""

    code: ErrorCode
    request_id: str
    detail: str = ""
    reason: str = ""

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return STATUS[self.code]

    def as_json(self) -> dict[str, Any]:
        """Write the RFC 9457 §3.1 members and ours: `code`, `reason`, `title_fa`, `request_id`."""
        message = MESSAGES[self.code]
        return {
            "type": f"/help/problems#{self.code}",
            "title": message.en,
            "title_fa": message.fa,
            "status": self.status,
            "code": str(self.code),
            **({"detail": self.detail} if self.detail else {}),
            **({"reason": self.reason} if self.reason else {}),
            "request_id": self.request_id,
        }

    def body(self) -> bytes:
        """Write the document as UTF-8 JSON."""
        return json.dumps(self.as_json(), ensure_ascii=False).encode()

    @property
    def extra_headers(self) -> dict[str, str]:
        """Headers that belong to the status or code: when to try again, what a caller must prove."""
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status == 503 else {}
        challenge = _CHALLENGES.get(self.code)
        return headers | ({"WWW-Authenticate": challenge} if challenge else {})


def problem_of(error: ServiceError, request_id: str) -> Problem:
    """Tell a service error to the caller; details of internal failures stay inside."""
    detail = "" if STATUS[error.code] == 500 else error.detail
    return Problem(code=error.code, request_id=request_id, detail=detail, reason=error.reason)
