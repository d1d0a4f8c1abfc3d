"""A certificate's life told again: never milder than its events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ca.recovery.histories import UNBORN, Life, in_order, live_again
from ca.status.revocation import CertificateState, RevocationReason
from pki.audit import AuditAction
from storage.ledger_replay import ReplayedEvent
from tests.ca.world import START


def told(action: str, seconds: int = 0, **facts: Any) -> ReplayedEvent:
    return ReplayedEvent("id", START + timedelta(seconds=seconds), action, "first", "ab", facts)


ISSUED = told(AuditAction.CERTIFICATE_ISSUED, state="good", sha256="00")
HELD = told(AuditAction.CERTIFICATE_HELD, 5, version=2)
RELEASED = told(AuditAction.CERTIFICATE_RELEASED, 5, version=3)
REVOKED = told(AuditAction.CERTIFICATE_REVOKED, 9, reason="superseded", version=4)


def live(*events: ReplayedEvent) -> Life:
    return live_again(UNBORN, in_order(events), START)


def test_within_a_second_the_version_says_what_came_last() -> None:
    assert live(RELEASED, ISSUED, HELD).status.state is CertificateState.GOOD
    again = told(AuditAction.CERTIFICATE_HELD, 5, version=4)
    assert live(again, RELEASED, ISSUED, HELD).status.state is CertificateState.ON_HOLD


def test_without_versions_what_restricts_counts_as_the_later() -> None:
    held, released = (event._replace(facts={}) for event in (HELD, RELEASED))
    assert live(ISSUED, held, released).status.state is CertificateState.ON_HOLD
    later = released._replace(at=released.at + timedelta(seconds=1))
    assert live(later, ISSUED, held).status.state is CertificateState.GOOD


def test_a_revocation_keeps_the_date_of_the_hold_and_is_never_undone() -> None:
    life = live(ISSUED, HELD, REVOKED)
    assert (life.status.state, life.status.revoked_at) == (CertificateState.REVOKED, HELD.at)
    after = live_again(life, [RELEASED, told(AuditAction.CERTIFICATE_ACTIVATED, 20)], START)
    assert after.status == life.status


def test_a_reason_that_is_none_revokes_all_the_same() -> None:
    life = live(ISSUED, told(AuditAction.CERTIFICATE_REVOKED, 9, reason="nonsense", version=2))
    assert life.status.reason is RevocationReason.UNSPECIFIED
    assert life.status.state is CertificateState.REVOKED


def test_what_is_not_understood_suspends() -> None:
    life = live(ISSUED, told("certificate.enchanted", 7))
    assert (life.status.state, life.unknown) == (CertificateState.ON_HOLD, "certificate.enchanted")
