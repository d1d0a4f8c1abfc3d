"""Where a history may go wrong: a process dies, a database or device is away, another server acts in between.

Each transaction and each signature passes points; a fault waits for one of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path

from sqlalchemy import Connection

from ca.status.answer_file import WAIT_SECONDS, identity_of
from ca.status.answer_store import AnswerStore
from hsm.errors import HsmUnavailable
from hsm.provider import Health, HealthState, KeyInfo, KeyPurpose
from hsm.soft import UnsafeSoftKeys
from pki.clock import Clock
from pki.errors import ErrorCode, Unavailable
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm, SigningKey
from storage.engine import Database
from storage.unit_of_work import UnitOfWork


class Killed(BaseException):
    """The process is no more: nothing of it catches this."""


@unique
class Point(StrEnum):
    """A place of the product's work."""

    READ = "read"
    BEGIN = "begin"
    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    BEFORE_SIGNATURE = "before-signature"
    AFTER_SIGNATURE = "after-signature"
    BEFORE_STORE = "before-store"
    AFTER_STORE = "after-store"


# Between transactions and signatures: whatever stands there holds no lock.
FREE = frozenset({Point.BEGIN, Point.AFTER_COMMIT, Point.BEFORE_SIGNATURE, Point.AFTER_SIGNATURE})


@dataclass(slots=True)
class Faults:
    """What lies in wait: at which point, counted from now, and what happens there. It happens once."""

    left: int = -1
    where: frozenset[Point] = frozenset()
    what: Callable[[Point], None] | None = None
    database_down: bool = False
    device_down: bool = False
    store_down: bool = False
    in_transaction: int = 0

    def wait(self, left: int, where: frozenset[Point], what: Callable[[Point], None]) -> None:
        self.left, self.where, self.what = left, where, what

    def forget(self) -> None:
        self.left, self.what = -1, None

    def passes(self, point: Point) -> None:
        """Come to a point."""
        if self.database_down and point in (Point.READ, Point.BEGIN):
            raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "the database is away")
        if self.device_down and point is Point.BEFORE_SIGNATURE:
            raise HsmUnavailable("the device is away")
        if self.store_down and point is Point.BEFORE_STORE:
            raise Unavailable(ErrorCode.FILE_UNREADABLE, "the disk is full")
        if self.what is None or point not in self.where or (self.in_transaction and point in FREE):
            return
        if self.left > 0:
            self.left -= 1
            return
        what = self.what
        self.forget()
        what(point)


class FaultyDatabase(Database):
    """A server's database."""

    def __init__(self, sound: Database, faults: Faults) -> None:
        super().__init__(sound.engine)
        self._faults = faults

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        self._faults.passes(Point.BEGIN)
        with super().begin() as unit:
            self._faults.in_transaction += 1
            try:
                yield unit
                self._faults.passes(Point.BEFORE_COMMIT)
            finally:
                self._faults.in_transaction -= 1
        self._faults.passes(Point.AFTER_COMMIT)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._faults.passes(Point.READ)
        with super().read() as connection:
            yield connection


class FaultyStore(AnswerStore):
    """A server's door to the stored answers."""

    def __init__(self, path: Path, faults: Faults) -> None:
        super().__init__(path)
        self._faults = faults

    def _seen_identity(self) -> tuple[int, int] | None:
        return identity_of(self.path)  # as after a tenth of a second, which does not pass here

    @contextmanager
    def _transaction(self, seconds: float = WAIT_SECONDS) -> Iterator[sqlite3.Connection]:
        self._faults.passes(Point.BEFORE_STORE)
        with super()._transaction(seconds) as connection:
            yield connection
        self._faults.passes(Point.AFTER_STORE)


@dataclass(slots=True)
class _FaultyKey:
    key: SigningKey
    faults: Faults

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return self.key.algorithm

    def public_key(self) -> PublicKey:
        return self.key.public_key()

    def sign(self, message: bytes) -> bytes:
        self.faults.passes(Point.BEFORE_SIGNATURE)
        signature = self.key.sign(message)
        self.faults.passes(Point.AFTER_SIGNATURE)
        return signature


class FaultyKeys:
    """A server's device: one history's own keys, beginning with the ceremony's."""

    def __init__(self, ceremony: UnsafeSoftKeys, clock: Clock, faults: Faults) -> None:
        self._keys, self._faults = UnsafeSoftKeys(clock), faults
        self._keys._keys = dict(ceremony._keys)

    def signing_key(self, label: str) -> SigningKey:
        return _FaultyKey(self._keys.signing_key(label), self._faults)

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        self._faults.passes(Point.BEFORE_SIGNATURE)
        signatures = self._keys.sign_many(label, messages)
        self._faults.passes(Point.AFTER_SIGNATURE)
        return signatures

    def generate(
        self, label: str, algorithm: SignatureAlgorithm, purpose: KeyPurpose, rsa_bits: int = DEFAULT_RSA_BITS
    ) -> PublicKey:
        return self._keys.generate(label, algorithm, purpose, rsa_bits)

    def keys(self) -> tuple[KeyInfo, ...]:
        return self._keys.keys()

    def health(self) -> Health:
        return Health(state=HealthState.DOWN if self._faults.device_down else HealthState.OK)

    def close(self) -> None:
        return
