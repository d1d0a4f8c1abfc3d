"""Commits that have a beginning and an end: what is appended between, and what becomes of it when the disk fails."""

import errno
import select
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.custodian.disk_sync import DiskSync
from hsm.custodian.journal import Journal
from hsm.errors import HsmUnavailable
from pki.journal import START, check_continues, parse_line
from tests.hsm.journal_bench import KERNEL, REFUSED, USE, HeldSync, Ticks, all_lines, opened_sync, reopened, write


@pytest.fixture
def sync() -> HeldSync:
    """A way to the disk whose end the test chooses; it is the journal's here."""
    return HeldSync()


def counts(journal: Journal) -> list[int]:
    return [parse_line(line).use.count for line in all_lines(journal)]


def begin(journal: Journal, *entries: int) -> None:
    for count in entries:
        journal.append(replace(USE, count=count))
    assert journal.begin_commit()


def failed(sync: HeldSync) -> HeldSync:
    sync.error = OSError(errno.EIO, "Input/output error")
    return sync


def test_an_entry_is_not_there_before_its_commit_has_ended(journal: Journal) -> None:
    begin(journal, 1, 2)
    assert (journal.head, counts(journal), dict(journal.uses), journal.last_at) == ((0, START), [], {}, None)
    journal.end_commit()
    assert (journal.head[0], counts(journal), journal.uses["issuing"].count, journal.last_at) == (2, [1, 2], 3, USE.at)


def test_what_is_appended_between_goes_with_the_next_commit_and_is_chained(journal: Journal, tmp_path: Path) -> None:
    begin(journal, 1, 2)
    journal.append(replace(USE, count=3))
    journal.end_commit()
    assert (counts(journal), journal.uses["issuing"].count) == ([1, 2], 3)
    assert check_continues(all_lines(journal), 0, START) == journal.head
    journal.append(replace(USE, count=4))
    assert journal.begin_commit()
    journal.end_commit()
    assert counts(journal) == [1, 2, 3, 4]
    assert check_continues(all_lines(journal), 0, START) == journal.head
    head = journal.head
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert (again.head, again.uses["issuing"].count, again.incident) == (head, 10, "")


def test_there_is_no_commit_to_begin_without_entries(journal: Journal, sync: HeldSync) -> None:
    assert not journal.begin_commit()
    assert sync.begun == 0
    with pytest.raises(AssertionError):
        journal.end_commit()


def test_a_sync_that_fails_loses_what_was_written_and_what_was_appended_since(
    journal: Journal, sync: HeldSync, tmp_path: Path
) -> None:
    write(journal, 2)
    head = journal.head
    begin(journal, 10)
    journal.append(replace(USE, count=20))
    failed(sync)
    with pytest.raises(HsmUnavailable, match="Input/output"):
        journal.end_commit()
    assert (journal.head, journal.uses["issuing"].count, counts(journal)) == (head, 2, [1, 1])
    assert not journal.begin_commit()  # nothing is left of what was appended since
    begin(journal, 3)
    journal.end_commit()
    assert counts(journal) == [1, 1, 3]
    assert check_continues(all_lines(journal), 0, START) == journal.head
    head = journal.head
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert (again.head, again.uses["issuing"].count, again.incident) == (head, 5, "")
        assert counts(again) == [1, 1, 3]
        write(again, 1)
        assert check_continues(all_lines(again), 0, START) == again.head


def test_a_shorter_entry_after_a_sync_that_failed_leaves_nothing_of_the_longer_ones(
    journal: Journal, sync: HeldSync, tmp_path: Path
) -> None:
    begin(journal, *range(1, 30))
    failed(sync)
    with pytest.raises(HsmUnavailable):
        journal.end_commit()
    begin(journal, 1)
    journal.end_commit()
    (path,) = (tmp_path / "journal").glob("*.journal")
    header, line, rest = path.read_bytes().split(b"\n", 2)
    assert b'"version":1' in header
    assert parse_line(line).sequence == 1
    assert not rest.strip(b"\0")


def test_refusals_that_are_held_back_outlive_a_sync_that_failed(journal: Journal, sync: HeldSync, ticks: Ticks) -> None:
    for _ in range(10):
        journal.append(REFUSED)
    assert journal.begin_commit()
    failed(sync)
    with pytest.raises(HsmUnavailable):
        journal.end_commit()
    ticks.now += 2
    assert journal.has_to_tell
    assert journal.begin_commit()
    journal.end_commit()
    assert counts(journal) == [6]


@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_a_journal_is_closed_while_a_commit_is_under_way(
    journal: Journal, sync: HeldSync, tmp_path: Path, *, fails: bool
) -> None:
    write(journal, 1)
    begin(journal, 10)
    journal.append(replace(USE, count=20))
    if fails:
        failed(sync)
    journal.close()
    assert not sync.under_way
    with closing(reopened(tmp_path / "journal")) as again:
        assert (counts(again), again.incident) == ([1] if fails else [1, 10], "")


def test_a_commit_that_the_kernel_does_not_take_on_waits_for_the_disk(journal: Journal, sync: HeldSync) -> None:
    sync.takes_on = False
    journal.append(USE)
    assert not journal.begin_commit()
    assert (sync.begun, journal.head[0], len(all_lines(journal))) == (1, 1, 1)
    sync.takes_on = True
    begin(journal, 2)
    journal.end_commit()
    assert counts(journal) == [1, 2]


def test_a_commit_says_through_its_descriptor_that_it_has_ended(tmp_path: Path) -> None:
    kernel = opened_sync(KERNEL)
    assert isinstance(kernel, DiskSync)
    with closing(kernel), closing(Journal(tmp_path / "journal", Ticks(), sync=kernel)) as journal:
        assert journal.descriptor is not None
        for number in range(1, 4):
            begin(journal, number)
            assert select.select([journal.descriptor], [], [], 20)[0]
            journal.end_commit()
            assert not select.select([journal.descriptor], [], [], 0)[0]
        assert counts(journal) == [1, 2, 3]
    with closing(reopened(tmp_path / "other")) as waiting:
        assert waiting.descriptor is None
