from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from ca.bulk import desk as bulk_desk
from ca.bulk.records import Progress
from ca.bulk.tables import bulk_rows
from ca.errors import FourEyesRequired, IllegalTransition
from ca.registration_states import FileState
from ca.registries.answers import RegistryWord, Source
from ca.tables import approvals, registration_files
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotFound
from tests.ca.bulk.conftest import Bulk, bulk_file
from tests.ca.bulk.test_format import pem_csr
from tests.ca.registration.conftest import MakeWord, no, silent, yes
from tests.ca.registration.test_desk import facts_of
from tests.ca.world import CITIZEN, CLERK, CLINICIAN, FIRST, SECOND, THIRD, file_json, national_code


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_desk, "SLICE", 4)


def counted(bulk: Bulk) -> int:
    with bulk.office.database.read() as connection:
        return connection.execute(select(func.count()).select_from(registration_files)).scalar_one()


def test_every_row_becomes_a_file_of_its_own(bulk: Bulk) -> None:
    job = bulk.desk.start(bulk_file(10), CLERK)
    assert counted(bulk) == 0
    told: list[Progress] = []
    done = bulk.desk.run(job.id, told.append)
    assert [progress.job.line for progress in told] == [4, 8, 10]
    assert (done.job.rows, done.refused, done.is_over) == (10, 0, True)
    results = list(bulk.desk.results(job.id))
    assert [result.line for result in results] == list(range(1, 11))
    assert {result.state for result in results} == {FileState.CHECKED}
    holders = [bulk.files.file(str(result.file_id)).registration.holder for result in results]
    assert holders == [national_code(number) for number in range(10)]
    assert bulk.office.told[Source.CIVIL].asked == 10


def test_a_bad_row_has_its_code_and_reason_and_takes_no_other_down(bulk: Bulk) -> None:
    rows = [
        file_json(CITIZEN),
        file_json({**CITIZEN, "national_code": "0000012344"}),
        file_json({**CITIZEN, "kind": "nobody"}),
        b"{half",
        file_json({**CITIZEN, "profile": "nonsense", "csr": "x"}),
        file_json(CITIZEN),
        file_json(CLINICIAN),
    ]
    job = bulk.desk.start(b"\n".join(rows), CLERK)
    assert bulk.desk.run(job.id).refused == 5
    results = list(bulk.desk.results(job.id))
    assert [result.code for result in results] == [
        None,
        ErrorCode.IDENTITY_INVALID,
        ErrorCode.INPUT_MALFORMED,
        ErrorCode.JSON_MALFORMED,
        ErrorCode.PROFILE_UNKNOWN,
        ErrorCode.CONFLICT,
        None,
    ]
    assert all(result.reason for result in results if result.code)
    assert results[5].reason == "the same as line 1"
    assert "0000012344" not in repr(results)
    assert counted(bulk) == 2


def test_the_rows_themselves_are_not_kept_once_they_are_entered(bulk: Bulk) -> None:
    job = bulk.desk.start(bulk_file(5) + b"{half", CLERK)
    bulk.desk.run(job.id)
    with bulk.office.database.read() as connection:
        assert set(connection.execute(select(bulk_rows.c.body)).scalars()) == {None}


def test_the_same_file_twice_is_the_same_job(bulk: Bulk) -> None:
    data = bulk_file(5)
    job = bulk.desk.start(data, CLERK)
    bulk.desk.run(job.id)
    again = bulk.desk.start(data, THIRD)
    assert (again.id, again.by.id) == (job.id, CLERK.id)
    assert bulk.desk.run(again.id).is_over
    assert counted(bulk) == 5
    assert bulk.desk.start(data + b"{}", CLERK).id != job.id


def test_programs_that_take_and_run_one_file_at_once_enter_each_row_once(bulk: Bulk) -> None:
    data = bulk_file(24)

    def take(_number: int) -> str:
        job = bulk.desk.start(data, CLERK)
        bulk.desk.run(job.id)
        return job.id

    assert bulk.desk is bulk.desk  # made before the threads
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(take, range(4)))
    (job_id,) = ids
    assert counted(bulk) == 24
    assert bulk.desk.progress(job_id).is_over
    assert len(facts_of(bulk.office.database, job_id, AuditAction.BULK_STARTED)) == 1
    (finished,) = facts_of(bulk.office.database, job_id, AuditAction.BULK_FINISHED)
    assert finished == {"rows": 24, "refused": 0}


def test_a_file_that_is_no_list_of_rows_leaves_no_job(bulk: Bulk) -> None:
    with pytest.raises(InvalidInput):
        bulk.desk.start(b"{}\n\n{}", CLERK)
    assert bulk.desk.sweep(9) == 0


def test_a_job_that_was_left_is_finished_by_the_sweep(bulk: Bulk) -> None:
    job = bulk.desk.start(bulk_file(10), CLERK)
    assert bulk.desk.advance(job.id)
    assert bulk.desk.sweep(1) == 1
    assert not bulk.desk.progress(job.id).is_over
    assert bulk.desk.sweep(9) == 1
    assert bulk.desk.progress(job.id).is_over
    assert counted(bulk) == 10


