import json
import sys
import time
import timeit
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from hsm.custodian.disk_sync import DiskSync
from hsm.custodian.journal import Journal
from hsm.errors import HsmUnavailable
from pki.journal import CLOCK, START, check_continues, parse_line
from tests.hsm.journal_bench import NOW, REFUSED, USE, Ticks, all_lines, newest, reopened, write


def test_a_journal_begins_empty(journal: Journal) -> None:
    assert journal.head == (0, START)
    assert (journal.has_to_tell, journal.last_at, dict(journal.uses)) == (False, None, {})
    assert journal.read(0, 10) == []


def test_what_is_committed_is_read_as_one_chain(journal: Journal) -> None:
    write(journal, 3)
    write(journal, 17, key="tokens", act="token")
    lines = all_lines(journal)
    assert check_continues(lines, 0, START) == journal.head
    assert journal.head[0] == 20
    assert check_continues(journal.read(12, 100), 12, check_continues(lines[:12], 0, START)[1]) == journal.head


def test_what_is_not_committed_is_nowhere(journal: Journal, tmp_path: Path) -> None:
    journal.append(USE)
    assert journal.head == (0, START)
    assert journal.read(0, 10) == []
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert again.head == (0, START)


def test_a_journal_goes_on_after_a_restart(journal: Journal, tmp_path: Path, sync: DiskSync | None) -> None:
    write(journal, 3)
    write(journal, 1, at=NOW + timedelta(minutes=5), key="tokens", count=40)
    write(journal, 1, at=NOW + timedelta(minutes=3))
    head = journal.head
    journal.close()
    with closing(reopened(tmp_path / "journal", sync)) as again:
        assert again.head == head
        assert again.last_at == NOW + timedelta(minutes=5)
        assert {label: use.count for label, use in again.uses.items()} == {"issuing": 4, "tokens": 40}
        assert again.incident == ""
        write(again, 1)
        assert check_continues(all_lines(again), 0, START) == again.head


def test_an_accepted_clock_is_what_the_journal_goes_on_from(journal: Journal, tmp_path: Path) -> None:
    write(journal, 1, at=NOW + timedelta(days=1))
    write(journal, 1, at=NOW, key="", act=CLOCK)
    assert journal.last_at == NOW
    write(journal, 1, at=NOW + timedelta(minutes=1))
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert again.last_at == NOW + timedelta(minutes=1)
        assert set(again.uses) == {"issuing"}


def test_released_files_are_gone_and_counts_stay(tmp_path: Path, sync: DiskSync | None) -> None:
    folder = tmp_path / "journal"
    with closing(Journal(folder, Ticks(), sync=sync, segment_octets=2000)) as journal:
        for number in range(60):
            write(journal, 1, at=NOW + timedelta(seconds=number))
        lines = all_lines(journal)
        assert check_continues(lines, 0, START) == journal.head
        before = len(list(folder.glob("*.journal")))
        journal.release(30)
        assert 1 < len(list(folder.glob("*.journal"))) < before
        kept = parse_line(journal.read(0, 1)[0]).sequence
        assert 1 < kept <= 31
        assert all_lines(journal, 30) == lines[30:]
        journal.release(60)
        assert len(list(folder.glob("*.journal"))) == 1
    with closing(reopened(folder)) as again:
        assert again.head == (60, check_continues(lines, 0, START)[1])
        assert again.uses["issuing"].count == 60
        assert again.uses["issuing"].last_at == NOW + timedelta(seconds=59)


def test_refusals_are_no_uses(journal: Journal) -> None:
    journal.append(REFUSED)
    journal.commit()
    assert journal.head[0] == 1
    assert dict(journal.uses) == {}
    assert journal.last_at == NOW


def test_one_journal_has_one_custodian(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(HsmUnavailable, match="another custodian"):
        Journal(tmp_path / "journal", Ticks())
    write(journal, 1)


def test_the_folder_is_the_owners_alone(journal: Journal, tmp_path: Path) -> None:
    write(journal, 1)
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0
    assert newest(tmp_path / "journal").stat().st_mode & 0o077 == 0


def test_appending_costs_little(journal: Journal) -> None:
    if sys.gettrace() is not None:
        pytest.skip("traced code tells no time")
    times = timeit.repeat(lambda: journal.append(USE), timer=time.process_time, number=500, repeat=10)
    assert min(times) / 500 < 60e-6  # 3 µs on an idle machine; the margin is for a busy one


def test_the_header_carries_the_counts(tmp_path: Path, sync: DiskSync | None) -> None:
    with closing(Journal(tmp_path, Ticks(), sync=sync, segment_octets=100)) as journal:
        write(journal, 2)
        write(journal, 1)
        header = json.loads(newest(tmp_path).read_bytes().split(b"\n")[0])
    assert header["uses"] == {"issuing": [2, "2026-11-22T09:00:00.000000Z"]}
    assert (header["first"], header["last_at"]) == (3, "2026-11-22T09:00:00.000000Z")
