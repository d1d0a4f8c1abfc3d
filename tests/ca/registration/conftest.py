"""A registration desk on both engines, with registries that say what a test tells them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from ca.registration import RegistrationFile
from ca.registration_desk import RegistrationDesk
from ca.registration_terms import RegistrationTerms
from ca.registries.answers import Denial, No, RegistryWord, Silence, Silent, Source, Yes
from ca.registries.ports import Registries
from hsm.soft import UnsafeSoftKeys
from storage.engine import Database
from tests.ca.world import CLERK, CLINICIAN, SETTINGS, FakeClock, file_json
from tests.support.officers import EveryOfficer

DAY = timedelta(days=1)
MakeWord = Callable[[Source, datetime], RegistryWord]


def yes(source: Source, now: datetime) -> RegistryWord:
    return Yes(source=source, at=now, reference=f"{source}-1")


def yes_for_a_day(source: Source, now: datetime) -> RegistryWord:
    return Yes(source=source, at=now, valid_until=now + DAY)


def no(source: Source, now: datetime) -> RegistryWord:
    return No(source=source, at=now, why=Denial.NOT_FOUND)


def silent(source: Source, now: datetime) -> RegistryWord:
    return Silent(source=source, at=now, why=Silence.UNKNOWN)


@dataclass
class Told:
    """A registry of one source that says what it is told to."""

    source: Source
    say: MakeWord = yes
    asked: int = 0

    def ask(self, _claims: object, now: datetime) -> RegistryWord:
        self.asked += 1
        return self.say(self.source, now)


@dataclass
class Office:
    """A desk, its clock and its registries."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)
    told: dict[Source, Told] = field(default_factory=lambda: {source: Told(source) for source in Source})

    def desk(self, *sources: Source) -> RegistrationDesk:
        """Return a desk that has the registries of these sources."""
        registries = Registries(**{source.value: self.told[source] for source in sources})
        keys = UnsafeSoftKeys(self.clock)
        gate = EveryOfficer()
        terms = RegistrationTerms(registries=registries)
        return RegistrationDesk(self.database, keys, SETTINGS, self.clock, gate=gate, registration=terms)

    def person_desk(self) -> RegistrationDesk:
        return self.desk(Source.COUNCIL, Source.CIVIL)

    def submitted(self, desk: RegistrationDesk, members: dict[str, Any] = CLINICIAN) -> RegistrationFile:
        return desk.submit_file(file_json(members), CLERK)


@pytest.fixture
def office(make_database: Callable[[], Database]) -> Office:
    """An office without a file."""
    return Office(make_database())
