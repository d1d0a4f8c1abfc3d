"""An officer as a request proves one, the roles that officers hold, and which role an act needs."""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from ca.officers.statements import Statement
from pki.errors import ErrorCode, InvalidInput

MAX_OFFICER: Final = 128


@unique
class Role(StrEnum):
    """What an officer is trusted with in a realm."""

    REGISTRAR = "registrar"
    APPROVER = "approver"
    ISSUER = "issuer"
    REVOKER = "revoker"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


@unique
class Act(StrEnum):
    """Everything that only an officer does."""

    REGISTRATION_SUBMIT = "registration.submit"
    REGISTRATION_CHECK = "registration.check"
    REGISTRATION_APPROVE = "registration.approve"
    REGISTRATION_REFUSE = "registration.refuse"
    REGISTRATION_WITHDRAW = "registration.withdraw"
    REGISTRATION_READ = "registration.read"
    EVIDENCE_ATTACH = "evidence.attach"
    EVIDENCE_READ = "evidence.read"
    CERTIFICATE_ISSUE = "certificate.issue"
    CERTIFICATE_HOLD = "certificate.hold"
    CERTIFICATE_RELEASE = "certificate.release"
    CERTIFICATE_REVOKE = "certificate.revoke"
    SECRET_MAKE = "secret.make"
    ACTIVATION_MAKE = "activation.make"
    SUSPENSION_MAKE = "suspension.make"
    SUSPENSION_TAKE = "suspension.take"
    REVOCATION_APPROVE = "revocation.approve"
    REVOCATION_REFUSE = "revocation.refuse"
    REVOCATION_EVIDENCE_ATTACH = "revocation.evidence-attach"
    REVOCATION_EVIDENCE_READ = "revocation.evidence-read"
    COMPROMISE_DECLARE = "compromise.declare"
    COMPROMISE_CONFIRM = "compromise.confirm"
    COMPROMISE_WITHDRAW = "compromise.withdraw"
    ALARM_CLOSE = "alarm.close"
    INVENTORY_READ = "inventory.read"
    INVENTORY_EXPORT = "inventory.export"
    TOKEN_REQUEST = "token.request"
    TOKEN_ACTIVATE = "token.activate"
    TOKEN_SUSPEND = "token.suspend"
    TOKEN_RESTORE = "token.restore"
    TOKEN_TERMINATE = "token.terminate"
    GAP_ACKNOWLEDGE = "gap.acknowledge"
    CLOCK_ACCEPT = "clock.accept"
    RECOVERY_RELEASE = "recovery.release"
    PROFILE_ADOPT = "profile.adopt"
    REALM_ADD = "realm.add"
    OFFICER_ENROL = "officer.enrol"
    OFFICER_BIND = "officer.bind"
    OFFICER_SUSPEND = "officer.suspend"
    OFFICER_RESTORE = "officer.restore"
    ROLE_REQUEST = "role.request"
    ROLE_APPROVE = "role.approve"
    ROLE_REFUSE = "role.refuse"
    ROLE_REMOVE = "role.remove"


_EVERYONE: Final = frozenset(Role)
_ADMINISTRATORS: Final = frozenset({Role.ADMINISTRATOR})

