"""No search, count, expiry or state page reads the whole table: the engines' own plans say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from ca import certificate_queries, repository
from ca.inventory import queries
from ca.inventory.search import Search
from ca.status.revocation import CertificateState
from tests.ca.inventory.conftest import Stock
from tests.ca.inventory.rows import HOLDERS
from tests.ca.world import START

_SOON: dict[str, Any] = {"expires_from": START, "expires_before": START + timedelta(days=3)}
_SEARCHES = {
    "serial": Search(serial="0001"),
    "prefix": Search(serial_prefix="0001ab"),
    "prefix-and-state": Search(serial_prefix="0001ab", state=CertificateState.GOOD),
    "holder": Search(holder=HOLDERS[0]),
    "holder-and-window": Search(holder=HOLDERS[0], **_SOON),
    "file": Search(file_id="file0"),
    "council-number": Search(licence="10000"),
    "council-number-and-profile": Search(licence="10000", profile="clin-sign"),
    "centre": Search(siam_id="c-1001"),
    "profession": Search(profession="nurse"),
    "profession-and-province": Search(profession="nurse", province="یزد"),
    "province": Search(province="یزد"),
    "province-and-state": Search(province="یزد", state=CertificateState.REVOKED),
    "state": Search(state=CertificateState.REVOKED),
    "state-and-profile": Search(state=CertificateState.GOOD, profile="hix-tls"),
    "profile": Search(profile="hix-tls"),
    "window": Search(**_SOON),
    "window-and-state": Search(state=CertificateState.GOOD, **_SOON),
}


@contextmanager
def recorded(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """Collect what the engine is asked, with its values."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        asked.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    yield asked
    event.remove(connection, "before_cursor_execute", note)


def plans(stock: Stock, act: Callable[[Connection], object]) -> list[str]:
    """Return the engine's plan of every statement of `act`, on the values that it had."""
    explain = "EXPLAIN " if stock.database.dialect == "postgresql" else "EXPLAIN QUERY PLAN "
    with stock.database.engine.begin() as connection:
        with recorded(connection) as asked:
            act(connection)
        answers = [connection.exec_driver_sql(explain + statement, values) for statement, values in asked]
        return ["\n".join(str(row[-1]) for row in answer) for answer in answers]


def reads_all(plan: str) -> bool:
    """Whether a plan goes through the table, or through an index of all rows, from end to end."""
    if any(line.lstrip().startswith("SCAN certificates") for line in plan.splitlines()):
        return True
    return "Seq Scan on certificates" in plan or "using pk_certificates" in plan


@pytest.mark.parametrize("name", _SEARCHES)
def test_a_search_goes_by_an_index(name: str, large_stock: Stock) -> None:
    found = plans(large_stock, lambda connection: queries.search(connection, _SEARCHES[name], after=None, limit=100))
    assert found
    for plan in found:
        assert not reads_all(plan), plan


@pytest.mark.parametrize("name", _SEARCHES)
def test_so_does_its_next_page(name: str, large_stock: Stock) -> None:
    last = large_stock.rows[len(large_stock.rows) // 2]["serial"]
    for plan in plans(large_stock, lambda c: queries.search(c, _SEARCHES[name], after=last, limit=100)):
        assert not reads_all(plan), plan


def test_the_newest_are_read_from_the_end_of_the_table(large_stock: Stock) -> None:
    plan, following = plans(large_stock, lambda one: queries.search(one, Search(), after=None, limit=100))
    assert not reads_all(following)
    assert "SORT" not in plan.upper()
    assert "TEMP B-TREE" not in plan


def test_open_intents_are_found_by_their_index(large_stock: Stock) -> None:
    (plan,) = plans(large_stock, lambda connection: certificate_queries.open_intents(connection, START))
    assert not reads_all(plan)


def test_what_ended_is_found_by_the_index_of_what_may_end(large_stock: Stock) -> None:

    (plan,) = plans(large_stock, lambda connection: repository.expire(connection, START - timedelta(days=1)))
    assert "ix_certificates_ending" in plan


def test_the_check_would_see_a_scan(large_stock: Stock) -> None:
    (plan,) = plans(large_stock, lambda c: c.exec_driver_sql("SELECT count(*) FROM certificates WHERE name = 'a'"))
    assert reads_all(plan)
