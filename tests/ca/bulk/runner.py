"""A program that runs one bulk job: `python -m tests.ca.bulk.runner URL FILE`, to be killed by its test."""

from __future__ import annotations

import sys
from pathlib import Path

from ca.bulk.desk import BulkDesk
from ca.registries.answers import Source
from storage.engine import open_database
from tests.ca.registration.conftest import Office
from tests.ca.world import CLERK
from tests.support.officers import EveryOfficer


def main(url: str, file: str) -> None:
    """Run the job and say after each slice where it is."""
    office = Office(open_database(url))
    desk = BulkDesk(office.database, office.desk(Source.CIVIL), EveryOfficer(), office.clock)
    job = desk.start(Path(file).read_bytes(), CLERK)
    while desk.advance(job.id):
        print(desk.progress(job.id).job.line, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
