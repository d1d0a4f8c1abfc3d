from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import func, select

from ca.errors import IllegalTransition
from ca.registration import RegistrationFile
from ca.registration_desk import RegistrationDesk
from ca.registration_states import FileState
from ca.registration_terms import FILE_LIFE
from ca.registries.answers import Denial, No, Silence, Silent, Source, Yes
from ca.registries.tables import registry_words
from ca.tables import approvals
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError, Unavailable
from storage.engine import Database
from storage.ledger_tables import audit_events
from tests.ca.registration.conftest import DAY, Office, no, silent, yes, yes_for_a_day
from tests.ca.world import CENTRE, CITIZEN, CLERK, CLINICIAN, FIRST, SECOND, SYSTEM, THIRD, file_json

WHY = "رجیستری سه روز است پاسخ نمی‌دهد"


def facts_of(database: Database, file_id: str, action: AuditAction) -> list[dict[str, Any]]:
    with database.read() as connection:
        e = audit_events.c
        wanted = select(e.facts).where(e.subject == file_id, e.action == action.value)
        return [json.loads(facts) for facts in connection.execute(wanted).scalars()]


def test_submitting_asks_the_registries_and_keeps_their_words(office: Office) -> None:
    desk = office.person_desk()
    file = office.submitted(desk)
    assert (file.state, file.rounds, file.checked_at) == (FileState.CHECKED, 1, office.clock.now())
    assert desk.file(file.id) == file
    assert desk.words(file.id) == (
        Yes(source=Source.CIVIL, at=office.clock.now(), reference="civil-1"),
        Yes(source=Source.COUNCIL, at=office.clock.now(), reference="council-1"),
    )
    (facts,) = facts_of(office.database, file.id, AuditAction.FILE_CHECKED)
    assert facts == {"round": 1, "civil": "ok", "council": "ok"}


def test_without_registries_a_file_waits_for_its_approvers_as_submitted(office: Office) -> None:
    desk = office.desk()
    file = office.submitted(desk)
    assert file.state is FileState.SUBMITTED
    assert desk.words(file.id) == ()
    assert desk.approve(file.id, FIRST).state is FileState.SUBMITTED
    assert desk.approve(file.id, SECOND).state is FileState.APPROVED


def test_two_yeses_over_yeses_approve(office: Office) -> None:
    desk = office.person_desk()
    file = office.submitted(desk)
    assert desk.approve(file.id, FIRST).state is FileState.CHECKED
    assert desk.approve(file.id, SECOND).state is FileState.APPROVED


def test_a_no_refuses_approval_and_names_its_source_whatever_anybody_accepts(office: Office) -> None:
    office.told[Source.COUNCIL].say = no
    office.told[Source.CIVIL].say = silent
    desk = office.person_desk()
    file = office.submitted(desk)
    for reason in (None, WHY):
        with pytest.raises(NotAllowed) as caught:
            desk.approve(file.id, FIRST, silence_reason=reason)
        assert (caught.value.code, caught.value.reason) == (ErrorCode.REGISTRY_REFUSED, "file.registry-says-no")
        assert "council: not-found" in caught.value.detail
        assert "civil" not in caught.value.detail
    assert desk.file(file.id).approvals == ()


def test_a_silence_needs_each_approvers_own_reason(office: Office) -> None:
    office.told[Source.CIVIL].say = silent
    desk = office.person_desk()
    file = office.submitted(desk)
    with pytest.raises(Unavailable) as caught:
        desk.approve(file.id, FIRST)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.REGISTRY_SILENT, "civil")
    assert desk.approve(file.id, FIRST, silence_reason=WHY).state is FileState.CHECKED
    with pytest.raises(Unavailable):
        desk.approve(file.id, SECOND)
    done = desk.approve(file.id, SECOND, silence_reason=f" {WHY} ")
    assert done.state is FileState.APPROVED
    assert [given.silence_reason for given in done.approvals] == [WHY, WHY]


def test_the_audit_names_the_silent_source_and_a_digest_of_the_reason(office: Office) -> None:
    office.told[Source.CIVIL].say = silent
    desk = office.person_desk()
    file = office.submitted(desk)
    desk.approve(file.id, FIRST, silence_reason=WHY)
    (facts,) = facts_of(office.database, file.id, AuditAction.FILE_APPROVED)
    digest = sha256(WHY.encode()).hexdigest()
    assert facts == {"state": "checked", "silent": "civil", "silence_reason_sha256": digest}


def test_a_reason_is_not_kept_where_nothing_was_silent(office: Office) -> None:
    desk = office.person_desk()
    (given,) = desk.approve(office.submitted(desk).id, FIRST, silence_reason=WHY).approvals
    assert given.silence_reason is None


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\x00"])
def test_an_empty_reason_accepts_no_silence(office: Office, reason: str) -> None:
    office.told[Source.CIVIL].say = silent
    desk = office.person_desk()
    with pytest.raises(InvalidInput):
        desk.approve(office.submitted(desk).id, FIRST, silence_reason=reason)


