"""Codes are made where they are sent, by two ways, once, and are kept nowhere."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from ca.activation.desk import LIFE, ActivationDesk
from ca.activation.records import ActivationState
from ca.holder_codes.post import SENDING_PATIENCE
from ca.notices import Notice
from ca.status.revocation import CertificateState
from pki.errors import ErrorCode, InvalidInput, NotAllowed, Unavailable
from storage.base import metadata
from storage.engine import Database
from tests.ca.activation.holding import WRONG, sent, state_of
from tests.ca.conftest import WorldMaker
from tests.ca.world import CLERK, CLINICIAN, World
from tests.support.officers import EveryOfficer


def test_codes_come_by_two_ways_without_an_officer(world: World) -> None:
    issued = world.issue_waiting()
    assert [world.activation.sweep(), world.activation.sweep()] == [1, 0]
    found, _ = world.activation.status(str(world.authority.get(issued.serial_hex).file_id))
    assert found is not None
    assert (found.made_by, found.state(world.clock.now())) == ("mohr", ActivationState.OPEN)
    letter, sms = sorted(world.postbox.notices.values(), key=lambda notice: str(notice.facts["channel"]))
    assert set(letter.facts) == {"channel", "activation", "code", "expires_at"}
    assert set(sms.facts) == {"channel", "code", "expires_at"}
    assert letter.facts["code"] != sms.facts["code"]
    assert str(letter.facts["code"]) not in repr(letter)
    world.activation.activate(str(letter.facts["activation"]), str(letter.facts["code"]), str(sms.facts["code"]), "p")
    assert state_of(world, issued) is CertificateState.GOOD


def test_a_sweep_reaches_every_file_and_goes_on_next_time(world: World) -> None:
    for _ in range(3):
        world.issue_waiting("cit-sign")
    assert [world.activation.sweep(2), world.activation.sweep(2), world.activation.sweep(2)] == [2, 1, 0]
    assert len(world.postbox.notices) == 6


class Killed(BaseException):
    """What ends a process."""


class DyingBox:
    """A channel whose program is killed after so many notices."""

    def __init__(self, world: World, after: int) -> None:
        self.world, self.left = world, after

    def send(self, notice: Notice) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        self.world.postbox.send(notice)


@pytest.mark.parametrize("after", [0, 1])
def test_whoever_is_killed_while_sending_leaves_codes_that_are_made_anew(world: World, after: int) -> None:
    issued = world.issue_waiting()
    dying = ActivationDesk(
        world.database,
        world.authority,
        EveryOfficer(),
        DyingBox(world, after),
        world.clock,
        judge=lambda _: None,
        cost=2,
    )
    with pytest.raises(Killed):
        dying.sweep()
    stale = {notice.facts["code"] for notice in world.postbox.notices.values()}
    assert world.activation.sweep() == 0  # somebody may still be sending
    world.clock.move(seconds=SENDING_PATIENCE.total_seconds() + 1)
    assert world.activation.sweep() == 1
    found, _ = world.activation.status(str(world.authority.get(issued.serial_hex).file_id))
    assert found is not None
    assert found.sendings == 2
    fresh = world.postbox.codes_of(found.id)
    assert stale.isdisjoint(fresh)
    world.activation.activate(found.id, *fresh, "test")
    assert state_of(world, issued) is CertificateState.GOOD


def test_a_channel_that_is_silent_is_tried_again(world: World) -> None:
    world.issue_waiting()

    class Silent:
        def send(self, notice: Notice) -> None:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, "outbox")

    silent = ActivationDesk(
        world.database, world.authority, EveryOfficer(), Silent(), world.clock, judge=lambda _: None, cost=2
    )
    with pytest.raises(Unavailable):
        silent.sweep()
    world.clock.move(seconds=SENDING_PATIENCE.total_seconds() + 1)
    assert world.activation.sweep() == 1


def test_two_workers_make_one_pair_of_codes(world: World, make_world: WorldMaker, database: Database) -> None:
    world.issue_waiting()
    workers = [make_world(database) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(lambda worker: worker.activation.sweep(), workers))
    assert sum(counts) == 1
    assert sum(len(worker.postbox.notices) for worker in workers) == 2


def test_no_code_is_anywhere_but_in_its_notice(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    issued = world.issue_waiting()
    codes = sent(world, issued)
    first, second = world.postbox.codes_of(codes.id)
    said = [repr(codes), repr(world.activation.__dict__)]
    for typed in ((first, WRONG), (WRONG, second), (first, second[:-1])):
        with pytest.raises((NotAllowed, InvalidInput)) as error:
            world.activation.activate(codes.id, *typed, "test")
        said.append(repr(error.value) + str(error.value.__dict__))
    said.append(repr(world.activation.activate(codes.id, first, second, "test")))
    said.append(caplog.text)
    with world.database.read() as connection:
        for table in metadata.sorted_tables:
            said += [repr(tuple(row)) for row in connection.execute(select(table))]
    everything = "\n".join(said)
    assert codes.id in everything  # the name of an activation is no secret of this kind: the search would find one
    for code in (first, second):
        assert code not in everything
        assert code.replace("-", "") not in everything
    assert CLINICIAN["national_code"] not in "\n".join(said[:5])


def test_times_are_told_by_the_clock(world: World) -> None:
    codes = sent(world, world.issue_waiting())
    assert codes.expires_at - codes.made_at == LIFE
    assert codes.sent_at == world.clock.now()
    world.clock.move(days=1)
    unsent = world.activation.make(codes.file_id, CLERK)
    assert unsent.state(world.clock.now()) is ActivationState.UNSENT
    assert world.activation.send(unsent.id).expires_at == world.clock.now() + timedelta(days=LIFE.days)
