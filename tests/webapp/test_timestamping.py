"""The time-stamping service takes up a renewed unit by itself, and goes on with the old one until then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import pytest

from ca.hierarchy import TSA
from ca.own_certificates import OwnCertificate
from signer.timestamps.messages import Failure, build_rejection, build_request
from storage.clock_guard import ClockGuard
from storage.engine import Database
from tests.ca.conftest import Ceremony, WorldMaker, ceremony, make_world, sqlite_database  # noqa: F401 - fixtures
from tests.ca.world import SETTINGS, FakeClock, World
from webapp.timestamping import LOOK_SECONDS, TimestampDesk


@dataclass
class Believed:
    """A clock that is believed."""

    clock: FakeClock

    def now(self) -> datetime:
        return self.clock.now()

    def forgiven(self) -> None:
        """Nobody accepted an earlier time."""


def unit_of(world: World) -> OwnCertificate:
    return next(one for one in world.authority.own_certificates() if one.name == TSA)


def test_a_renewed_unit_is_taken_up_within_a_minute(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
    ceremony: Ceremony,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ceremony.keys, "_keys", dict(vars(ceremony.keys)["_keys"]))
    world, uptime = make_world(sqlite_database), [0.0]
    guard = cast("ClockGuard", Believed(world.clock))
    desk = TimestampDesk(world.database, world.authority, world.keys, SETTINGS.oids, guard, monotonic=lambda: uptime[0])
    request, first = build_request(bytes(32), 1), unit_of(world)
    assert first.certificate.der in desk.answer(request)
    world.clock.time = first.renews_from
    world.authority.prepare_keys()
    world.authority.renew_services()
    second = unit_of(world)
    assert second.key_label == "tsa-2"
    assert first.certificate.der in desk.answer(request)
    uptime[0] += LOOK_SECONDS
    answer = desk.answer(request)
    assert second.certificate.der in answer
    assert first.certificate.der not in answer


def test_a_unit_whose_time_is_over_stamps_nothing_until_another_is_certified(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
    ceremony: Ceremony,  # noqa: F811 - a fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ceremony.keys, "_keys", dict(vars(ceremony.keys)["_keys"]))
    world, uptime = make_world(sqlite_database), [0.0]
    guard = cast("ClockGuard", Believed(world.clock))
    desk = TimestampDesk(world.database, world.authority, world.keys, SETTINGS.oids, guard, monotonic=lambda: uptime[0])
    request, unit = build_request(bytes(32), 1), unit_of(world)
    assert unit.usable_until < unit.certificate.not_after
    world.clock.time = unit.usable_until
    assert unit.certificate.der in desk.answer(request)
    world.clock.move(seconds=1)
    assert desk.answer(request) == build_rejection(
        Failure.SYSTEM_FAILURE, "the time in which the authority's key is used is over"
    )
    world.authority.prepare_keys()
    world.authority.renew_services()
    uptime[0] += LOOK_SECONDS
    assert unit_of(world).certificate.der in desk.answer(request)
