"""The feed of status changes: complete, in order, and silent about what no list says."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from ca.status.changes import forget_changes, has_list_changed, listed_since, position, read_changes
from ca.status.revocation import RevocationReason
from pki.errors import ServiceError
from tests.ca.world import CLERK, World


def told(world: World, after: int = 0) -> list[tuple[str, bool]]:
    return [(change.serial_hex, change.listed) for change in read_changes(world.database, after)]


def place(world: World) -> int:
    with world.database.begin() as unit:
        return position(unit.connection)


def test_each_change_of_status_is_told_once_and_in_order(world: World) -> None:
    begun = place(world)
    serial = world.issue("hix-tls").serial_hex
    world.authority.hold(serial, CLERK)
    world.authority.unhold(serial, CLERK)
    world.authority.revoke(serial, RevocationReason.SUPERSEDED, CLERK)
    assert told(world, begun) == [(serial, False), (serial, True), (serial, True), (serial, True)]


def test_what_waits_for_its_holder_is_listed_until_then(world: World) -> None:
    begun = place(world)
    serial = world.issue("clin-sign").serial_hex
    assert told(world, begun) == [(serial, True), (serial, True)]
    assert [change.urgent for change in read_changes(world.database, begun)] == [False, True]


def test_a_list_changed_at_once_for_what_is_urgent_among_what_is_not(world: World) -> None:
    after, _ = world.authority.changed_lists(None)
    record = world.authority.get(world.issue_waiting().serial_hex)
    after, changed = world.authority.changed_lists(after)
    assert changed == {(record.issuer, record.shard): False}
    world.authority.revoke(record.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    world.issue_waiting()
    _, changed = world.authority.changed_lists(after)
    assert changed[record.issuer, record.shard]


def test_a_refused_change_is_told_to_nobody(world: World) -> None:
    serial = world.issue().serial_hex
    begun = place(world)
    with pytest.raises(ServiceError):
        world.authority.unhold(serial, CLERK)
    assert told(world, begun) == []


def test_a_list_has_changed_only_where_it_is_told_so(world: World) -> None:
    serial = world.issue().serial_hex
    begun, record = place(world), world.authority.get(serial)
    with world.database.read() as connection:
        assert not has_list_changed(connection, record.issuer, record.shard, begun)
    world.authority.hold(serial, CLERK)
    with world.database.read() as connection:
        assert has_list_changed(connection, record.issuer, record.shard, begun)
        assert listed_since(connection, record.issuer, record.shard, begun) == (serial,)
        assert not has_list_changed(connection, record.issuer, record.shard + 1, begun)


def test_what_is_forgotten_never_takes_the_position_back(world: World) -> None:
    world.issue()
    begun = place(world)
    assert begun > 0
    with world.database.begin() as unit:
        assert forget_changes(unit.connection, world.clock.now() + timedelta(days=1), limit=1) == 1
        while forget_changes(unit.connection, world.clock.now() + timedelta(days=1)):
            pass
    assert place(world) == begun
    assert len(told(world)) == 1


def test_whoever_reads_on_misses_no_change_of_writers_that_commit_at_once(world: World) -> None:
    serials = [world.issue().serial_hex for _ in range(6)]
    begun = place(world)
    writers = [threading.Thread(target=world.authority.hold, args=(serial, CLERK)) for serial in serials]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    after = begun
    while len(seen) < len(serials):
        for change in read_changes(world.database, after, limit=2):
            assert change.position > after
            after = change.position
            seen.append(change.serial_hex)
    for writer in writers:
        writer.join()
    assert sorted(seen) == sorted(serials)
    assert read_changes(world.database, after) == ()


def test_upkeep_forgets_what_is_a_month_old_and_nothing_else(world: World) -> None:
    world.issue()
    world.clock.move(days=31)
    recent = world.issue().serial_hex
    assert world.authority.forget_changes() > 0
    assert {serial for serial, _ in told(world)} == {recent}
    assert world.authority.forget_changes() == 0
