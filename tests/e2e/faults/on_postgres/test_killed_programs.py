"""Programs of a served deployment that are killed, each and all at once, come back and go on."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.faults.conftest import OnPostgres
from tests.support.separated import descendants, until

pytestmark = pytest.mark.real
EVERY = ""


@pytest.mark.parametrize("part", ["page_server", "exchange_server", "webapp.worker", "hsm.custodian", EVERY])
def test_what_is_killed_comes_back(part: str, on_postgres: OnPostgres) -> None:
    until(on_postgres._is_well, "every part is well before")
    on_postgres.deployment.worker_state.unlink(missing_ok=True)
    killed = on_postgres.kill(part)
    assert killed
    until(lambda: not killed & descendants(on_postgres.pid).keys(), "the killed are gone")
    until(lambda: any(part in line for line in descendants(on_postgres.pid).values()), "others are there")
    until(on_postgres._is_well, "every part is well again", lambda: on_postgres.trouble)


def test_a_worker_of_the_pages_that_is_killed_again_and_again_takes_nobody_with_it(on_postgres: OnPostgres) -> None:
    def pages() -> list[int]:
        return [pid for pid, line in descendants(on_postgres.pid).items() if "page_server" in line]

    until(on_postgres._is_well, "every part is well before")
    main, *workers = before = pages()
    assert workers
    for _ in range(3):
        killed = pages()[-1]
        os.kill(killed, signal.SIGKILL)
        until(lambda gone=killed: gone not in pages() and len(pages()) == len(before), "another one is there")  # type: ignore[misc]
    assert pages()[0] == main
    until(on_postgres._is_well, "every part is well again", lambda: on_postgres.trouble)
