"""The states of a certificate and the acts that change them: one table, everything else is refused.

    intended → good | issued | abandoned;  issued → good;  good ⇄ on_hold;  issued | good | on_hold → revoked | expired

A revoked certificate never comes back. A certificate that was on hold when it is revoked or expires keeps
the date of the hold, so that no signature made while it was suspended becomes good afterwards. One that waits for
its holder (`issued`) is told as suspended since its own beginning: nobody can have relied on it before.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from ca.errors import IllegalTransition
from pki import der, oids
from pki.errors import ErrorCode, InvalidInput


@unique
class CertificateState(StrEnum):
    """Where a certificate is in its life."""

    INTENDED = "intended"
    ABANDONED = "abandoned"
    ISSUED = "issued"
    GOOD = "good"
    ON_HOLD = "on_hold"
    REVOKED = "revoked"
    EXPIRED = "expired"


@unique
class Act(StrEnum):
    """What can be done to a certificate."""

    ISSUE = "issue"
    ISSUE_WAITING = "issue-waiting"
    ABANDON = "abandon"
    ACTIVATE = "activate"
    HOLD = "hold"
    RELEASE = "release"
    REVOKE = "revoke"
    EXPIRE = "expire"


@unique
class RevocationReason(StrEnum):
    """Reasons by their RFC 5280 §5.3.1 names; removeFromCRL belongs to delta CRLs and is no state."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"

    @property
    def code(self) -> int:
        """The CRLReason value."""
        return _REASON_CODES[self]


_REASON_CODES: Final = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.CA_COMPROMISE: 2,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.CERTIFICATE_HOLD: 6,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
}

_S = CertificateState
TRANSITIONS: Final[dict[tuple[CertificateState, Act], CertificateState]] = {
    (_S.INTENDED, Act.ISSUE): _S.GOOD,
    (_S.INTENDED, Act.ISSUE_WAITING): _S.ISSUED,
    (_S.INTENDED, Act.ABANDON): _S.ABANDONED,
    (_S.ISSUED, Act.ACTIVATE): _S.GOOD,
    (_S.ISSUED, Act.REVOKE): _S.REVOKED,
    (_S.ISSUED, Act.EXPIRE): _S.EXPIRED,
    (_S.GOOD, Act.HOLD): _S.ON_HOLD,
    (_S.ON_HOLD, Act.RELEASE): _S.GOOD,
    (_S.GOOD, Act.REVOKE): _S.REVOKED,
    (_S.ON_HOLD, Act.REVOKE): _S.REVOKED,
    (_S.GOOD, Act.EXPIRE): _S.EXPIRED,
    (_S.ON_HOLD, Act.EXPIRE): _S.EXPIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a relying party is told: `revoked_at` and `reason` are set while suspended and once revoked."""

    state: CertificateState
    revoked_at: datetime | None = None
    reason: RevocationReason | None = None
    invalidity_date: datetime | None = None

    @property
    def listed(self) -> bool:
        """Whether CRLs list the certificate and OCSP says `revoked`."""
        return self.revoked_at is not None


def next_state(state: CertificateState, act: Act) -> CertificateState:
    """Return the state after `act`; IllegalTransition when the table has no such step."""
    found = TRANSITIONS.get((state, act))
    if found is None:
        raise IllegalTransition(f"{act} of a certificate that is {state}")
    return found


def issue_waiting(not_before: datetime) -> Status:
    """Issue a certificate that its holder activates first: suspended since its own beginning."""
    state = next_state(CertificateState.INTENDED, Act.ISSUE_WAITING)
    return Status(state=state, revoked_at=not_before, reason=RevocationReason.CERTIFICATE_HOLD)


def activate(status: Status) -> Status:
    """Make good what waited for its holder."""
    return Status(state=next_state(status.state, Act.ACTIVATE))


def hold(status: Status, at: datetime) -> Status:
    """Suspend from `at` on."""
    state = next_state(status.state, Act.HOLD)
    return Status(state=state, revoked_at=at, reason=RevocationReason.CERTIFICATE_HOLD)


def release(status: Status) -> Status:
    """Lift a suspension."""
    return Status(state=next_state(status.state, Act.RELEASE))


def expire(status: Status) -> Status:
    """Note that the validity ended; a suspension that was not lifted stays visible."""
    return replace(status, state=next_state(status.state, Act.EXPIRE))


def revoke(
    status: Status,
    at: datetime,
    reason: RevocationReason,
    *,
    not_before: datetime,
    invalidity_date: datetime | None = None,
) -> Status:
    """Revoke for good. `invalidity_date` is when trust is known or suspected to have ended (RFC 5280 §5.3.2).

    InvalidInput for certificateHold (that is `hold`) and for an invalidity date in the future or before the
    certificate's own beginning.
    """
    state = next_state(status.state, Act.REVOKE)
    if reason is RevocationReason.CERTIFICATE_HOLD:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a hold is not a revocation")
    if invalidity_date is not None and not not_before <= invalidity_date <= at:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the invalidity date lies outside the certificate's life so far")
    since = at if status.revoked_at is None else min(at, status.revoked_at)
    return Status(state=state, revoked_at=since, reason=reason, invalidity_date=invalidity_date)


def encode_crl_entry(serial: int, status: Status) -> bytes:
    """Encode one revokedCertificates entry (RFC 5280 §5.1.2.6); `status` must be listed.

    The reason code is left out for `unspecified` (§5.3.1).
    """
    if status.revoked_at is None:
        raise IllegalTransition("a certificate in force has no CRL entry")
    extensions = []
    if status.reason is not None and status.reason is not RevocationReason.UNSPECIFIED:
        value = der.integer(status.reason.code, der.ENUMERATED)
        extensions.append(der.sequence(der.oid(oids.CRL_REASON), der.octet_string(value)))
    if status.invalidity_date is not None:
        value = der.generalized_time(status.invalidity_date)
        extensions.append(der.sequence(der.oid(oids.INVALIDITY_DATE), der.octet_string(value)))
    parts = [der.integer(serial), der.time(status.revoked_at)]
    return der.sequence(*parts, der.sequence(*extensions)) if extensions else der.sequence(*parts)
