"""A bulk job whose program is killed: no row is lost, none is entered twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from ca.bulk.desk import SLICE
from ca.bulk.tables import bulk_rows
from ca.tables import registration_files
from pki.audit import AuditAction
from tests.ca.bulk.conftest import Bulk, bulk_file
from tests.ca.registration.test_desk import facts_of
from tests.ca.world import CLERK, national_code

ROWS = 6 * SLICE + 3
KILLS = 2


def killed_at_random(url: str, file: Path, delay: float) -> None:
    """Start the program, let it enter something, and kill it a moment later."""
    arguments = [sys.executable, "-m", "tests.ca.bulk.runner", url, str(file)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as program:
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(delay)
        program.send_signal(signal.SIGKILL)
        program.stdout.read()


@pytest.mark.real
def test_a_job_goes_on_where_its_program_was_killed(bulk: Bulk, tmp_path: Path) -> None:
    database = bulk.office.database
    file = tmp_path / "citizens.jsonl"
    file.write_bytes(bulk_file(ROWS))
    url = database.engine.url.render_as_string(hide_password=False)
    for number in range(KILLS):
        killed_at_random(url, file, random.Random(number).uniform(0, 0.1))  # noqa: S311 - a moment
    job = bulk.desk.start(file.read_bytes(), CLERK)
    assert job.line >= SLICE
    assert bulk.desk.run(job.id).is_over
    with database.read() as connection:
        holders = Counter(connection.execute(select(registration_files.c.holder)).scalars())
        entered = Counter(connection.execute(select(bulk_rows.c.file_id)).scalars())
    assert holders == {national_code(number): 1 for number in range(ROWS)}
    assert len(entered) == ROWS
    assert None not in entered
    assert len(facts_of(database, job.id, AuditAction.BULK_STARTED)) == 1
    assert facts_of(database, job.id, AuditAction.BULK_FINISHED) == [{"rows": ROWS, "refused": 0}]
