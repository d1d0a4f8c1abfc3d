"""Devices and databases that fail when a test says so, and servers that die."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ca.issuing.line import IssuingLine
from hsm.soft import UnsafeSoftKeys
from pki.errors import ErrorCode, Unavailable
from pki.keys import SigningKey
from storage.engine import Database
from storage.presence import is_alive
from storage.unit_of_work import UnitOfWork
from tests.ca.world import SETTINGS, World
from tests.support.separated import until


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


class FaultyKeys(UnsafeSoftKeys):
    """The world's keys; `fault` is raised when they are to sign, once."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self._keys = world.keys._keys
        self.fault: BaseException | None = None
        self.trips: list[int] = []

    def signing_key(self, label: str) -> SigningKey:
        self.fail()
        return super().signing_key(label)

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        self.trips.append(len(messages))
        return super().sign_many(label, messages)

    def fail(self) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault


class FaultyDatabase(Database):
    """A database whose writing transactions fail: before them (`refuse`) or after they are durable (`lose`).

    Each counts the transactions that go well before.
    """

    refuse: int | None = None
    lose: int | None = None

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        if self.refuse is not None:
            self.refuse -= 1
            if self.refuse < 0:
                raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "gone")
        with super().begin() as unit:
            yield unit
        if self.lose is not None:
            self.lose -= 1
            if self.lose < 0:
                self.lose = None
                raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "nobody knows")


class Server:
    """One issuing server over a world's database, whose parts fail when they are told to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.database = FaultyDatabase(world.database.engine)
        world.database.before_close(self.database.close)
        self.keys = FaultyKeys(world)
        self.line = IssuingLine(self.database, self.keys, SETTINGS, world.clock)

    def die(self) -> None:
        """Be gone, as after a kill: nothing is put in order. PostgreSQL knows it a moment later."""
        presence = self.line._carry_out._presence
        name = presence.confirm()
        presence.close()
        until(lambda: not is_alive(self._world.database, name), "its lock is gone")