def test_nobody_accepts_the_silence_of_a_licence(office: Office) -> None:
    office.told[Source.LICENCE].say = silent
    desk = office.desk(Source.SIAM, Source.LICENCE)
    file = office.submitted(desk, CENTRE)
    with pytest.raises(Unavailable, match="licence"):
        desk.approve(file.id, FIRST, silence_reason=WHY)
    office.told[Source.LICENCE].say = yes
    office.told[Source.SIAM].say = silent
    desk.check(file.id, FIRST)
    assert len(desk.approve(file.id, FIRST, silence_reason=WHY).approvals) == 1


def test_the_last_words_count_and_the_earlier_ones_are_kept(office: Office) -> None:
    office.told[Source.COUNCIL].say = no
    desk = office.person_desk()
    file = office.submitted(desk)
    office.told[Source.COUNCIL].say = yes
    office.clock.move(hours=1)
    checked = desk.check(file.id, FIRST)
    assert (checked.rounds, checked.checked_at) == (2, office.clock.now())
    assert len(desk.approve(file.id, FIRST).approvals) == 1
    office.told[Source.CIVIL].say = no
    desk.check(file.id, SECOND)
    with pytest.raises(NotAllowed, match="civil"):
        desk.approve(file.id, SECOND)
    with office.database.read() as connection:
        count = select(func.count()).select_from(registry_words).where(registry_words.c.file_id == file.id)
        assert connection.execute(count).scalar_one() == 6


def test_what_a_registry_confirmed_until_a_day_must_be_asked_again_after_it(office: Office) -> None:
    office.told[Source.COUNCIL].say = yes_for_a_day
    desk = office.person_desk()
    file = office.submitted(desk)
    office.clock.move(days=1)
    with pytest.raises(IllegalTransition) as caught:
        desk.approve(file.id, FIRST, silence_reason=WHY)
    assert caught.value.reason == "file.word-ended"
    desk.check(file.id, FIRST)
    assert len(desk.approve(file.id, FIRST).approvals) == 1


def test_a_file_from_before_its_registries_must_be_checked(office: Office) -> None:
    file = office.submitted(office.desk())
    desk = office.person_desk()
    with pytest.raises(IllegalTransition) as caught:
        desk.approve(file.id, FIRST, silence_reason=WHY)
    assert caught.value.reason == "file.unchecked"
    desk.check(file.id, CLERK)
    assert len(desk.approve(file.id, FIRST).approvals) == 1


def test_all_that_a_word_says_is_kept(office: Office) -> None:
    said = No(source=Source.COUNCIL, at=office.clock.now() - DAY, why=Denial.LAPSED, reference="r", valid_until=None)
    office.told[Source.COUNCIL].say = lambda _source, _now: said
    office.told[Source.CIVIL].say = yes_for_a_day
    desk = office.person_desk()
    words = desk.words(office.submitted(desk).id)
    assert words == (Yes(source=Source.CIVIL, at=office.clock.now(), valid_until=office.clock.now() + DAY), said)


def test_systems_are_asked_nowhere(office: Office) -> None:
    desk = office.desk(*Source)
    assert office.submitted(desk, SYSTEM).state is FileState.SUBMITTED
    assert not any(told.asked for told in office.told.values())


def test_a_draft_is_put_before_the_approvers_by_its_own_officer(office: Office) -> None:
    desk = office.person_desk()
    draft = desk.draft_file(file_json(CLINICIAN), CLERK)
    assert draft.state is FileState.DRAFT
    for act in (desk.approve, desk.check):
        with pytest.raises(IllegalTransition):
            act(draft.id, FIRST)
    with pytest.raises(NotAllowed):
        desk.submit_draft(draft.id, FIRST)
    assert office.told[Source.CIVIL].asked == 1
    assert desk.submit_draft(draft.id, CLERK).state is FileState.CHECKED
    with pytest.raises(IllegalTransition):
        desk.submit_draft(draft.id, CLERK)


def test_a_file_is_withdrawn_by_its_own_officer_alone(office: Office) -> None:
    desk = office.person_desk()
    file = office.submitted(desk)
    with pytest.raises(NotAllowed):
        desk.withdraw(file.id, FIRST)
    gone = desk.withdraw(file.id, CLERK)
    assert (gone.state, gone.ended_at) == (FileState.WITHDRAWN, office.clock.now())
    assert len(facts_of(office.database, file.id, AuditAction.FILE_WITHDRAWN)) == 1


@pytest.mark.parametrize("close", ["refuse", "withdraw", "expire"])
def test_what_is_closed_takes_no_act_but_a_new_file_after_it(office: Office, close: str) -> None:
    desk = office.person_desk()
    file = office.submitted(desk)
    closed(office, desk, file, close)
    acts: list[Callable[[], object]] = [
        lambda: desk.approve(file.id, FIRST),
        lambda: desk.refuse(file.id, FIRST, "why"),
        lambda: desk.withdraw(file.id, CLERK),
        lambda: desk.check(file.id, CLERK),
    ]
    for act in acts:
        with pytest.raises(IllegalTransition):
            act()
    again = desk.submit_file(file_json({**CLINICIAN, "surname": "رضایی نو"}), CLERK, previous=file.id)
    assert desk.file(again.id).previous == file.id
    (facts,) = facts_of(office.database, again.id, AuditAction.FILE_SUBMITTED)
    assert facts["previous"] == file.id
    desk.approve(again.id, FIRST)
    assert desk.approve(again.id, SECOND).state is FileState.APPROVED


