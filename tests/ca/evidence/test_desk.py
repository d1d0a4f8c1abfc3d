from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select, update

from ca.bulk.desk import BulkDesk
from ca.evidence import store as module
from ca.evidence.blobs import MAX_OCTETS
from ca.evidence.store import KEPT
from ca.evidence.tables import evidence
from ca.registration import RegistrationFile
from ca.registration_states import FileState
from pki.audit import AuditAction
from pki.errors import ErrorCode, NotFound, ServiceError, Unavailable
from tests.ca.evidence.conftest import JPEG, PDF, PNG, Archive, digest_of, naming
from tests.ca.registration.test_desk import facts_of
from tests.ca.world import CENTRE, CLERK, FIRST, SECOND, file_json

DAY = timedelta(days=1)


def rows(archive: Archive) -> list[Any]:
    with archive.database.read() as connection:
        return list(connection.execute(select(evidence).order_by(evidence.c.attached_at)))


def test_a_scan_comes_back_as_it_was_brought_and_who_looked_is_recorded(archive: Archive) -> None:
    file = archive.submitted(PDF, PNG)
    brought = archive.attach(file, PDF)
    scan = archive.desk.show(file.id, brought.sha256, FIRST)
    assert (scan.data, scan.attachment) == (PDF, brought)
    assert (brought.media_type, brought.octets, brought.attached_by) == ("application/pdf", len(PDF), CLERK.id)
    told = {"sha256": digest_of(PDF), "media_type": "application/pdf", "octets": len(PDF)}
    assert facts_of(archive.database, file.id, AuditAction.EVIDENCE_ATTACHED) == [told]
    assert facts_of(archive.database, file.id, AuditAction.EVIDENCE_READ) == [{"sha256": digest_of(PDF)}]
    assert PDF not in repr(scan).encode()


def test_neither_a_row_nor_the_database_shows_a_scan(archive: Archive) -> None:
    archive.attach(archive.submitted(PDF), PDF)
    (row,) = rows(archive)
    assert PDF not in row.sealed
    assert len(row.sealed) == len(PDF) + 12 + 16


def test_a_scan_that_is_here_stays_as_it_is(archive: Archive) -> None:
    file = archive.submitted(PDF)
    first = archive.attach(file, PDF)
    archive.clock.move(hours=1)
    assert archive.attach(file, PDF, SECOND) == first
    assert len(facts_of(archive.database, file.id, AuditAction.EVIDENCE_ATTACHED)) == 1


def test_two_who_bring_one_scan_at_once_bring_it_once(archive: Archive) -> None:
    file = archive.submitted(PDF)
    together = Barrier(2)

    def bring(_number: int) -> object:
        together.wait()
        return archive.attach(file, PDF)

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(bring, range(2)))) == 1
    assert len(rows(archive)) == 1


def test_a_draft_takes_evidence_before_it_is_submitted(archive: Archive) -> None:
    draft = archive.registrations.draft_file(naming(PDF), CLERK)
    archive.attach(draft, PDF)
    assert archive.registrations.submit_draft(draft.id, CLERK).state is FileState.SUBMITTED


# -- what is refused ------------------------------------------------------------------------------


def approved(archive: Archive) -> RegistrationFile:
    file = archive.submitted(PDF)
    archive.attach(file, PDF)
    archive.registrations.approve(file.id, FIRST)
    return archive.registrations.approve(file.id, SECOND)


def of_a_closed_file(close: Callable[[Archive, str], object]) -> Callable[[Archive], object]:
    def act(archive: Archive) -> object:
        file = archive.submitted(PDF)
        close(archive, file.id)
        return archive.attach(file, PDF)

    return act


def over_the_quota(archive: Archive) -> object:
    scans = [PDF.ljust(MAX_OCTETS, bytes([number])) for number in range(5)]
    file = archive.submitted(*scans)
    return [archive.attach(file, scan) for scan in scans]


def after_its_time(archive: Archive) -> object:
    file = archive.submitted(PDF)
    archive.clock.move(days=30)
    return archive.attach(file, PDF)


