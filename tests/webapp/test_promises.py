"""What was promised about status, judged by files alone, while the clock moves on."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography import x509

from pki.certificates import Certificate
from pki.errors import ErrorCode, Unavailable
from storage.engine import Database
from tests.ca.conftest import WorldMaker, ceremony, make_world, sqlite_database  # noqa: F401 - fixtures
from tests.support.pki import NOW, make_root
from webapp.health import PartHealth, PartState
from webapp.promises import PromiseKind, StatusPromises, promise, stored_promises
from webapp.published_lists import PublishedLists

TWO_DAYS = timedelta(days=2)


def silent() -> NoReturn:
    raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE)


def put(folder: Path, name: str, data: bytes) -> None:
    path = folder / f"{name}.crl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = make_root()
    delta = (x509.DeltaCRLIndicator(4), True)
    put(tmp_path, "persons/0", root.crl({7: NOW}, number=5, this_update=NOW, next_update=NOW + TWO_DAYS))
    put(
        tmp_path,
        "persons/0.delta",
        root.crl({7: NOW}, number=6, this_update=NOW, next_update=NOW + TWO_DAYS / 2, extra=(delta,)),
    )
    return tmp_path


def parts_at(promises: StatusPromises, after: timedelta) -> dict[str, PartHealth]:
    return {part.name: part for part in promises.parts(NOW + after)}


def test_a_list_is_read_from_its_file_and_again_when_it_is_another(folder: Path) -> None:
    lists = PublishedLists(folder)
    full, delta = lists()
    assert (full.name, full.is_delta, full.number, full.next_update) == ("persons/0", False, 5, NOW + TWO_DAYS)
    assert (delta.name, delta.is_delta, delta.number) == ("persons/0.delta", True, 6)
    put(folder, "persons/0", make_root().crl({}, number=70))
    assert [head.number for head in lists()] == [70, 6]


@pytest.mark.parametrize("data", [b"", b"0", b"\x30\x03\x02\x01\x00", b"\x30\x82\xff\xff" + bytes(40)])
def test_what_is_no_list_is_missing(folder: Path, data: bytes) -> None:
    put(folder, "persons/0", data)
    part = parts_at(StatusPromises(PublishedLists(folder), ["persons/0"], tuple), timedelta())["lists"]
    assert (part.state, part.note) == (PartState.DOWN, "persons/0 missing")


def test_lists_are_degraded_well_before_they_end_and_down_after(folder: Path) -> None:
    promises = StatusPromises(PublishedLists(folder), ["persons/0"], tuple)
    moments = [timedelta(), timedelta(hours=35, minutes=59), timedelta(hours=36), timedelta(hours=48)]
    states = [parts_at(promises, after)["lists"].state for after in moments]
    assert states == [PartState.OK, PartState.OK, PartState.DEGRADED, PartState.DOWN]
    late = parts_at(promises, timedelta(hours=36))["lists"]
    assert (late.since, late.note) == (NOW + timedelta(hours=36), "persons/0 ends 2026-11-24T09:00:00Z")
    assert parts_at(promises, timedelta(hours=18))["deltas"].state is PartState.DEGRADED
    assert parts_at(promises, TWO_DAYS / 2)["deltas"].note == "persons/0.delta ended 2026-11-23T09:00:00Z"
    assert not late.vital


def test_a_list_of_a_year_is_late_a_month_before_its_end() -> None:
    made = promise(PromiseKind.LISTS, "root/0", NOW, NOW + timedelta(days=370))
    assert made.late_from == NOW + timedelta(days=340)


def test_the_oldest_stored_answer_speaks_for_all() -> None:
    answers = (promise(PromiseKind.ANSWERS, "persons", NOW, NOW + timedelta(hours=24)),)
    promises = StatusPromises(PublishedLists(Path("nowhere")), (), tuple, lambda: answers)
    states = [parts_at(promises, timedelta(hours=hours))["answers"].state for hours in (17, 18, 24)]
    assert states == [PartState.OK, PartState.DEGRADED, PartState.DOWN]


def test_stored_answers_are_told_by_the_one_that_ends_first(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
) -> None:
    world = make_world(sqlite_database)
    assert world.answers is not None
    promises = StatusPromises(PublishedLists(Path("nowhere")), (), tuple, partial(stored_promises, world.answers))

    def answers() -> PartHealth:
        return next(part for part in promises.parts(world.clock.time) if part.name == "answers")

    assert answers().state is PartState.SILENT  # there is no store yet
    world.issue()
    world.authority.presign()
    begun = world.clock.time
    assert answers().state is PartState.OK
    world.clock.move(hours=1)
    world.issue()
    world.authority.presign()
    persons = next(one for one in promises.all() if one.name == "persons")
    assert (persons.since, persons.until) == (begun, begun + timedelta(hours=24))
    world.clock.move(hours=17)
    assert answers().state is PartState.DEGRADED
    world.authority.presign()
    assert answers().state is PartState.OK


def test_without_the_register_whoever_signed_the_stored_answers_is_the_responder(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
) -> None:
    world = make_world(sqlite_database)
    assert world.answers is not None
    world.issue()
    world.authority.presign()
    promises = StatusPromises(PublishedLists(Path("nowhere")), (), silent, partial(stored_promises, world.answers))
    delegate = Certificate.parse(world.hierarchy.certificate("ocsp-persons"))
    found = {one.name: one.until for one in promises.all() if one.kind is PromiseKind.RESPONDERS}
    assert found["ocsp-persons"] == delegate.not_after

    def state(after: timedelta) -> PartState:
        parts = promises.parts(delegate.not_after + after)
        return next(part.state for part in parts if part.name == "responders")

    assert state(timedelta(days=-8)) is PartState.OK
    assert state(timedelta(days=-7)) is PartState.DEGRADED
    assert state(timedelta(seconds=1)) is PartState.DOWN


def test_many_late_lists_are_told_in_one_short_note(tmp_path: Path) -> None:
    for shard in range(5):
        put(tmp_path, f"persons/{shard}", make_root().crl(this_update=NOW, next_update=NOW + TWO_DAYS))
    note = parts_at(StatusPromises(PublishedLists(tmp_path), (), tuple), TWO_DAYS)["lists"].note
    assert note.count("ended") == 3
    assert note.endswith(" and 2 more")


def test_responders_are_judged_by_their_renewal_and_remembered_while_the_register_is_silent(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
    tmp_path: Path,
) -> None:
    world = make_world(sqlite_database)
    told = world.authority.own_certificates()
    register = iter((told,))  # and nothing more: it is silent from then on
    promises = StatusPromises(PublishedLists(tmp_path), (), lambda: next(register, None) or silent())
    own = next(one for one in told if one.name == "ocsp-persons")

    def state(after: timedelta) -> PartState:
        parts = {part.name: part for part in promises.parts(own.renews_from + after)}
        return parts["responders"].state

    assert state(timedelta()) is PartState.OK
    assert state(timedelta(hours=23)) is PartState.OK
    assert state(timedelta(days=1)) is PartState.DEGRADED
    assert state(own.usable_until - own.renews_from) is PartState.DOWN


def test_responders_that_nobody_told_of_are_silent(tmp_path: Path) -> None:
    part = parts_at(StatusPromises(PublishedLists(tmp_path), (), silent), timedelta())["responders"]
    assert part.state is PartState.SILENT
