"""A desk for bulk jobs on both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pytest

from ca.bulk.desk import BulkDesk
from ca.registration_desk import RegistrationDesk
from ca.registries.answers import Source
from storage.engine import Database
from tests.ca.registration.conftest import Office
from tests.ca.world import CITIZEN, file_json, national_code
from tests.support.officers import EveryOfficer


def bulk_file(count: int) -> bytes:
    """Write a file of so many citizens."""
    rows = (file_json({**CITIZEN, "national_code": national_code(number)}) for number in range(count))
    return b"\n".join(rows) + b"\n"


@dataclass
class Bulk:
    """An office with a bulk desk."""

    office: Office

    @cached_property
    def files(self) -> RegistrationDesk:
        return self.office.desk(Source.CIVIL)

    @cached_property
    def desk(self) -> BulkDesk:
        return BulkDesk(self.office.database, self.files, EveryOfficer(), self.office.clock)


@pytest.fixture
def bulk(make_database: Callable[[], Database]) -> Bulk:
    """A bulk desk without a job."""
    return Bulk(Office(make_database()))
