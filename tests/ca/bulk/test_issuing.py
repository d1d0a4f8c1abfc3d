from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from ca.bulk import issuing
from ca.bulk.desk import BulkDesk
from ca.bulk.issuing import BulkIssuing
from ca.issuing.orders import Issued, IssueOrder
from pki.errors import ErrorCode, NotFound, ServiceError
from tests.ca.world import CITIZEN, CLERK, FIRST, SECOND, THIRD, World, file_json, national_code, new_csr
from tests.support.officers import EveryOfficer


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing, "SLICE", 2)


def pem_csr() -> str:
    from pki.certificates import pem

    return pem(new_csr()).replace("CERTIFICATE", "CERTIFICATE REQUEST")


def person(number: int, **more: str) -> dict[str, Any]:
    return {**CITIZEN, "national_code": national_code(number), **more}


def approved(world: World, rows: list[dict[str, Any]]) -> tuple[BulkDesk, str]:
    desk = BulkDesk(world.database, world.authority, EveryOfficer(), world.clock)
    job_id = desk.start(b"\n".join(map(file_json, rows)), CLERK).id
    desk.run(job_id)
    for officer in (FIRST, SECOND):
        desk.approve(job_id, officer)
        desk.run(job_id)
    return desk, job_id


def issued_to(world: World, file_id: str | None) -> list[str]:
    return [record.serial_hex for record in world.authority.certificates(limit=500) if record.file_id == file_id]


def test_rows_that_ask_get_a_certificate_and_the_others_none(world: World) -> None:
    rows = [person(number, profile="cit-sign", csr=pem_csr()) for number in range(5)]
    desk, job_id = approved(world, [*rows, person(9)])
    bulk = BulkIssuing(world.database, world.authority.line, EveryOfficer())
    assert bulk.issue(job_id, THIRD) == 5
    results = list(desk.results(job_id))
    for result in results[:5]:
        assert world.authority.get(str(result.serial)).file_id == result.file_id
    assert results[5].serial is None
    assert desk.progress(job_id).issued == 5
    assert bulk.issue(job_id, THIRD) == 0


def test_nothing_is_issued_before_the_second_yes(world: World) -> None:
    desk = BulkDesk(world.database, world.authority, EveryOfficer(), world.clock)
    job_id = desk.start(file_json(person(1, profile="cit-sign", csr=pem_csr())), CLERK).id
    desk.run(job_id)
    desk.approve(job_id, FIRST)
    desk.run(job_id)
    assert BulkIssuing(world.database, world.authority.line, EveryOfficer()).issue(job_id, THIRD) == 0


def test_a_row_that_is_refused_says_why_and_takes_no_other_down(world: World) -> None:
    csr = pem_csr()
    rows = [person(number, profile="cit-sign", csr=csr) for number in range(2)]
    desk, job_id = approved(world, [*rows, person(2, profile="clin-sign", csr=pem_csr())])
    assert BulkIssuing(world.database, world.authority.line, EveryOfficer()).issue(job_id, THIRD) == 1
    codes = [result.code for result in desk.results(job_id)]
    assert sorted(codes[:2], key=str) == [None, ErrorCode.KEY_REFUSED]
    assert codes[2] == ErrorCode.NOT_ALLOWED


class DiesAfterwards:
    """A line whose program is killed after the certificates are recorded."""

    def __init__(self, world: World) -> None:
        self._world = world

    def issue_many(self, orders: Iterable[IssueOrder]) -> Iterator[Issued | ServiceError]:
        list(self._world.authority.line.issue_many(orders))
        raise KeyboardInterrupt


def test_a_program_that_died_between_certificate_and_row_makes_no_second_one(world: World) -> None:
    desk, job_id = approved(world, [person(1, profile="cit-sign", csr=pem_csr())])
    with pytest.raises(KeyboardInterrupt):
        BulkIssuing(world.database, DiesAfterwards(world), EveryOfficer()).issue(job_id, THIRD)
    (result,) = desk.results(job_id)
    (serial,) = issued_to(world, result.file_id)
    assert result.serial is None
    for officer in (THIRD, SECOND):
        BulkIssuing(world.database, world.authority.line, EveryOfficer()).issue(job_id, officer)
    (result,) = desk.results(job_id)
    assert result.serial == serial
    assert issued_to(world, result.file_id) == [serial]


def test_an_unknown_job_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        BulkIssuing(world.database, world.authority.line, EveryOfficer()).issue("absent", THIRD)
