"""What is written down of every act (architecture invariant 6): who, what, on what, with which outcome.

The facts of an event are for auditors; they hold ids, serials and digests, never names of patients,
national codes, PINs or document text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol


@unique
class AuditAction(StrEnum):
    """Every kind of act that leaves a leaf; the catalogue is this enum."""

    DEPLOYMENT_CREATED = "deployment.created"
    KEY_GENERATED = "key.generated"
    KEYS_USED = "key.used"
    KEY_JOURNAL_GAP = "key.journal-gap"
    KEY_GAP_ACKNOWLEDGED = "key.gap-acknowledged"
    CEREMONY_HELD = "ceremony.held"
    CHAIN_INSTALLED = "chain.installed"
    FILE_DRAFTED = "registration.drafted"
    FILE_SUBMITTED = "registration.submitted"
    FILE_APPROVED = "registration.approved"
    FILE_REFUSED = "registration.refused"
    FILE_CHECKED = "registration.checked"
    FILE_WITHDRAWN = "registration.withdrawn"
    FILE_EXPIRED = "registration.expired"
    EVIDENCE_ATTACHED = "evidence.attached"
    EVIDENCE_READ = "evidence.read"
    EVIDENCE_DELETED = "evidence.deleted"
    REGISTRY_ASKED = "registration.registry-asked"
    BULK_STARTED = "bulk.started"
    BULK_FINISHED = "bulk.finished"
    BULK_APPROVED = "bulk.approved"
    OFFICER_ENROLLED = "officer.enrolled"
    OFFICER_BOUND = "officer.certificate-bound"
    OFFICER_SUSPENDED = "officer.suspended"
    OFFICER_RESTORED = "officer.restored"
    ROLE_REQUESTED = "officer.role-requested"
    ROLE_GRANTED = "officer.role-granted"
    ROLE_REFUSED = "officer.role-refused"
    ROLE_REMOVED = "officer.role-removed"
    REALM_CHANGED = "realm.changed"
    PROFILE_ADOPTED = "profile.adopted"
    IDENTITIES_ADOPTED = "identities.adopted"
    CSR_NONCE_MADE = "csr.nonce-made"
    CERTIFICATE_INTENDED = "certificate.intended"
    CERTIFICATE_ISSUED = "certificate.issued"
    CERTIFICATE_ABANDONED = "certificate.abandoned"
    CERTIFICATE_HELD = "certificate.held"
    CERTIFICATE_RELEASED = "certificate.released"
    CERTIFICATE_REVOKED = "certificate.revoked"
    CERTIFICATE_ACTIVATED = "certificate.activated"
    CERTIFICATE_RENEWED = "certificate.renewed"
    CERTIFICATE_REPLACED = "certificate.replaced"
    CERTIFICATE_LINT_HELD = "certificate.lint-held"
    CERTIFICATE_LINT_RELEASED = "certificate.lint-released"
    ACTIVATION_MADE = "activation.made"
    ACTIVATION_SENT = "activation.sent"
    ACTIVATION_FAILED = "activation.failed"
    ACTIVATION_LOCKED = "activation.locked"
    SUSPENSION_CODE_MADE = "suspension.code-made"
    SUSPENSION_CODE_SENT = "suspension.code-sent"
    SUSPENSION_REFUSED = "suspension.refused"
    HOLDER_SUSPENDED = "holder.suspended"
    HOLDER_REVOKED = "holder.revoked"
    HOLDER_TOLD = "holder.told"
    REVOCATION_PROPOSED = "revocation.proposed"
    REVOCATION_APPROVED = "revocation.approved"
    REVOCATION_REFUSED = "revocation.refused"
    COMPROMISE_DECLARED = "compromise.declared"
    COMPROMISE_CONFIRMED = "compromise.confirmed"
    COMPROMISE_WITHDRAWN = "compromise.withdrawn"
    STATUS_ALARM = "status.alarm"
    STATUS_ALARM_CLOSED = "status.alarm-closed"
    LINT_ALARM = "lint.alarm"
    LINT_ALARM_CLOSED = "lint.alarm-closed"
    INVENTORY_READ = "inventory.read"
    INVENTORY_EXPORTED = "inventory.exported"
    BACKUP_MADE = "backup.made"
    BACKUP_KEY_SET = "backup.key-set"
    RECOVERY_BEGUN = "recovery.begun"
    RECOVERY_RECONCILED = "recovery.reconciled"
    RECOVERY_APPROVED = "recovery.approved"
    RECOVERY_RELEASED = "recovery.released"
    REMINDER_SENT = "reminder.sent"
    EST_SECRET_MADE = "est.secret-made"
    EST_ENROLLED = "est.enrolled"
    EST_REFUSED = "est.refused"
    CLOCK_SUSPECTED = "clock.suspected"
    CLOCK_ACCEPTED = "clock.accepted"
    FRESHNESS_LATE = "freshness.late"
    FRESHNESS_RESTORED = "freshness.restored"
    CRL_PUBLISHED = "crl.published"
    TIMESTAMP_ISSUED = "timestamp.issued"
    DOCUMENT_SIGNED = "document.signed"
    DOCUMENT_VERIFIED = "document.verified"
    TOKEN_REQUESTED = "token.requested"
    TOKEN_APPROVED = "token.approved"
    TOKEN_ACTIVATED = "token.activated"
    TOKEN_FOLLOWED = "token.followed"
    TOKEN_SUSPENDED = "token.suspended"
    TOKEN_RESTORED = "token.restored"
    TOKEN_TERMINATED = "token.terminated"
    TOKEN_LIGHT_CHANGED = "token.light-changed"
    ACCESS_TOKEN_ISSUED = "access-token.issued"
    ACCESS_TOKEN_REFUSED = "access-token.refused"
    ACCESS_TOKEN_REVOKED = "access-token.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One act. `actor` is an officer's id, a client id or a component's name; `subject` what was acted on."""

    action: AuditAction
    at: datetime
    actor: str
    subject: str
    facts: Mapping[str, str | int | bool | None] = field(default_factory=dict)


class AuditSink(Protocol):
    """Take events inside the transaction of the change they tell of."""

    def record(self, event: AuditEvent) -> None:
        """Keep `event`; it becomes durable with the surrounding transaction."""
        ...