def closed(office: Office, desk: RegistrationDesk, file: RegistrationFile, how: str) -> None:
    match how:
        case "refuse":
            desk.approve(file.id, FIRST)
            desk.refuse(file.id, SECOND, "the scan cannot be read")
        case "withdraw":
            desk.withdraw(file.id, CLERK)
        case _:
            office.clock.move(days=FILE_LIFE.days)
            assert desk.expire_files() == 1


def test_a_new_file_comes_after_a_closed_one_of_the_same_holder_alone(office: Office) -> None:
    desk = office.desk()
    file = office.submitted(desk)
    with pytest.raises(IllegalTransition) as caught:
        desk.submit_file(file_json(CLINICIAN), CLERK, previous=file.id)
    assert caught.value.reason == "file.previous-open"
    desk.withdraw(file.id, CLERK)
    with pytest.raises(InvalidInput) as differs:
        desk.submit_file(file_json(CITIZEN), CLERK, previous=file.id)
    assert differs.value.code is ErrorCode.IDENTITY_DIFFERS
    with pytest.raises(NotFound):
        desk.submit_file(file_json(CLINICIAN), CLERK, previous="absent")
    assert len(desk.files()) == 1


def test_a_refusal_keeps_its_reason_and_the_ledger_a_digest_of_it(office: Office) -> None:
    desk = office.desk()
    file = office.submitted(desk)
    assert desk.refuse(file.id, FIRST, WHY).reason == WHY
    (facts,) = facts_of(office.database, file.id, AuditAction.FILE_REFUSED)
    assert facts == {"reason_sha256": sha256(WHY.encode()).hexdigest()}


def test_a_file_whose_time_is_over_takes_no_act_even_before_the_sweep(office: Office) -> None:
    desk = office.desk()
    file = office.submitted(desk)
    office.clock.move(days=FILE_LIFE.days)
    for act in (desk.approve, desk.withdraw, desk.check):
        with pytest.raises(IllegalTransition) as caught:
            act(file.id, CLERK)
        assert caught.value.reason == "file.expired"


def test_the_sweep_ends_what_is_over_and_nothing_else(office: Office) -> None:
    desk = office.desk()
    draft = desk.draft_file(file_json(CLINICIAN), CLERK)
    waiting, approved = office.submitted(desk), office.submitted(desk)
    desk.approve(approved.id, FIRST)
    desk.approve(approved.id, SECOND)
    office.clock.move(days=1)
    young = office.submitted(desk)
    office.clock.move(days=FILE_LIFE.days - 1)
    assert desk.expire_files() == 2
    assert desk.expire_files() == 0
    states = [desk.file(file.id).state for file in (draft, waiting, approved, young)]
    assert states == [FileState.EXPIRED, FileState.EXPIRED, FileState.APPROVED, FileState.SUBMITTED]


def test_a_decision_and_a_no_at_once_have_one_outcome(office: Office) -> None:
    """Either the last yes came before the registry's no was kept, or it was refused by it."""
    for _ in range(4):
        office.told[Source.COUNCIL].say = yes
        desk = office.person_desk()
        file = office.submitted(desk)
        desk.approve(file.id, FIRST)
        office.told[Source.COUNCIL].say = no
        barrier = Barrier(2)
        acts: list[Callable[[], object]] = [
            lambda desk=desk, file=file: desk.approve(file.id, SECOND),  # type: ignore[misc]
            lambda desk=desk, file=file: desk.check(file.id, THIRD),  # type: ignore[misc]
        ]

        def run(act: Callable[[], object], barrier: Barrier = barrier) -> bool:
            barrier.wait()
            try:
                act()
            except ServiceError as error:
                assert error.code in {ErrorCode.REGISTRY_REFUSED, ErrorCode.STATE_ILLEGAL}
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            approved, checked = pool.map(run, acts)
        assert approved != checked
        assert (desk.file(file.id).state is FileState.APPROVED) == approved
        with office.database.read() as connection:
            given = select(func.count()).select_from(approvals).where(approvals.c.file_id == file.id)
            assert connection.execute(given).scalar_one() == (2 if approved else 1)


def test_a_registry_that_fails_is_kept_as_silence(office: Office) -> None:
    def fail(_source: Source, _now: object) -> Any:
        raise RuntimeError("down")

    office.told[Source.CIVIL].say = fail
    desk = office.person_desk()
    assert Silent(source=Source.CIVIL, at=office.clock.now(), why=Silence.FAILED) in desk.words(
        office.submitted(desk).id
    )
