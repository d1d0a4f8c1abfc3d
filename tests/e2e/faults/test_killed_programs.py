"""Programs of a served deployment that are killed, each and all at once, come back and go on."""

from __future__ import annotations

import pytest

from tests.e2e.faults.conftest import OnPostgres
from tests.support.separated import descendants, until

pytestmark = pytest.mark.real
EVERY = ""


@pytest.mark.parametrize("part", ["granian", "gunicorn", "webapp.worker", "hsm.custodian", EVERY])
def test_what_is_killed_comes_back(part: str, on_postgres: OnPostgres) -> None:
    until(on_postgres._is_well, "every part is well before")
    on_postgres.deployment.worker_state.unlink(missing_ok=True)
    killed = on_postgres.kill(part)
    assert killed
    until(lambda: not killed & descendants(on_postgres.pid).keys(), "the killed are gone")
    until(lambda: any(part in line for line in descendants(on_postgres.pid).values()), "others are there")
    until(on_postgres._is_well, "every part is well again", lambda: on_postgres.trouble)
