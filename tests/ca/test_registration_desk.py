from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select

from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.identity import Officer
from ca.registration import FileState, RegistrationFile
from ca.tables import approvals
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotFound, ServiceError
from storage.engine import Database
from storage.ledger_tables import audit_events
from tests.ca.world import CENTRE, CLERK, CLINICIAN, FIRST, SECOND, THIRD, World, file_json


def actions(database: Database, subject: str) -> Counter[str]:
    """Count the events about a subject by their action; the test's clock stands still, so they have no order."""
    with database.read() as connection:
        e = audit_events.c
        return Counter(connection.execute(select(e.action).where(e.subject == subject)).scalars())


def test_two_officers_approve_and_each_act_leaves_its_event(world: World) -> None:
    file = world.submitted()
    assert world.authority.approve(file.id, FIRST).state is FileState.SUBMITTED
    done = world.authority.approve(file.id, SECOND)
    assert done.state is FileState.APPROVED
    assert [given.officer for given in done.approvals] == ["first", "second"]
    assert actions(world.database, file.id) == {AuditAction.FILE_SUBMITTED: 1, AuditAction.FILE_APPROVED: 2}


def test_whoever_submits_does_not_approve(world: World) -> None:
    file = world.submitted()
    with pytest.raises(FourEyesRequired) as caught:
        world.authority.approve(file.id, CLERK)
    assert caught.value.code is ErrorCode.FOUR_EYES


def test_one_officer_is_not_four_eyes(world: World) -> None:
    file = world.submitted()
    world.authority.approve(file.id, FIRST)
    with pytest.raises(FourEyesRequired):
        world.authority.approve(file.id, FIRST)
    assert world.authority.file(file.id).state is FileState.SUBMITTED


@pytest.mark.parametrize(
    "officer",
    [Officer(id="dr", national_code="0000012343"), Officer(id="0000012343"), Officer(id="12345")],
    ids=["by national code", "by an id that is the code", "by the council number"],
)
def test_nobody_approves_their_own_file(world: World, officer: Officer) -> None:
    with pytest.raises(FourEyesRequired, match="own file"):
        world.authority.approve(world.submitted().id, officer)


def test_an_officer_known_by_code_approves_other_peoples_files(world: World) -> None:
    officer = Officer(id="dr", national_code="0000012351")
    assert len(world.authority.approve(world.submitted().id, officer).approvals) == 1


def test_a_third_approval_finds_the_file_decided(world: World) -> None:
    file = world.approved()
    with pytest.raises(IllegalTransition):
        world.authority.approve(file.id, THIRD)


def test_a_refusal_says_why_and_is_final(world: World) -> None:
    file = world.submitted()
    world.authority.approve(file.id, FIRST)
    refused = world.authority.refuse(file.id, SECOND, "  the scan cannot be\tread ")
    assert (refused.state, refused.reason, refused.refused_by) == (
        FileState.REFUSED,
        "the scan cannot be read",
        "second",
    )
    acts: list[Callable[[], object]] = [
        lambda: world.authority.approve(file.id, THIRD),
        lambda: world.authority.refuse(file.id, THIRD, "no"),
    ]
    for act in acts:
        with pytest.raises(IllegalTransition):
            act()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "a\x00b"])
def test_a_refusal_without_a_reason_is_not_taken(world: World, reason: str) -> None:
    file = world.submitted()
    with pytest.raises(InvalidInput):
        world.authority.refuse(file.id, FIRST, reason)
    assert world.authority.file(file.id).state is FileState.SUBMITTED


def test_an_unknown_file_is_not_found(world: World) -> None:
    acts: list[Callable[[], object]] = [
        lambda: world.authority.file("nothing"),
        lambda: world.authority.approve("nothing", FIRST),
        lambda: world.authority.refuse("nothing", FIRST, "why"),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()


def test_files_are_listed_newest_first_and_by_state(world: World) -> None:
    older = world.submitted()
    world.clock.move(hours=1)
    newer = world.approved(CENTRE)
    assert [file.id for file in world.authority.files()] == [newer.id, older.id]
    assert [file.id for file in world.authority.files(FileState.APPROVED)] == [newer.id]
    assert len(world.authority.files(limit=1)) == 1


def outcomes(world: World, file: RegistrationFile, officers: list[Officer]) -> list[FileState | ServiceError]:
    barrier = Barrier(len(officers))

    def approve(officer: Officer) -> FileState | ServiceError:
        barrier.wait()
        try:
            return world.authority.approve(file.id, officer).state
        except ServiceError as error:
            return error

    with ThreadPoolExecutor(len(officers)) as pool:
        return list(pool.map(approve, officers))


def given_to(world: World, file: RegistrationFile) -> int:
    with world.database.read() as connection:
        return len(connection.execute(select(approvals).where(approvals.c.file_id == file.id)).all())


def test_officers_who_press_at_once_are_counted_one_by_one(world: World) -> None:
    for _ in range(5):
        file = world.submitted()
        found = outcomes(world, file, [FIRST, SECOND, THIRD, Officer(id="fourth")])
        assert sorted(str(item) for item in found if isinstance(item, FileState)) == ["approved", "submitted"]
        assert sum(isinstance(item, IllegalTransition) for item in found) == 2
        assert given_to(world, file) == 2


def test_one_officer_who_presses_twice_at_once_counts_once(world: World) -> None:
    for _ in range(5):
        file = world.submitted()
        found = outcomes(world, file, [FIRST, FIRST])
        assert [item for item in found if isinstance(item, FileState)] == [FileState.SUBMITTED]
        assert sum(isinstance(item, FourEyesRequired) for item in found) == 1
        assert given_to(world, file) == 1


def test_a_bad_registration_leaves_no_row(world: World) -> None:
    with pytest.raises(InvalidInput):
        world.authority.submit_file(file_json({**CLINICIAN, "national_code": "1"}), CLERK)
    assert world.authority.files() == ()
