from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pki.audit import AuditAction, AuditEvent
from pki.errors import ErrorCode, Unavailable
from storage.clock_guard import LARGEST_JUMP, TOLERANCE, BelievedClock, ClockGuard
from storage.clock_reference import ClockReference, ReferenceFile
from storage.engine import Database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)


@dataclass
class Machine:
    """A machine whose clock may be set apart from the time that passes."""

    wall: datetime = NOON
    up: float = 1000.0
    boot: str = "first"
    file: Path = field(default=Path())

    def now(self) -> datetime:
        return self.wall

    def pass_time(self, by: timedelta) -> None:
        self.wall += by
        self.up += by.total_seconds()

    def set_clock(self, by: timedelta) -> None:
        self.wall += by

    def start_anew(self) -> None:
        self.boot, self.up = f"{self.boot}+", 5.0

    def guard(self, database: Database) -> ClockGuard:
        return ClockGuard(self, database, ReferenceFile(self.file), uptime=lambda: self.up, boot=self.boot)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(file=tmp_path / "clock.json")


@pytest.fixture
def guard(machine: Machine, database: Database) -> ClockGuard:
    return machine.guard(database)


def record(database: Database, at: datetime) -> None:
    with database.begin() as unit:
        unit.audit.record(AuditEvent(action=AuditAction.KEY_GENERATED, at=at, actor="t", subject="t", facts={}))


def is_suspect(guard: ClockGuard) -> bool:
    try:
        guard.now()
    except Unavailable as error:
        assert error.code is ErrorCode.CLOCK_SUSPECT
        return True
    return False


def test_time_that_passes_is_believed(machine: Machine, guard: ClockGuard) -> None:
    for _ in range(5):
        assert guard.now() == machine.wall
        machine.pass_time(DAY)


@pytest.mark.parametrize("by", [-HOUR, HOUR, DAY, LARGEST_JUMP + SECOND, -LARGEST_JUMP - SECOND])
def test_a_clock_that_is_set_is_suspect_until_it_is_right_again(
    by: timedelta, machine: Machine, guard: ClockGuard
) -> None:
    guard.now()
    machine.set_clock(by)
    assert is_suspect(guard)
    machine.pass_time(HOUR)
    assert is_suspect(guard)
    assert guard.look().expected == machine.wall - by
    machine.set_clock(-by)
    assert not is_suspect(guard)


@pytest.mark.parametrize("by", [LARGEST_JUMP, -LARGEST_JUMP, timedelta(seconds=30)])
def test_a_small_correction_is_none_of_our_business(by: timedelta, machine: Machine, guard: ClockGuard) -> None:
    guard.now()
    machine.set_clock(by)
    assert not is_suspect(guard)


def test_small_corrections_do_not_add_up_to_a_large_one(machine: Machine, guard: ClockGuard) -> None:
    guard.now()
    for _ in range(3):
        machine.set_clock(timedelta(minutes=2))
    assert is_suspect(guard)


def test_a_program_that_starts_after_the_jump_sees_it_too(machine: Machine, database: Database) -> None:
    machine.guard(database).now()
    machine.set_clock(DAY)
    assert is_suspect(machine.guard(database))


def test_a_machine_that_starts_anew_is_held_against_its_new_start(machine: Machine, database: Database) -> None:
    machine.guard(database).now()
    machine.set_clock(3 * DAY)  # while it was off
    machine.start_anew()
    assert not is_suspect(machine.guard(database))


def test_a_clock_behind_the_last_record_is_suspect_also_after_a_new_start(machine: Machine, database: Database) -> None:
    record(database, machine.wall)
    machine.set_clock(-HOUR)
    machine.start_anew()
    guard = machine.guard(database)
    assert is_suspect(guard)
    machine.pass_time(HOUR - TOLERANCE)
    assert not is_suspect(guard), "servers of one database may differ by that"


@pytest.mark.parametrize("by", [-HOUR, DAY])
def test_an_officer_accepts_a_clock_that_was_set(by: timedelta, machine: Machine, database: Database) -> None:
    guard, other = machine.guard(database), machine.guard(database)
    record(database, machine.wall)
    guard.now()
    machine.set_clock(by)
    assert guard.accept().suspicion != ""
    assert not is_suspect(guard)
    assert not is_suspect(other), "every program hears of it"
    machine.set_clock(-2 * by)
    assert is_suspect(guard)


def test_records_of_a_wrong_day_are_forgiven_once_an_officer_says_so(machine: Machine, database: Database) -> None:
    guard = machine.guard(database)
    guard.now()
    record(database, machine.wall + DAY)
    assert is_suspect(guard)
    guard.accept()
    assert not is_suspect(guard)
    machine.start_anew()
    assert not is_suspect(machine.guard(database))
    record(database, machine.wall + DAY + HOUR)
    assert is_suspect(machine.guard(database)), "only what was there when the officer looked"


def test_a_record_of_a_wrong_clock_does_not_hide_the_later_ones_before(machine: Machine, database: Database) -> None:
    guard = machine.guard(database)
    guard.now()
    record(database, machine.wall)
    assert not is_suspect(guard)
    machine.set_clock(-HOUR)
    machine.start_anew()
    for known in (machine.guard(database), guard):
        assert is_suspect(known)
        record(database, machine.wall)
        assert is_suspect(known)
    assert is_suspect(machine.guard(database))


def test_where_no_reference_can_be_kept_a_program_remembers_its_own(machine: Machine, database: Database) -> None:
    machine.file = machine.file.parent / "missing" / "clock.json"
    guard = machine.guard(database)
    guard.now()
    machine.set_clock(DAY)
    assert is_suspect(guard)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"boot": "first", "started": "yesterday"}', b"\xff"])
def test_a_damaged_reference_is_as_good_as_none(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_bytes(damage)
    assert ReferenceFile(tmp_path / "clock.json").read() is None


def test_a_reference_is_read_back_as_written_and_anew_when_replaced(tmp_path: Path) -> None:
    first = ClockReference(boot="b", started=NOON + timedelta(microseconds=7))
    second = ClockReference(boot="b", started=NOON, forgiven=NOON + DAY)
    reader, writer = (ReferenceFile(tmp_path / "clock.json") for _ in range(2))
    for reference in (first, second):
        writer.write(reference)
        assert reader.read() == reference


def test_the_guard_serves_where_a_clock_does(machine: Machine, guard: ClockGuard) -> None:
    tell: Callable[[], datetime] = guard.now
    assert tell() == machine.wall


def test_a_clock_that_is_read_often_asks_the_records_once_a_second_and_notices_a_jump_at_once(
    machine: Machine, database: Database, guard: ClockGuard
) -> None:
    clock = BelievedClock(guard, machine, lambda: machine.up)
    assert clock.now() == machine.wall
    record(database, machine.wall + HOUR)
    machine.pass_time(SECOND / 2)
    assert clock.now() == machine.wall, "it was asked half a second ago"
    machine.pass_time(SECOND / 2)
    with pytest.raises(Unavailable):
        clock.now()
    guard.accept()
    assert clock.now() == machine.wall
    machine.set_clock(DAY)
    with pytest.raises(Unavailable):
        clock.now()
