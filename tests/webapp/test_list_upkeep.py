"""What the worker looks after, and when it tries again what it could not make."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import pytest

from ca.errors import CrlRegression
from webapp.deployment import Deployment
from webapp.list_upkeep import ALL_SECONDS, CALM_SECONDS, ListUpkeep

if TYPE_CHECKING:
    from webapp.compose import Parts

PLACE = ("persons", 0)


@dataclass
class Lists:
    """An authority, and all that publishes for it, whose one list is due and cannot be made."""

    deployment: Deployment
    changed: bool = False
    urgent: bool = True
    ended: bool = False
    broken: bool = True
    tries: list[float] = field(default_factory=list)
    time: float = 1000.0

    @property
    def authority(self) -> Lists:
        return self

    def changed_lists(self, _after: int | None) -> tuple[int, dict[tuple[str, int], bool]]:
        changed, self.changed = self.changed, False
        return 1, {PLACE: self.urgent} if changed else {}

    def shards_of(self, issuer: str) -> range:
        return range(int(issuer == PLACE[0]))

    def has_ended(self, _issuer: str) -> bool:
        return self.ended

    def is_list_due(self, _issuer: str, _shard: int) -> bool:
        return True

    def list_heads(self, _issuer: str, _shard: int) -> tuple[None, None]:
        return None, None

    def publish_change_of(self, _issuer: str, _shard: int) -> None:
        self.tries.append(self.time)
        if self.broken:
            self.refuse()

    def refuse(self) -> NoReturn:
        raise CrlRegression("it would lose an entry")


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    return Lists(Deployment(tmp_path))


def look(upkeep: ListUpkeep, lists: Lists) -> None:
    upkeep(cast("Parts", lists))


def test_an_authority_that_ended_is_asked_for_no_list(lists: Lists) -> None:
    lists.ended = True
    look(ListUpkeep(lambda: lists.time), lists)
    assert lists.tries == []


def test_a_list_that_cannot_be_made_is_tried_ever_more_rarely_and_told_each_time(lists: Lists) -> None:
    upkeep = ListUpkeep(lambda: lists.time)
    for _ in range(200):
        with pytest.raises(CrlRegression):
            look(upkeep, lists)
        lists.time += 1
    pauses = [after - before for before, after in zip(lists.tries, lists.tries[1:], strict=False)]
    assert pauses == [1, 1, 2, 4, 8, 16, 32, ALL_SECONDS, ALL_SECONDS]


def test_a_list_that_cannot_be_made_is_tried_at_once_when_it_changed_again_and_then_forgiven(lists: Lists) -> None:
    upkeep = ListUpkeep(lambda: lists.time)
    for _ in range(10):
        with pytest.raises(CrlRegression):
            look(upkeep, lists)
        lists.time += 1
    lists.changed, lists.broken = True, False
    before = len(lists.tries)
    for _ in range(3):
        look(upkeep, lists)
    assert len(lists.tries) == before + 1


def test_a_list_that_changed_by_waiting_certificates_alone_is_made_after_a_while(lists: Lists) -> None:
    upkeep, lists.broken = ListUpkeep(lambda: lists.time), False
    look(upkeep, lists)
    lists.tries.clear()
    begun, lists.urgent = lists.time, False
    for _ in range(int(2 * CALM_SECONDS)):
        lists.changed = True
        look(upkeep, lists)
        lists.time += 1
    assert lists.tries == [begun + CALM_SECONDS]


def test_an_urgent_change_waits_for_no_calm_one(lists: Lists) -> None:
    upkeep, lists.broken = ListUpkeep(lambda: lists.time), False
    look(upkeep, lists)
    lists.tries.clear()
    for urgent in (False, True, False):
        lists.changed, lists.urgent = True, urgent
        look(upkeep, lists)
        lists.time += 1
    assert lists.tries == [lists.time - 2]
