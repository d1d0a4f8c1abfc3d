"""The custodian's own journal files, taken by the worker: restarts, full files, damage and deletion."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm.client import JournalPart
from hsm.custodian.journal import Journal
from pki.journal import START
from storage.engine import Database, open_database
from storage.key_use_events import JournalPlace
from storage.key_uses import KeyUses
from storage.ledger import Ledger
from storage.migrate import upgrade
from tests.storage.story import NOW, ORIGIN, PUBLIC
from tests.support.clock import FakeClock
from tests.support.journals import key_use
from webapp.key_journal import JournalTaker

CUSTODIAN = "custodian-0"


class FileCustodian:
    """A custodian reduced to its journal; small files, so that there are several."""

    custodians = 1

    def __init__(self, folder: Path) -> None:
        self.folder, self.written = folder, 0
        self.start()

    def start(self) -> None:
        self._journal = Journal(self.folder, time.monotonic, segment_octets=2000)

    def stop(self) -> None:
        self._journal.close()

    def use(self, count: int) -> None:
        for _ in range(count):
            self.written += 1
            self._journal.append(key_use(self.written))
            self._journal.commit()

    def journal(self, index: int, after: int, limit: int) -> JournalPart:
        assert index == 0
        return JournalPart(tuple(self._journal.read(after, limit)), *self._journal.head)

    def release_journal(self, index: int, through: int) -> None:
        assert index == 0
        self._journal.release(through)


@pytest.fixture
def custodian(tmp_path: Path) -> Iterator[FileCustodian]:
    made = FileCustodian(tmp_path / "journal")
    yield made
    made.stop()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'mohr.db'}")
    upgrade(opened)
    yield opened
    opened.close()


def sweep(database: Database, custodian: FileCustodian) -> JournalPlace:
    JournalTaker(KeyUses(database), custodian, FakeClock(NOW)).sweep()
    return KeyUses(database).place(CUSTODIAN)


def intact(database: Database) -> bool:
    return Ledger(database).verify(PUBLIC, ORIGIN, None).intact


def test_files_are_taken_and_let_go_across_restarts(database: Database, custodian: FileCustodian) -> None:
    for count in (30, 0, 1, 25):
        custodian.use(count)
        sweep(database, custodian)
        custodian.stop()
        custodian.start()
    assert sweep(database, custodian) == JournalPlace(1, 56, custodian.journal(0, 0, 1).hash)
    assert KeyUses(database).totals()["ca-persons"].count == 56
    assert len(list(custodian.folder.glob("*.journal"))) == 1
    assert intact(database)


def delete_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def delete_the_newest(folder: Path) -> None:
    max(folder.glob("*.journal")).unlink()


def edit_a_line(folder: Path) -> None:
    newest = max(folder.glob("*.journal"))
    newest.write_bytes(newest.read_bytes().replace(b'"uid":1000', b'"uid":1001', 1))


def cut_the_last_line(folder: Path) -> None:
    newest = max(folder.glob("*.journal"))
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[:-1]))


FOUND = [
    *((fault, taken) for fault in (delete_everything, delete_the_newest, edit_a_line) for taken in (True, False)),
    (cut_the_last_line, True),
]


def tampered(database: Database, custodian: FileCustodian, fault: Callable[[Path], None], *, taken: bool) -> None:
    """Let ten uses be taken and three more, if `taken`; tamper with the files of a stopped custodian; go on."""
    custodian.use(10)
    sweep(database, custodian)
    custodian.use(3)
    if taken:
        sweep(database, custodian)
    custodian.stop()
    fault(custodian.folder)
    custodian.start()
    sweep(database, custodian)
    custodian.use(5)
    sweep(database, custodian)


@pytest.mark.parametrize(("fault", "taken"), FOUND)
def test_a_journal_that_was_tampered_with_on_disk_raises_the_alarm_and_goes_on(
    database: Database, custodian: FileCustodian, fault: Callable[[Path], None], *, taken: bool
) -> None:
    tampered(database, custodian, fault, taken=taken)
    place = KeyUses(database).place(CUSTODIAN)
    (gap,) = KeyUses(database).open_gaps()
    assert place.chain == 2
    assert place.hash == custodian.journal(0, 0, 1).hash != START
    assert not intact(database)
    KeyUses(database).acknowledge(gap.id, "officer-1", "a test", NOW)
    assert intact(database)


def test_a_tail_that_was_cut_before_it_was_taken_is_seen_by_nobody(
    database: Database, custodian: FileCustodian
) -> None:
    """The limit of a journal on one disk: whoever is the custodian's user has the second before the worker's sweep."""
    tampered(database, custodian, cut_the_last_line, taken=False)
    assert KeyUses(database).open_gaps() == ()
