"""Each kind of reminder is told once for each certificate: over any days, after a kill anywhere, by two at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any

import pytest

from ca.inventory.queries import successors_of
from ca.inventory.reminders import ReminderDesk
from ca.notices import Notice, NoticeKind, check_reminder_days
from ca.status.revocation import CertificateState
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, Unavailable
from pki.jose import json_object
from storage.engine import Database
from tests.ca.inventory.rows import insert_rows, row
from tests.ca.inventory.test_desk import events_of
from tests.ca.world import START, FakeClock

DAY = timedelta(days=1)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Box:
    """A channel that keeps what it took over, and may die before or behind that."""

    told: dict[str, Notice] = field(default_factory=dict)
    deaths: set[int] = field(default_factory=set)
    silent: bool = False
    _acts: Any = field(default_factory=count)

    def send(self, notice: Notice) -> None:
        if self.silent:
            raise Unavailable(ErrorCode.UNAVAILABLE, "the channel is down")
        self._act()
        self.told.setdefault(notice.id, notice)
        self._act()

    def _act(self) -> None:
        if next(self._acts) in self.deaths:
            raise Killed


def certificate(serial: str, left: float, *, life: float = 1000, **columns: Any) -> dict[str, Any]:
    """Make a good certificate that ends `left` days from the start."""
    end = START + left * DAY
    made = row(Random(1), serial)  # noqa: S311 - rows, no secrets
    fixed = {"state": CertificateState.GOOD.value, "not_after": end, "not_before": end - life * DAY, "file_id": "file0"}
    return {**made, **fixed, **columns}


def desk_of(database: Database, box: Box, clock: FakeClock | None = None) -> ReminderDesk:
    return ReminderDesk(database, box, clock or FakeClock())


def told(box: Box) -> set[tuple[str, int]]:
    return {(str(notice.facts["serial"]), int(notice.facts["days"])) for notice in box.told.values()}


STOCK = [
    certificate("a0", 200),
    certificate("a1", 89.5),
    certificate("a2", 30),
    certificate("a3", 6),
    certificate("a4", 0),
    certificate("b0", 20, state=CertificateState.REVOKED.value),
    certificate("b1", 20, state=CertificateState.ON_HOLD.value),
    certificate("b2", 20, file_id=None),
    certificate("b3", 80, life=90),
]


def test_who_is_near_the_end_is_reminded_by_the_nearest_kind_alone(fresh: Database) -> None:
    insert_rows(fresh, STOCK)
    box = Box()
    assert desk_of(fresh, box).sweep() == 3
    assert told(box) == {("a1", 90), ("a2", 30), ("a3", 7)}
    assert desk_of(fresh, box).sweep() == 0


def test_who_has_a_successor_is_not_reminded(fresh: Database) -> None:
    rows = [
        certificate("a0", 20, predecessor=None),
        certificate("a1", 900, predecessor="a0"),
        certificate("b0", 20, predecessor=None),
        certificate("b1", 900, predecessor="b0", state=CertificateState.REVOKED.value),
        certificate("c0", 20, predecessor=None),
        certificate("c1", 900, predecessor="c0", state=CertificateState.ISSUED.value),
    ]
    insert_rows(fresh, rows)
    box = Box()
    assert desk_of(fresh, box).sweep() == 2
    assert told(box) == {("b0", 30), ("c0", 30)}
    with fresh.read() as connection:
        assert successors_of(connection, ["a0", "b0", "c0", "a1"]) == {"a0": "a1", "c0": "c1"}


def test_over_the_days_each_kind_comes_once(fresh: Database) -> None:
    insert_rows(fresh, [certificate("a0", 100), certificate("b3", 80, life=90)])
    box, clock = Box(), FakeClock()
    desk = desk_of(fresh, box, clock)
    sent = []
    for _ in range(202):
        sent.append(desk.sweep())
        clock.move(hours=12)
    assert told(box) == {("a0", 90), ("a0", 30), ("a0", 7), ("b3", 30), ("b3", 7)}
    assert sum(sent) == 5
    for notice in box.told.values():
        left = START + (100 if notice.facts["serial"] == "a0" else 80) * DAY - notice.at
        assert timedelta(days=int(notice.facts["days"])) - left < DAY


def test_a_notice_names_no_person(fresh: Database) -> None:
    insert_rows(fresh, [certificate("a3", 6)])
    box = Box()
    desk_of(fresh, box).sweep()
    (notice,) = box.told.values()
    assert (notice.id, notice.kind, notice.file_id) == ("expiry-a3-7", NoticeKind.EXPIRY_REMINDER, "file0")
    assert dict(notice.facts) == {
        "serial": "a3",
        "profile": notice.facts["profile"],
        "not_after": "2026-11-28T09:00:00Z",
        "days": 7,
    }
    (event,) = events_of(fresh, AuditAction.REMINDER_SENT)
    assert (event.subject, json_object(event.facts.encode())) == ("a3", {"days": 7, "file": "file0"})


def test_a_kill_anywhere_costs_no_reminder_and_repeats_none(fresh: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = [certificate(f"c{number}", 1 + number) for number in range(4)]
    insert_rows(fresh, stock)
    box = Box(deaths={0, 3, 4, 9})
    marks = count()
    mark = ReminderDesk._mark

    def dying_mark(desk: ReminderDesk, sent: Any) -> None:
        if next(marks) % 2 == 0:
            raise Killed
        mark(desk, sent)

    monkeypatch.setattr(ReminderDesk, "_mark", dying_mark)
    for _ in range(20):
        try:
            desk_of(fresh, box).sweep()
        except Killed:
            continue
        break
    assert told(box) == {(each["serial"], 7) for each in stock}
    subjects = [event.subject for event in events_of(fresh, AuditAction.REMINDER_SENT)]
    assert sorted(subjects) == [each["serial"] for each in stock]


def test_two_at_once_remind_no_more_often_than_one(fresh: Database) -> None:
    stock = [certificate(f"d{number}", 2) for number in range(8)]
    insert_rows(fresh, stock)
    box = Box()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: desk_of(fresh, box).sweep(), range(2)))
    assert told(box) == {(each["serial"], 7) for each in stock}
    assert len(events_of(fresh, AuditAction.REMINDER_SENT)) == len(stock)


def test_a_channel_that_is_down_is_tried_again(fresh: Database) -> None:
    insert_rows(fresh, [certificate("a3", 6)])
    box = Box(silent=True)
    desk = desk_of(fresh, box)
    with pytest.raises(Unavailable):
        desk.sweep()
    assert [(one.serial, one.days) for one in desk.due()] == [("a3", 7)]
    box.silent = False
    assert desk.sweep() == 1
    assert desk.due() == ()


@pytest.mark.parametrize("days", [(), (0,), (7, 7), (367,), (-1, 7)])
def test_kinds_that_are_none_are_refused(days: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput):
        check_reminder_days(days)
