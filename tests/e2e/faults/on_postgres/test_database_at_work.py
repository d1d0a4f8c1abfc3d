"""PostgreSQL stands still, ends and comes back while several servers issue: one certificate for each key."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import text

from tests.e2e.faults.conftest import SERVERS, OnPostgres
from tests.e2e.faults.load import ISSUER, Work
from tests.support.separated import descendants, until
from tests.support.signed_rows import Story, reading

pytestmark = pytest.mark.real


def ends(served: OnPostgres) -> Callable[[], None]:
    """End the database server as a crash does; what is returned starts it again."""
    served.postgres.stop()
    return served.postgres.start


def stands_still(served: OnPostgres) -> Callable[[], None]:
    """Stop every process of the database server where it is; what is returned lets them go on."""
    (postmaster, *_) = (served.postgres.folder / "data" / "postmaster.pid").read_text().split()
    stopped = [int(postmaster), *descendants(int(postmaster))]

    def send(number: signal.Signals) -> None:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    send(signal.SIGSTOP)
    return lambda: send(signal.SIGCONT)


@contextmanager
def without(served: OnPostgres, go: Callable[[OnPostgres], Callable[[], None]]) -> Iterator[None]:
    """Have the database go for the block; it is back afterwards, whatever happens."""
    back = go(served)
    try:
        yield
    finally:
        back()


@pytest.mark.parametrize(
    "go", [ends, pytest.param(stands_still, marks=pytest.mark.stress)], ids=["ends", "stands still"]
)
def test_orders_given_while_the_database_goes_make_one_certificate_each(
    on_postgres: OnPostgres, go: Callable[[OnPostgres], Callable[[], None]]
) -> None:
    served = on_postgres
    until(served._is_well, "every part is well before", lambda: served.trouble)
    work = Work([served])
    with work.going_on(orderers=4):
        with without(served, go):
            until(lambda: served.states().get("database") != "ok", "health says so", lambda: served.trouble)
        back = time.monotonic()
        until(lambda: work.last_begun > back, "officers are served again", lambda: served.trouble)
        waited = time.monotonic() - back
    until(served._is_well, "every part is well again", lambda: served.trouble)
    assert served.mohr("audit", "verify").status == 0
    print(f"\nserved again {waited:.2f} s after the database was back")  # noqa: T201 - the figure is what this is for


def test_several_servers_issue_at_once_from_one_database(on_postgres: OnPostgres) -> None:
    served = on_postgres
    until(served._is_well, "every part is well before", lambda: served.trouble)
    work, story = Work([served]), Story.begin(served.deployment, ISSUER)

    def servers() -> int:
        with reading(served.deployment) as connection:
            at_work = text("SELECT count(DISTINCT server) FROM certificates WHERE id >= :first")
            return int(connection.execute(at_work, {"first": story.first}).scalar_one())

    with work.going_on(orderers=2 * SERVERS):
        until(lambda: servers() > 1, "more than one server has issued", lambda: served.trouble)