def test_text_that_no_database_holds_is_its_row_s_own_result(bulk: Bulk) -> None:
    ends: Any = (
        {"given_name": "\0"},
        {"realm": "a\0"},
        {"profile": "x\0", "csr": pem_csr()},
        {"evidence": [{"\0": 1}]},
    )
    bad = [file_json({**CITIZEN, "national_code": national_code(30 + n), **end}) for n, end in enumerate(ends)]
    job = bulk.desk.start(b"\n".join([*bad, file_json(CITIZEN)]), CLERK)
    assert bulk.desk.sweep(9) == 2
    codes = [row.code for row in bulk.desk.results(job.id)]
    assert codes == ["input-malformed"] * len(bad) + [None]


def test_a_job_that_cannot_go_on_keeps_no_other_from_it(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [bulk.desk.start(bulk_file(count), CLERK).id for count in (3, 4)]
    go_on = bulk.desk.advance

    def advance(job_id: str) -> bool:
        if job_id == jobs[0]:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED)
        return go_on(job_id)

    monkeypatch.setattr(bulk.desk, "advance", advance)
    with pytest.raises(InvalidInput):
        bulk.desk.sweep(9)
    assert [bulk.desk.progress(job_id).is_over for job_id in jobs] == [False, True]


def test_one_yes_is_written_to_every_file_and_two_approve(bulk: Bulk) -> None:
    job = bulk.desk.start(bulk_file(6), CLERK)
    bulk.desk.run(job.id)
    bulk.desk.approve(job.id, FIRST)
    assert bulk.desk.run(job.id).approved == 0
    bulk.desk.approve(job.id, SECOND)
    assert bulk.desk.run(job.id).approved == 6
    with bulk.office.database.read() as connection:
        given = Counter(connection.execute(select(approvals.c.officer)).scalars())
    assert given == {"first": 6, "second": 6}
    said = facts_of(bulk.office.database, job.id, AuditAction.BULK_APPROVED)
    assert said == [{"rows": 6, "sha256": job.sha256}] * 2


def test_a_job_is_approved_by_others_each_once_and_after_its_rows(bulk: Bulk) -> None:
    job = bulk.desk.start(bulk_file(2), CLERK)
    with pytest.raises(IllegalTransition):
        bulk.desk.approve(job.id, FIRST)
    bulk.desk.run(job.id)
    with pytest.raises(FourEyesRequired):
        bulk.desk.approve(job.id, CLERK)
    bulk.desk.approve(job.id, FIRST)
    with pytest.raises(FourEyesRequired):
        bulk.desk.approve(job.id, FIRST)
    assert len(bulk.desk.progress(job.id).approvals) == 1


def test_what_refuses_one_file_refuses_it_in_a_bulk_too(bulk: Bulk) -> None:
    words: dict[str, MakeWord] = {}

    def say(source: Source, now: datetime) -> RegistryWord:
        number = bulk.office.told[Source.CIVIL].asked
        return words.get(str(number), yes)(source, now)

    words |= {"2": no, "3": silent}
    bulk.office.told[Source.CIVIL].say = say
    bulk.files.submit_file(file_json(CITIZEN), CLERK)
    rows = [{**CITIZEN, "national_code": national_code(number)} for number in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_desk, "_ASKED_AT_ONCE", 1)
        job = bulk.desk.start(b"\n".join(map(file_json, rows)), CLERK)
        bulk.desk.run(job.id)
    for officer in (FIRST, SECOND):
        bulk.desk.approve(job.id, officer)
    done = bulk.desk.run(job.id)
    assert done.approved == 1
    results = list(bulk.desk.results(job.id))
    assert [(result.code, result.state) for result in results] == [
        (ErrorCode.REGISTRY_REFUSED, FileState.CHECKED),
        (ErrorCode.REGISTRY_SILENT, FileState.CHECKED),
        (None, FileState.APPROVED),
    ]


def test_a_yes_to_a_job_may_accept_silence_with_its_reason(bulk: Bulk) -> None:
    bulk.office.told[Source.CIVIL].say = silent
    job = bulk.desk.start(bulk_file(3), CLERK)
    bulk.desk.run(job.id)
    for officer in (FIRST, SECOND):
        bulk.desk.approve(job.id, officer, silence_reason="civil is down")
    assert bulk.desk.run(job.id).approved == 3
    file_id = next(iter(bulk.desk.results(job.id))).file_id
    assert [given.silence_reason for given in bulk.files.file(str(file_id)).approvals] == ["civil is down"] * 2


def test_an_officer_approves_no_file_of_their_own_in_a_bulk(bulk: Bulk) -> None:
    from ca.officers.identity import Officer

    job = bulk.desk.start(bulk_file(2), CLERK)
    bulk.desk.run(job.id)
    bulk.desk.approve(job.id, Officer(id=national_code(1)))
    bulk.desk.run(job.id)
    assert [result.code for result in bulk.desk.results(job.id)] == [None, ErrorCode.FOUR_EYES]


def test_an_unknown_job_is_not_found(bulk: Bulk) -> None:
    acts: list[Callable[[], object]] = [
        lambda: bulk.desk.progress("absent"),
        lambda: bulk.desk.approve("absent", FIRST),
        lambda: bulk.desk.run("absent"),
        lambda: list(bulk.desk.results("absent")),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()


def test_no_event_of_a_job_names_a_person(bulk: Bulk) -> None:
    job = bulk.desk.start(bulk_file(2), CLERK)
    bulk.desk.run(job.id)
    facts = [facts_of(bulk.office.database, job.id, action) for action in AuditAction]
    assert national_code(0) not in json.dumps(facts)