def after_deletion(archive: Archive) -> object:
    file = approved(archive)
    archive.clock.move(days=KEPT.days)
    archive.desk.sweep()
    return archive.desk.show(file.id, digest_of(PDF), FIRST)


REFUSED: dict[str, tuple[str, str, Callable[[Archive], object]]] = {
    "of no file": (
        "not-found",
        "file.absent",
        lambda a: a.desk.attach("absent", digest_of(PDF), open_nothing(), CLERK),
    ),
    "not named": ("not-found", "evidence.not-named", lambda a: a.attach(a.submitted(PDF), PNG)),
    "shown, not named": (
        "not-found",
        "evidence.not-named",
        lambda a: a.desk.show(a.submitted(PDF).id, digest_of(PNG), FIRST),
    ),
    "shown, no digest": ("not-found", "evidence.not-named", lambda a: a.desk.show(a.submitted(PDF).id, "zz", FIRST)),
    "not brought": ("not-found", "evidence.absent", lambda a: a.desk.show(a.submitted(PDF).id, digest_of(PDF), FIRST)),
    "deleted": ("not-found", "evidence.deleted", after_deletion),
    "approved": ("state-illegal", "evidence.file-decided", lambda a: a.attach(approved(a), PDF)),
    "refused": (
        "state-illegal",
        "evidence.file-decided",
        of_a_closed_file(lambda a, file_id: a.registrations.refuse(file_id, FIRST, "no")),
    ),
    "withdrawn": (
        "state-illegal",
        "evidence.file-decided",
        of_a_closed_file(lambda a, file_id: a.registrations.withdraw(file_id, CLERK)),
    ),
    "over, not swept yet": ("state-illegal", "evidence.file-decided", after_its_time),
    "over the quota": ("input-too-large", "evidence.quota", over_the_quota),
    "another type": (
        "input-format-unknown",
        "evidence.type-unknown",
        lambda a: a.attach(a.submitted(b"GIF8"), b"GIF8"),
    ),
    "missing at approval": (
        "state-illegal",
        "file.evidence-missing",
        lambda a: a.registrations.approve(a.submitted(PDF).id, FIRST),
    ),
    "none named at approval": (
        "state-illegal",
        "file.evidence-missing",
        lambda a: a.registrations.approve(a.submitted().id, FIRST),
    ),
}


class Unread:
    """A sender who must not be listened to."""

    def read(self, _size: int, /) -> bytes:
        raise AssertionError


def open_nothing() -> Unread:
    return Unread()


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_by_its_name(archive: Archive, case: str) -> None:
    code, reason, act = REFUSED[case]
    with pytest.raises(ServiceError) as refusal:
        act(archive)
    assert (str(refusal.value.code), refusal.value.reason) == (code, reason)


def test_what_no_file_names_is_not_even_read(archive: Archive) -> None:
    with pytest.raises(NotFound):
        archive.desk.attach(archive.submitted(PDF).id, digest_of(PNG), open_nothing(), CLERK)


def test_without_room_nothing_is_written(archive: Archive) -> None:
    def full() -> None:
        raise Unavailable(ErrorCode.STORAGE_LOW, "full")

    archive.check_room = full
    with pytest.raises(Unavailable):
        archive.attach(archive.submitted(PDF), PDF)
    assert rows(archive) == []


def test_another_key_opens_nothing_and_says_so_and_nobody_is_recorded_as_a_reader(archive: Archive) -> None:
    file = archive.submitted(PDF)
    archive.attach(file, PDF)
    archive.key = bytes(32)
    with pytest.raises(Unavailable, match="another key"):
        archive.desk.show(file.id, digest_of(PDF), FIRST)
    assert facts_of(archive.database, file.id, AuditAction.EVIDENCE_READ) == []


def test_a_scan_moved_to_another_file_or_changed_is_not_shown(archive: Archive) -> None:
    file, other = archive.submitted(PDF, JPEG), archive.submitted(PDF)
    archive.attach(file, PDF)
    archive.attach(file, JPEG)
    archive.attach(other, PDF)
    e = evidence.c
    with archive.database.begin() as unit:
        mine = select(e.sealed).where(e.file_id == file.id, e.sha256 == bytes.fromhex(digest_of(JPEG)))
        stolen = unit.connection.execute(mine).scalar_one()
        unit.connection.execute(update(evidence).where(e.sha256 == bytes.fromhex(digest_of(PDF))).values(sealed=stolen))
    for holder in (file, other):
        with pytest.raises(Unavailable, match="changed"):
            archive.desk.show(holder.id, digest_of(PDF), FIRST)