ROLES_FOR: Final = MappingProxyType(
    {
        Act.REGISTRATION_SUBMIT: frozenset({Role.REGISTRAR}),
        Act.REGISTRATION_CHECK: frozenset({Role.REGISTRAR, Role.APPROVER}),
        Act.REGISTRATION_APPROVE: frozenset({Role.APPROVER}),
        Act.REGISTRATION_REFUSE: frozenset({Role.APPROVER}),
        Act.REGISTRATION_WITHDRAW: frozenset({Role.REGISTRAR}),
        Act.REGISTRATION_READ: _EVERYONE,
        Act.EVIDENCE_ATTACH: frozenset({Role.REGISTRAR}),
        Act.EVIDENCE_READ: frozenset({Role.APPROVER, Role.AUDITOR}),
        Act.CERTIFICATE_ISSUE: frozenset({Role.ISSUER}),
        Act.CERTIFICATE_HOLD: frozenset({Role.REVOKER}),
        Act.CERTIFICATE_RELEASE: frozenset({Role.REVOKER}),
        Act.CERTIFICATE_REVOKE: frozenset({Role.REVOKER}),
        Act.SECRET_MAKE: frozenset({Role.ISSUER}),
        Act.ACTIVATION_MAKE: frozenset({Role.ISSUER}),
        Act.SUSPENSION_MAKE: frozenset({Role.ISSUER}),
        Act.SUSPENSION_TAKE: _EVERYONE,
        Act.REVOCATION_APPROVE: frozenset({Role.REVOKER}),
        Act.REVOCATION_REFUSE: frozenset({Role.REVOKER}),
        Act.REVOCATION_EVIDENCE_ATTACH: frozenset({Role.REVOKER}),
        Act.REVOCATION_EVIDENCE_READ: frozenset({Role.REVOKER, Role.AUDITOR}),
        Act.COMPROMISE_DECLARE: frozenset({Role.REVOKER}),
        Act.COMPROMISE_CONFIRM: frozenset({Role.REVOKER}),
        Act.COMPROMISE_WITHDRAW: frozenset({Role.REVOKER}),
        Act.ALARM_CLOSE: frozenset({Role.APPROVER}),
        Act.INVENTORY_READ: _EVERYONE,
        Act.INVENTORY_EXPORT: frozenset({Role.AUDITOR}),
        Act.TOKEN_REQUEST: frozenset({Role.REGISTRAR}),
        Act.TOKEN_ACTIVATE: frozenset({Role.ISSUER}),
        Act.TOKEN_SUSPEND: frozenset({Role.REVOKER}),
        Act.TOKEN_RESTORE: frozenset({Role.REVOKER}),
        Act.TOKEN_TERMINATE: frozenset({Role.REVOKER}),
        Act.GAP_ACKNOWLEDGE: frozenset({Role.AUDITOR}),
        Act.CLOCK_ACCEPT: frozenset({Role.AUDITOR}),
        Act.RECOVERY_RELEASE: frozenset({Role.AUDITOR, Role.ADMINISTRATOR}),
        Act.PROFILE_ADOPT: _ADMINISTRATORS,
        Act.REALM_ADD: _ADMINISTRATORS,
        Act.OFFICER_ENROL: _ADMINISTRATORS,
        Act.OFFICER_BIND: _ADMINISTRATORS,
        Act.OFFICER_SUSPEND: _ADMINISTRATORS,
        Act.OFFICER_RESTORE: _ADMINISTRATORS,
        Act.ROLE_REQUEST: _ADMINISTRATORS,
        Act.ROLE_APPROVE: _ADMINISTRATORS,
        Act.ROLE_REFUSE: _ADMINISTRATORS,
        Act.ROLE_REMOVE: _ADMINISTRATORS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPeer:
    """The officer's certificate authenticated the connection: the SHA-256 of its DER."""

    certificate_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """The officer signed what is to be done; `data` and `signature` are kept with the decision."""

    certificate_sha256: bytes
    statement: Statement
    data: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfDeployment:
    """The deployment's own ceremony acts; only a composition root says so."""

    ceremony: str


Proof = TlsPeer | SignedStatement | OfDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Officer:
    """Who acts, and what proves it; without a proof, a claimed name that every gate refuses.

    With the national code known, nobody passes their own file under another id.
    """

    id: str
    national_code: str | None = field(default=None, repr=False)
    realm: str | None = None
    proof: Proof | None = None

    def __post_init__(self) -> None:
        if not self.id or len(self.id) > MAX_OFFICER or not self.id.isprintable():
            raise InvalidInput(
                ErrorCode.IDENTITY_INVALID, f"an officer's id has 1 to {MAX_OFFICER} printable characters"
            )

    @classmethod
    def of_deployment(cls, ceremony: str) -> "Officer":
        """Return the ceremony that acts where no officer is yet."""
        return cls(id=ceremony, proof=OfDeployment(ceremony=ceremony))

    @property
    def signed(self) -> SignedStatement | None:
        """The signed statement that proves the officer, where that is the proof."""
        return self.proof if isinstance(self.proof, SignedStatement) else None
