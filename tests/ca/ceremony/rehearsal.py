"""A deployment in small for ceremonies: real register and transcript, keys in memory, and a fuse that kills."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ca.ceremony.runner import Room, hold
from ca.ceremony.script import Script, parse_script
from ca.ceremony.tokens import TokenPlace, TokenRecord
from ca.config import AuthoritySettings
from ca.status.crl import PublishedCrl
from hsm.errors import ConfigurationInvalid, PinIncorrect
from hsm.pin import Pin
from hsm.provider import KeyProvider, KeyPurpose
from hsm.soft import UnsafeSoftKeys
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm
from storage.engine import Database, open_database
from storage.migrate import bring_up
from tests.ca.ceremony.persons import Persons
from tests.ca.world import SETTINGS, FakeClock

EXAMPLES = Path(__file__).parents[3] / "docs" / "ceremonies"


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Kills at a point; each durable act has one before it and one after it."""

    left: int | None = None
    burnt: int = 0

    def point(self) -> None:
        self.burnt += 1
        if self.left is not None:
            if self.left == 0:
                self.left = None
                raise Killed
            self.left -= 1


class CountedKeys(UnsafeSoftKeys):
    """Keys in memory that tell how often each was generated."""

    def __init__(self, clock: FakeClock, fuse: Fuse) -> None:
        super().__init__(clock)
        self.fuse, self.generated = fuse, Counter[str]()

    def generate(
        self, label: str, algorithm: SignatureAlgorithm, purpose: KeyPurpose, rsa_bits: int = DEFAULT_RSA_BITS
    ) -> PublicKey:
        self.fuse.point()
        public_key = super().generate(label, algorithm, purpose, rsa_bits)
        self.generated[label] += 1
        self.fuse.point()
        return public_key


@dataclass
class MemoryWorkshop:
    """Tokens in memory, which outlive whoever is killed."""

    clock: FakeClock
    fuse: Fuse
    tokens: dict[str, tuple[str, CountedKeys]] = field(default_factory=dict)
    pins: list[str] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)

    def make(self, place: TokenPlace, label: str) -> tuple[TokenRecord, Pin]:
        pin = secrets.token_hex(16)
        self.fuse.point()
        self.tokens[place.name] = (pin, CountedKeys(self.clock, self.fuse))
        self.pins.append(pin)
        self.made[place.name] += 1
        place.token.mkdir(parents=True, exist_ok=True)
        self.fuse.point()
        return TokenRecord(module=Path("/memory.so"), label=label), Pin(pin.encode())

    def find(self, place: TokenPlace, label: str) -> TokenRecord:
        if place.name not in self.tokens:
            raise ConfigurationInvalid(f"no token {place.name} lies in this home")
        return TokenRecord(module=Path("/memory.so"), label=label)

    @contextlib.contextmanager
    def opened(self, place: TokenPlace, record: TokenRecord, pin: Pin) -> Iterator[KeyProvider]:
        meant, keys = self.tokens[place.name]
        if pin.reveal() != meant:
            raise PinIncorrect
        yield keys


@dataclass
class MemoryHome:
    """A home on disk whose service's keys are in memory."""

    path: Path
    clock: FakeClock
    fuse: Fuse
    settings: AuthoritySettings = SETTINGS
    published: dict[str, bytes] = field(default_factory=dict)
    opened: int = 0
    journals: list[str] = field(default_factory=list)
    service: CountedKeys | None = None

    @cached_property
    def database(self) -> Database:
        database = open_database(f"sqlite:///{self.path / 'mohr.db'}")
        bring_up(database)
        begin = database.begin

        @contextlib.contextmanager
        def killable() -> Iterator[object]:
            self.fuse.point()
            with begin() as unit:
                yield unit
            self.fuse.point()

        database.begin = killable  # type: ignore[method-assign, assignment]  # the fuse around each commit
        return database

    def folder(self, ceremony: str) -> Path:
        return self.path / "ceremonies" / ceremony

    def place(self, token: str) -> TokenPlace:
        folder = self.path / "tokens" / token
        return TokenPlace(name=token, token=folder / "token", folder=folder)

    def make_service_token(self, label: str) -> None:
        if self.service is None:
            self.service = CountedKeys(self.clock, self.fuse)

    @contextlib.contextmanager
    def service_keys(self) -> Iterator[KeyProvider]:
        assert self.service is not None
        yield self.service

    def publish_certificate(self, name: str, der: bytes) -> None:
        self.published[f"{name}.cer"] = der

    def publish_crl(self, crl: PublishedCrl) -> None:
        self.published[f"{crl.issuer}/{crl.shard}.crl"] = crl.der

    def take_journal(self, token: str, keys: KeyProvider) -> None:
        self.journals.append(token)

    def open(self, keys: KeyProvider) -> None:
        self.fuse.point()
        self.opened += 1


@dataclass
class Rehearsal:
    """One home, its persons, and the ceremonies that are held there."""

    path: Path
    fuse: Fuse = field(default_factory=Fuse)
    persons: Persons = field(default_factory=Persons)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.home = MemoryHome(self.path, self.clock, self.fuse)
        self.workshop = MemoryWorkshop(self.clock, self.fuse)

    def room(self) -> Room:
        return Room(console=self.persons, home=self.home, workshop=self.workshop, clock=self.clock, operator="operator")

    def hold(self, script: Script) -> str:
        return hold(script, self.room())

    def example(self, name: str) -> str:
        return self.hold(example(name))

    def transcript(self, name: str) -> Path:
        return self.home.folder(name) / "transcript.jsonl"

    def close(self) -> None:
        self.home.database.close()


def example(name: str) -> Script:
    """Read one of the scripts of the manual."""
    return parse_script((EXAMPLES / f"{name}.toml").read_bytes())
