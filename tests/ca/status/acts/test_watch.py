"""Who revokes or suspends much in a short time is seen by two others, and never stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ca.config import validate_settings
from ca.errors import FourEyesRequired, IllegalTransition
from ca.service import CertificateAuthority
from ca.status.acts.watch import KEPT, StatusAlarm, StatusAlarms
from ca.status.revocation import RevocationReason
from pki.audit import AuditAction
from pki.errors import InvalidInput, NotFound
from tests.ca.test_registration_desk import actions
from tests.ca.world import CLERK, FIRST, RAW_SETTINGS, SECOND, THIRD, World
from tests.support.officers import EveryOfficer

MANY = 3


@pytest.fixture
def authority(world: World) -> CertificateAuthority:
    settings = validate_settings(replace(RAW_SETTINGS, alarm_changes=MANY, alarm_minutes=60))
    return CertificateAuthority(world.database, world.keys, settings, world.clock, gate=EveryOfficer())


@pytest.fixture
def alarms(world: World) -> StatusAlarms:
    return StatusAlarms(world.database, EveryOfficer(), world.clock)


def change(world: World, authority: CertificateAuthority, times: int, officer: object = FIRST) -> None:
    """Suspend and lift a certificate so many times: each suspension counts."""
    serial = world.issue("hix-tls").serial_hex
    for _ in range(times):
        world.clock.move(seconds=1)
        authority.hold(serial, officer)  # type: ignore[arg-type]
        authority.unhold(serial, SECOND)


def test_many_changes_by_one_officer_raise_one_alarm_that_counts_on(
    world: World, authority: CertificateAuthority, alarms: StatusAlarms
) -> None:
    change(world, authority, MANY - 1)
    change(world, authority, MANY - 1, SECOND)
    assert alarms.open_alarms() == ()
    since = world.clock.now()
    change(world, authority, 1)
    (alarm,) = alarms.open_alarms()
    assert (alarm.officer, alarm.changes, alarm.closed_at) == (FIRST.id, MANY, None)
    assert alarm.since < since
    change(world, authority, 2)
    (alarm,) = alarms.alarms_for(CLERK)
    assert alarm.changes == MANY + 2
    assert actions(world.database, alarm.id)[AuditAction.STATUS_ALARM] == 1


def test_changes_far_apart_raise_none(world: World, authority: CertificateAuthority, alarms: StatusAlarms) -> None:
    for _ in range(MANY + 2):
        change(world, authority, 1)
        world.clock.move(minutes=31)
    assert alarms.open_alarms() == ()


def test_revocations_and_proposals_count_and_lifting_does_not(
    world: World, authority: CertificateAuthority, alarms: StatusAlarms
) -> None:
    for _ in range(MANY):
        assert alarms.open_alarms() == ()
        authority.revoke(world.issue("hix-tls").serial_hex, RevocationReason.SUPERSEDED, FIRST)
    assert len(alarms.open_alarms()) == 1


def raised(world: World, authority: CertificateAuthority, alarms: StatusAlarms) -> StatusAlarm:
    change(world, authority, MANY)
    (alarm,) = alarms.open_alarms()
    return alarm


def test_two_others_close_an_alarm_and_what_came_before_counts_no_more(
    world: World, authority: CertificateAuthority, alarms: StatusAlarms
) -> None:
    alarm = raised(world, authority, alarms)
    with pytest.raises(FourEyesRequired):
        alarms.close(alarm.id, FIRST, "a stolen batch")
    assert alarms.close(alarm.id, SECOND, "a stolen batch").closed_at is None
    with pytest.raises(FourEyesRequired):
        alarms.close(alarm.id, SECOND, "again")
    closed = alarms.close(alarm.id, THIRD, "I called them")
    assert closed.closed_at == world.clock.now()
    assert closed.officers == (SECOND.id, THIRD.id)
    with pytest.raises(IllegalTransition):
        alarms.close(alarm.id, CLERK, "late")
    change(world, authority, MANY - 1)
    assert alarms.open_alarms() == ()
    change(world, authority, 1)
    assert len(alarms.open_alarms()) == 1


@pytest.mark.parametrize("name", ["absent", "0" * 20, "a\0b", "\ud800"])
def test_what_is_no_alarm_is_not_found(alarms: StatusAlarms, name: str) -> None:
    with pytest.raises(NotFound):
        alarms.close(name, SECOND, "why")


@pytest.mark.parametrize("note", ["", " ", "a\0b", "x" * 10_000])
def test_a_note_says_something(world: World, authority: CertificateAuthority, alarms: StatusAlarms, note: str) -> None:
    alarm = raised(world, authority, alarms)
    with pytest.raises(InvalidInput):
        alarms.close(alarm.id, SECOND, note)


def test_old_changes_are_forgotten(world: World, authority: CertificateAuthority, alarms: StatusAlarms) -> None:
    change(world, authority, 2)
    assert alarms.sweep() == 0
    world.clock.move(seconds=(KEPT + timedelta(seconds=1)).total_seconds())
    assert alarms.sweep() == 2


@pytest.mark.parametrize(("changes", "minutes"), [(0, 60), (20, 0), (20, 10_081)])
def test_settings_that_would_never_alarm_are_refused(changes: int, minutes: int) -> None:
    with pytest.raises(InvalidInput):
        validate_settings(replace(RAW_SETTINGS, alarm_changes=changes, alarm_minutes=minutes))
