"""The errors that cross package borders, sorted by what the caller can do about them.

Every error carries a stable `ErrorCode`; `pki.messages` holds its Persian and English sentence.
Exceptions never log and never end the process. `detail` is shown to people and written to logs, so
it must hold no PIN, key material, national code or patient data.
"""

from enum import StrEnum, unique


@unique
class ErrorCode(StrEnum):
    """Stable names of everything that can go wrong; part of the API."""

    # Input
    INPUT_EMPTY = "input-empty"
    INPUT_TOO_LARGE = "input-too-large"
    INPUT_MALFORMED = "input-malformed"
    INPUT_FORMAT_UNKNOWN = "input-format-unknown"
    DER_MALFORMED = "der-malformed"
    JSON_MALFORMED = "json-malformed"
    CERTIFICATE_MALFORMED = "certificate-malformed"
    CSR_MALFORMED = "csr-malformed"
    CSR_PROOF_INVALID = "csr-proof-invalid"
    KEY_REFUSED = "key-refused"
    KEY_URI_MALFORMED = "key-uri-malformed"
    IDENTITY_INVALID = "identity-invalid"
    FILE_UNREADABLE = "file-unreadable"
    FILE_UNWRITABLE = "file-unwritable"
    USAGE = "usage"
    DOCUMENT_UNSIGNABLE = "document-unsignable"
    # Rights and state
    NOT_ALLOWED = "not-allowed"
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"
    FOUR_EYES = "four-eyes"
    NOT_APPROVED = "not-approved"
    PROFILE_UNKNOWN = "profile-unknown"
    LINT_FAILED = "lint-failed"
    STATE_ILLEGAL = "state-illegal"
    DEPLOYMENT_EXISTS = "deployment-exists"
    DEPLOYMENT_MISSING = "deployment-missing"
    DEPLOYMENT_WAITING = "deployment-waiting"
    CRL_REGRESSION = "crl-regression"
    # Registration and issuance
    OFFICER_UNKNOWN = "officer-unknown"
    OFFICER_SUSPENDED = "officer-suspended"
    SCOPE_EXCEEDED = "scope-exceeded"
    IDEMPOTENCY_CONFLICT = "idempotency-conflict"
    REQUEST_IN_PROGRESS = "request-in-progress"
    ACTIVATION_REFUSED = "activation-refused"
    ACTIVATION_LOCKED = "activation-locked"
    ACTIVATION_EXPIRED = "activation-expired"
    SUSPENSION_REFUSED = "suspension-refused"
    AUTHORITY_CLOSED = "authority-closed"
    LINT_HOLD = "lint-hold"
    PROFILE_INVALID = "profile-invalid"
    PROFILE_RETIRED = "profile-retired"
    IDENTITIES_INVALID = "identities-invalid"
    REGISTRY_REFUSED = "registry-refused"
    IDENTITY_DIFFERS = "identity-differs"
    KEY_PROOF_INVALID = "key-proof-invalid"
    NONCE_INVALID = "nonce-invalid"
    RENEWAL_TOO_EARLY = "renewal-too-early"
    BULK_MALFORMED = "bulk-malformed"
    CLOCK_SUSPECT = "clock-suspect"
    STORAGE_LOW = "storage-low"
    RECOVERY_PENDING = "recovery-pending"
    OVERLOADED = "overloaded"
    ENROLMENT_UNPROVEN = "enrolment-unproven"
    # Keys and devices
    HSM_UNAVAILABLE = "hsm-unavailable"
    HSM_KEY_NOT_FOUND = "hsm-key-not-found"
    HSM_KEY_EXISTS = "hsm-key-exists"
    HSM_PURPOSE_REFUSED = "hsm-purpose-refused"
    HSM_PIN_INCORRECT = "hsm-pin-incorrect"
    HSM_PROTOCOL = "hsm-protocol"
    HSM_RATE_EXCEEDED = "hsm-rate-exceeded"
    HSM_JOURNAL_GAP = "hsm-journal-gap"
    SHARE_MALFORMED = "share-malformed"
    SHARE_WRONG = "share-wrong"
    CEREMONY_SCRIPT = "ceremony-script"
    CEREMONY_STOPPED = "ceremony-stopped"
    READER_SERVICE_DOWN = "reader-service-down"
    READER_NOT_FOUND = "reader-not-found"
    READER_BUSY = "reader-busy"
    CARD_ABSENT = "card-absent"
    CARD_REMOVED = "card-removed"
    CARD_UNSUPPORTED = "card-unsupported"
    CARD_PROTOCOL = "card-protocol"
    CARD_SIGNATURE_MISMATCH = "card-signature-mismatch"
    CARD_KEY_NOT_FOUND = "card-key-not-found"
    CARD_KEY_EXISTS = "card-key-exists"
    CARD_FULL = "card-full"
    PIN_INCORRECT = "pin-incorrect"
    PIN_BLOCKED = "pin-blocked"
    PIN_FORMAT = "pin-format"
    PIN_REQUIRED = "pin-required"
    PIN_LAST_TRY = "pin-last-try"
    CONSENT_REFUSED = "consent-refused"
    # Services
    UNAVAILABLE = "unavailable"
    DATABASE_UNAVAILABLE = "database-unavailable"
    TIMESTAMP_UNAVAILABLE = "timestamp-unavailable"
    TIMESTAMP_INVALID = "timestamp-invalid"
    REGISTRY_SILENT = "registry-silent"
    GATE_CLOSED = "gate-closed"
    # Tokens (RFC 6749 §5.2 names travel beside these)
    ASSERTION_INVALID = "assertion-invalid"
    ASSERTION_REPLAYED = "assertion-replayed"
    TOKEN_INVALID = "token-invalid"
    TOKEN_EXPIRED = "token-expired"
    TOKEN_BINDING = "token-binding"
    SCOPE_REFUSED = "scope-refused"
    # Ledger
    LEDGER_EDITED = "ledger-edited"
    LEDGER_REMOVED = "ledger-removed"
    LEDGER_TRUNCATED = "ledger-truncated"
    LEDGER_FORKED = "ledger-forked"
    CHECKPOINT_INVALID = "checkpoint-invalid"
    # Trust
    TRUST_REFUSED = "trust-refused"
    TRUST_ROLLBACK = "trust-rollback"
    # Web requests
    METHOD_REFUSED = "method-refused"
    LENGTH_REQUIRED = "length-required"
    MEDIA_TYPE_REFUSED = "media-type-refused"
    CROSS_SITE_REFUSED = "cross-site-refused"
    # Anything else
    VERIFICATION_FAILED = "verification-failed"
    DEMO_DIFFERS = "demo-differs"
    INTERNAL = "internal"


class ServiceError(Exception):
    """Say what went wrong by a stable code, with an optional detail fit for people and logs.

    `retryable` is true when the same request may succeed later without a change. `reason` names the very rule that
    refused, such as `key.curve-p521`: many reasons share a code.
    """

    retryable = False

    def __init__(self, code: ErrorCode, detail: str = "", *, reason: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else str(code))
        self.code = code
        self.detail = detail
        self.reason = reason


class InvalidInput(ServiceError):
    """The caller sent something that can never be accepted as it is."""


class NotAllowed(ServiceError):
    """The caller may not do this."""


class NotFound(ServiceError):
    """The thing named does not exist."""


class Conflict(ServiceError):
    """The thing exists in a state that forbids the act."""


class Unavailable(ServiceError):
    """A part that is needed does not answer now; trying later may help."""

    retryable = True


class VerificationFailed(ServiceError):
    """A proof did not hold: a signature, a binding, a ledger."""
