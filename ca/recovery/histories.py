"""The life of one certificate, told again from its events: the status that they lead to, and never a milder one.

What the ledger says is believed, since its checkpoints are signed. An event that is not understood suspends, and a
revocation is never undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from ca.status.revocation import CertificateState, RevocationReason, Status
from pki.audit import AuditAction
from storage.ledger_replay import ReplayedEvent

_HOLD: Final = RevocationReason.CERTIFICATE_HOLD
_S: Final = CertificateState
_NO_CHANGE: Final = frozenset(
    {
        AuditAction.CERTIFICATE_INTENDED.value,
        AuditAction.CERTIFICATE_RENEWED.value,
        AuditAction.CERTIFICATE_REPLACED.value,
        AuditAction.CERTIFICATE_LINT_HELD.value,
        AuditAction.CERTIFICATE_LINT_RELEASED.value,
    }
)
PREFIX: Final = "certificate."
_BIRTH: Final = {
    AuditAction.CERTIFICATE_INTENDED.value: 0,
    AuditAction.CERTIFICATE_ISSUED.value: 1,
    AuditAction.CERTIFICATE_ABANDONED.value: 1,
}
_LIFTING: Final = frozenset({AuditAction.CERTIFICATE_RELEASED.value, AuditAction.CERTIFICATE_ACTIVATED.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a certificate has come to; `compromised` when its key must never be certified again."""

    status: Status
    released_at: datetime | None = None
    issued_at: datetime | None = None
    sha256: str | None = None
    compromised: bool = False
    unknown: str = ""


UNBORN: Final = Life(status=Status(state=CertificateState.INTENDED))


def in_order(events: Sequence[ReplayedEvent]) -> list[ReplayedEvent]:
    """Return a certificate's events, which the ledger has in the order of their clocks, as they happened.

    Acts of one second, or of servers whose clocks differ, come in the order of the versions that they made. One that
    does not say its version stays behind those of its time; of several, what restricts counts as the later.
    """
    timed = sorted(events, key=lambda event: (event.at, _BIRTH.get(event.action, 9), event.action not in _LIFTING))
    versions, version = [], 0
    for event in timed:
        version = version_made(event) or version
        versions.append(version)
    return [event for _, event in sorted(zip(versions, timed, strict=True), key=lambda pair: pair[0])]


def version_made(event: ReplayedEvent) -> int | None:
    """Return the version of the status that an event made; None for one that does not say."""
    told = 1 if event.action == AuditAction.CERTIFICATE_ISSUED.value else event.facts.get("version")
    return told if isinstance(told, int) else None


def live_again(life: Life, events: Sequence[ReplayedEvent], not_before: datetime | None) -> Life:
    """Return what becomes of `life` with these events, in their order (`in_order`)."""
    for event in events:
        life = _after(life, event, not_before)
    if life.unknown and events:
        return replace(life, status=suspended(life.status, events[-1].at))
    return life


def _after(life: Life, event: ReplayedEvent, not_before: datetime | None) -> Life:
    status = life.status
    if event.action in _NO_CHANGE:
        return life
    if event.action == AuditAction.CERTIFICATE_REVOKED.value:
        return _revoked(life, event)
    if status.state is _S.REVOKED:
        return replace(life, **_birth(event))
    if event.action == AuditAction.CERTIFICATE_ISSUED.value:
        return replace(life, status=_issued(event, not_before), **_birth(event))
    if event.action == AuditAction.CERTIFICATE_ABANDONED.value:
        ended = status.state is _S.INTENDED
        return replace(life, status=Status(state=_S.ABANDONED)) if ended else life
    if event.action in _LIFTING:
        return replace(life, status=Status(state=_S.GOOD), released_at=event.at)
    held = suspended(status, event.at)
    known = event.action == AuditAction.CERTIFICATE_HELD.value
    return replace(life, status=held, unknown=life.unknown if known else event.action)


def _birth(event: ReplayedEvent) -> dict[str, Any]:
    if event.action != AuditAction.CERTIFICATE_ISSUED.value:
        return {}
    return {"issued_at": event.at, "sha256": event.facts.get("sha256")}


def _issued(event: ReplayedEvent, not_before: datetime | None) -> Status:
    if event.facts.get("state") != _S.ISSUED.value:
        return Status(state=_S.GOOD)
    return Status(state=_S.ISSUED, revoked_at=not_before or _second(event.at), reason=_HOLD)


def suspended(status: Status, at: datetime) -> Status:
    """Return a status that trusts nothing from `at` on; what is suspended or revoked stays as it is."""
    if status.listed:
        return status
    return Status(state=_S.ON_HOLD, revoked_at=_second(at), reason=_HOLD)


def _revoked(life: Life, event: ReplayedEvent) -> Life:
    status, at = life.status, _second(event.at)
    since = at if status.revoked_at is None else min(at, status.revoked_at)
    reason = _reason(event.facts.get("reason"))
    told = event.facts.get("invalidity_date")
    invalid = status.invalidity_date if told is None else _instant(str(told))
    if status.state is _S.REVOKED and status.reason is not None:
        reason = status.reason
    now = Status(state=_S.REVOKED, revoked_at=since, reason=reason, invalidity_date=invalid)
    return replace(life, status=now, compromised=life.compromised or reason is RevocationReason.KEY_COMPROMISE)


def _reason(text: object) -> RevocationReason:
    try:
        found = RevocationReason(str(text))
    except ValueError:
        return RevocationReason.UNSPECIFIED
    return RevocationReason.UNSPECIFIED if found is _HOLD else found


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)
