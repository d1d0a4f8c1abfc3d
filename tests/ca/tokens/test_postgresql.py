"""The life of a connection token and the race for an assertion on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ca.tokens.life_cycle import TokenState
from tests.storage import postgres
from tests.support.exchange import CLINIC, FIRST, SECOND, Ceremony, Exchange

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    programs = postgres.find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed, or refuses this user")
    folder: Path = tmp_path_factory.mktemp("postgresql")
    with postgres.running_server(programs) as sockets:
        postgres.execute(sockets, "CREATE DATABASE mohr")
        found = Exchange.of(Ceremony.hold(folder, url=postgres.url_of(sockets, "mohr")), folder)
        yield found
        found.database.close()


def test_a_token_lives_from_request_to_end(exchange: Exchange) -> None:
    clinic, service = exchange.centre(), exchange.service
    assert exchange.gateway(clinic.access_token(), clinic.certificate.der).accepted
    exchange.say(CLINIC, "siam", state="failed")
    assert clinic.client_id in service.sweep().suspended
    assert clinic.ask().status == 400
    exchange.say(CLINIC, "siam", state="ok")
    assert clinic.client_id in service.sweep().restored
    service.suspend(clinic.client_id, FIRST, "test")
    assert service.restore(clinic.client_id, SECOND).state is TokenState.ACTIVE
    with pytest.raises(DBAPIError), exchange.database.begin() as unit:
        unit.connection.execute(text("DELETE FROM connection_light_changes"))
    assert service.terminate(clinic.client_id, FIRST).state is TokenState.TERMINATED


def test_two_nodes_accept_each_assertion_once(exchange: Exchange) -> None:
    clinic, second = exchange.centre(), exchange.node()
    forms = [clinic.form(clinic.assertion()) for _ in range(6)]
    nodes = [exchange.service.oauth, second.service.oauth]
    with ThreadPoolExecutor(8) as pool:
        jobs = [(nodes[turn % 2], form) for turn in range(4) for form in forms]
        answers = list(pool.map(lambda job: job[0].token_endpoint(job[1], None).status, jobs))
    second.database.close()
    assert sorted(answers) == [200] * 6 + [401] * 18