# -- what a file needs ----------------------------------------------------------------------------


def test_a_file_is_approved_once_every_scan_that_it_names_is_here(archive: Archive) -> None:
    file = archive.submitted(PDF, PNG)
    archive.attach(file, PDF)
    with pytest.raises(ServiceError, match="1 scans are missing"):
        archive.registrations.approve(file.id, FIRST)
    archive.attach(file, PNG)
    archive.registrations.approve(file.id, FIRST)
    assert archive.registrations.approve(file.id, SECOND).state is FileState.APPROVED


def test_a_kind_that_needs_none_is_approved_without(archive: Archive) -> None:
    named = [{"what": "پروانه", "sha256": digest_of(PDF)}]
    file = archive.registrations.submit_file(file_json({**CENTRE, "evidence": named}), CLERK)
    assert archive.registrations.approve(file.id, FIRST).state is FileState.SUBMITTED


def test_a_yes_to_many_passes_over_files_whose_evidence_is_missing(archive: Archive) -> None:
    bulk = BulkDesk(archive.database, archive.registrations, archive.gate, archive.clock)
    job = bulk.start(naming(PDF) + b"\n" + naming(PNG, national_code="0000012378"), CLERK)
    bulk.run(job.id)
    first, second = bulk.results(job.id)
    assert first.file_id is not None
    archive.attach(archive.registrations.file(first.file_id), PDF)
    for officer in (FIRST, SECOND):
        bulk.approve(job.id, officer)
    bulk.run(job.id)
    first, second = bulk.results(job.id)
    assert (first.state, first.code) == (FileState.APPROVED, None)
    assert (second.state, second.code) == (FileState.SUBMITTED, "state-illegal")


# -- how long it is kept --------------------------------------------------------------------------


def test_scans_are_deleted_some_time_after_the_decision_and_the_digest_stays(archive: Archive) -> None:
    waiting = archive.submitted(PNG)
    archive.attach(waiting, PNG)
    file = approved(archive)
    archive.clock.move(days=KEPT.days, seconds=-1)
    assert archive.desk.sweep() == 0
    archive.clock.move(seconds=1)
    assert archive.desk.sweep() == 1
    assert archive.desk.sweep() == 0
    (known,) = archive.desk.of_file(file.id)
    assert known.deleted_at == archive.clock.now()
    assert [row.sealed is None for row in rows(archive)] == [False, True]
    assert facts_of(archive.database, file.id, AuditAction.EVIDENCE_DELETED) == [{"sha256": digest_of(PDF)}]
    assert [item.sha256 for item in archive.registrations.file(file.id).registration.evidence] == [digest_of(PDF)]


def test_a_sweep_ends_after_so_many_and_the_next_one_goes_on(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 2)
    for _ in range(5):
        approved(archive)
    archive.clock.move(days=KEPT.days)
    assert [archive.desk.sweep(2) for _ in range(3)] == [4, 1, 0]


def test_the_time_runs_from_the_decision_whichever_it_was(archive: Archive) -> None:
    ends: dict[str, Callable[[RegistrationFile], object]] = {
        "refused": lambda file: archive.registrations.refuse(file.id, FIRST, "no"),
        "withdrawn": lambda file: archive.registrations.withdraw(file.id, CLERK),
        "expired": lambda _file: None,
    }
    for end in ends.values():
        file = archive.submitted(PDF)
        archive.attach(file, PDF)
        archive.clock.move(hours=1)
        end(file)
    archive.clock.move(days=30)
    assert archive.registrations.expire_files() == 1
    archive.clock.move(days=KEPT.days - 30)
    assert archive.desk.sweep() == 2
    archive.clock.move(days=30)
    assert archive.desk.sweep() == 1
