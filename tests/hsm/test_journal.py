from __future__ import annotations

import errno
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import timeit
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hsm.custodian.journal import DAMAGED, Journal
from hsm.custodian.refusal_flood import MAX_KINDS, OTHER_KEYS, SINGLY_IN_ALL, SINGLY_OF_A_KIND
from hsm.errors import HsmUnavailable
from pki.errors import ErrorCode, VerificationFailed
from pki.journal import DONE, START, KeyUse, check_continues, parse_line

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
USE = KeyUse(at=NOW, role="worker", uid=998, key="issuing", act="certificate", count=1, digest=bytes(32), outcome=DONE)
REFUSED = replace(USE, outcome=ErrorCode.HSM_PURPOSE_REFUSED)


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def journal(tmp_path: Path, ticks: Ticks) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal", ticks)) as opened:
        yield opened


def reopened(folder: Path) -> Journal:
    return Journal(folder, Ticks())


def all_lines(journal: Journal, after: int = 0, limit: int = 7) -> list[bytes]:
    lines: list[bytes] = []
    while found := journal.read(after, limit):
        lines += found
        after = parse_line(found[-1]).sequence
    return lines


def write(journal: Journal, entries: int, /, **changes: object) -> None:
    for _ in range(entries):
        journal.append(replace(USE, **changes))  # type: ignore[arg-type]
    journal.commit()


def newest(folder: Path) -> Path:
    return max(folder.glob("*.journal"))


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


def test_a_journal_goes_on_after_a_restart(journal: Journal, tmp_path: Path) -> None:
    write(journal, 3)
    write(journal, 1, at=NOW + timedelta(minutes=5), key="tokens", count=40)
    write(journal, 1, at=NOW + timedelta(minutes=3))
    head = journal.head
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert again.head == head
        assert again.last_at == NOW + timedelta(minutes=5)
        assert {label: use.count for label, use in again.uses.items()} == {"issuing": 4, "tokens": 40}
        assert again.incident == ""
        write(again, 1)
        assert check_continues(all_lines(again), 0, START) == again.head


def test_released_files_are_gone_and_counts_stay(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with closing(Journal(folder, Ticks(), segment_octets=2000)) as journal:
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


# --- floods of refusals ---------------------------------------------------------------------------


def test_a_flood_of_equal_refusals_is_told_in_few_lines(journal: Journal, ticks: Ticks) -> None:
    digests = [sha256(str(number).encode()).digest() for number in range(1000)]
    for digest in digests:
        journal.append(replace(REFUSED, digest=digest))
    journal.commit()
    assert journal.head[0] == SINGLY_OF_A_KIND
    seen = [journal.has_to_tell]
    ticks.now += 1.1
    seen.append(journal.has_to_tell)
    journal.commit()
    seen.append(journal.has_to_tell)
    assert seen == [False, True, False]
    last = parse_line(all_lines(journal)[-1]).use
    assert last.count == 1000 - SINGLY_OF_A_KIND
    assert last.digest == sha256(b"".join(digests[SINGLY_OF_A_KIND:])).digest()


def test_a_flood_does_not_hold_back_uses(journal: Journal) -> None:
    for _ in range(100):
        journal.append(REFUSED)
        journal.append(USE)
    journal.commit()
    assert journal.uses["issuing"].count == 100


def test_a_flood_of_invented_keys_is_told_in_few_lines(journal: Journal, ticks: Ticks) -> None:
    for number in range(5000):
        journal.append(replace(REFUSED, key=f"invented-{number}"))
    ticks.now += 2
    journal.commit()
    uses = [parse_line(line).use for line in all_lines(journal)]
    assert len(uses) <= SINGLY_IN_ALL + MAX_KINDS + 1
    assert sum(use.count for use in uses) == 5000
    assert uses[-1].key == OTHER_KEYS


def test_a_single_refusal_that_was_held_back_is_told_as_itself(journal: Journal, ticks: Ticks) -> None:
    for number in range(SINGLY_OF_A_KIND + 1):
        journal.append(replace(REFUSED, digest=bytes((number,)) * 32))
    ticks.now += 1
    journal.commit()
    last = parse_line(all_lines(journal)[-1]).use
    assert (last.count, last.digest) == (1, bytes((SINGLY_OF_A_KIND,)) * 32)


def test_a_flood_is_told_when_the_journal_closes(journal: Journal, tmp_path: Path) -> None:
    for _ in range(50):
        journal.append(REFUSED)
    journal.commit()
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert sum(parse_line(line).use.count for line in all_lines(again)) == 50


def test_a_name_that_cannot_be_written_down_is_a_star(journal: Journal) -> None:
    journal.append(replace(REFUSED, key="a key\nwith a line feed"))
    journal.commit()
    assert parse_line(all_lines(journal)[0]).use.key == OTHER_KEYS


# --- disks that fail ------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_leaves_no_trace(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, 2)
    head = journal.head
    write_octets = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_octets(descriptor, data[: len(data) // 2], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        journal.append(USE)
        with pytest.raises(HsmUnavailable, match="No space left"):
            journal.commit()
    assert journal.head == head
    assert journal.uses["issuing"].count == 2
    assert len(all_lines(journal)) == 2
    write(journal, 1)
    assert check_continues(all_lines(journal), 0, START) == journal.head
    journal.close()
    with closing(reopened(tmp_path / "journal")) as again:
        assert (again.head[0], again.incident) == (3, "")


def test_a_disk_that_is_nearly_full_takes_what_still_fits(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    write_octets = os.pwrite

    def narrow(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_octets(descriptor, data, offset)

    write(journal, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", narrow)
        for _ in range(300):  # more than was reserved with the first
            write(journal, 1)
    assert journal.head[0] == 301
    assert len(all_lines(journal)) == 301


def test_an_entry_that_did_not_reach_the_disk_is_not_there(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        for _ in range(2):
            journal.append(USE)
            with pytest.raises(HsmUnavailable):
                journal.commit()
    assert journal.head == (0, START)
    write(journal, 1)
    assert check_continues(all_lines(journal), 0, START) == journal.head


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HsmUnavailable):
        Journal(tmp_path / "file" / "journal", Ticks())


# --- torn and damaged files -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, str]:
    """The octets of a journal after its first five entries and after three more, and its file's name."""
    folder = tmp_path_factory.mktemp("written")
    with closing(reopened(folder)) as journal:
        write(journal, 5)
        sound = newest(folder).read_bytes()
        write(journal, 3)
        return sound, newest(folder).read_bytes(), newest(folder).name


@pytest.mark.parametrize("zeros", [0, 5000])
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_tail_is_cut(written: tuple[bytes, bytes, str], tmp_path: Path, zeros: int, data: st.DataObject) -> None:
    sound, longer, name = written
    end = data.draw(st.integers(len(sound), len(longer)))
    folder = tmp_path / f"{zeros}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(longer[:end] + bytes(zeros))
    with closing(reopened(folder)) as journal:
        assert journal.incident == ""
        assert 5 <= journal.head[0] <= 8
        assert len(all_lines(journal)) == journal.head[0]
        write(journal, 1)
        head = journal.head
        assert check_continues(all_lines(journal), 0, START) == head
    with closing(reopened(folder)) as journal:
        assert journal.head == head


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_moved_aside_and_its_reader_sees_a_gap(
    written: tuple[bytes, bytes, str], tmp_path: Path, data: st.DataObject
) -> None:
    _, octets, name = written
    begin, end = octets.index(b"\n") + 1, octets.rindex(b"\n", 0, -1)  # any line but the last
    at = data.draw(st.integers(begin, end - 1))
    octet = data.draw(st.integers(1, 255).filter(lambda octet: octet != octets[at]))
    folder = tmp_path / "journal"
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.journal"):
        path.unlink()
    (folder / name).write_bytes(octets[:at] + bytes((octet,)) + octets[at + 1 :])
    with closing(reopened(folder)) as journal:
        assert name in journal.incident
        assert list((folder / DAMAGED).glob(f"{name}.*"))
        write(journal, 1)
        assert journal.head[0] > 8
        taken = check_continues(octets.splitlines()[1:9], 0, START)
        with pytest.raises(VerificationFailed):
            check_continues(journal.read(8, 10), *taken)
        begun = parse_line(all_lines(journal, 8)[0])
        assert check_continues(all_lines(journal, 8), begun.sequence - 1, begun.previous) == journal.head
        assert journal.uses["issuing"].count >= 1


def test_a_file_without_a_header_is_moved_aside_and_counts_come_from_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with closing(Journal(folder, Ticks(), segment_octets=1000)) as journal:
        for _ in range(10):
            write(journal, 1)
        kept = all_lines(journal)
    damaged = newest(folder)
    damaged.write_bytes(b"\x00" * 300)
    with closing(reopened(folder)) as again:
        assert damaged.name in again.incident
        first = int(damaged.stem)
        assert again.uses["issuing"].count == first - 1
        assert again.read(0, 1) == kept[:1]
        write(again, 1)
        assert parse_line(again.read(first - 1, 1)[0]).sequence > first
    with closing(reopened(folder)) as again:
        assert again.incident == ""


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b'{"first":2,"last_at":null,"previous":"00","uses":{},"version":1}',
        b'{"first":1,"last_at":null,"previous":"00","uses":{},"version":1}',
        b'{"first":1,"last_at":7,"previous":"' + b"00" * 32 + b'","uses":{},"version":1}',
        b'{"first":1,"last_at":null,"previous":"' + b"00" * 32 + b'","uses":{"k":5},"version":1}',
        b'{"first":1,"last_at":null,"previous":"' + b"00" * 32 + b'","uses":[],"version":1}',
    ],
)
def test_a_header_that_says_nothing_of_use_is_damage(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "0000000000000001.journal").write_bytes(header + b"\n")
    with closing(reopened(tmp_path)) as journal:
        assert journal.incident
        write(journal, 1)


def test_what_was_moved_aside_is_never_overwritten(tmp_path: Path) -> None:
    for content in (b"first\n", b"second\n"):
        for path in tmp_path.glob("*.journal"):
            path.unlink()
        (tmp_path / "0000000000000001.journal").write_bytes(content)
        reopened(tmp_path).close()
    assert {path.read_bytes() for path in (tmp_path / DAMAGED).iterdir()} == {b"first\n", b"second\n"}


# --- any order of acts ----------------------------------------------------------------------------


class JournalMachine(RuleBasedStateMachine):
    """Entries, commits, restarts (sound, torn) and releases in any order, against a list in memory."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        for path in self.folder.glob("*.journal"):
            path.unlink()
        self.journal = self.opened()
        self.durable: list[bytes] = []
        self.uncommitted = 0
        self.signed = 0
        self.released = 0

    def opened(self) -> Journal:
        return Journal(self.folder, Ticks(), segment_octets=1500)

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        self.journal.append(replace(USE, count=count))
        self.uncommitted += count

    @rule()
    def commit(self) -> None:
        before = self.journal.head
        self.journal.commit()
        new: list[bytes] = []
        while found := self.journal.read(before[0] + len(new), 3):
            new += found
        assert check_continues(new, *before) == self.journal.head
        self.durable += new
        self.signed += self.uncommitted
        self.uncommitted = 0

    @rule(torn=st.booleans())
    def restart(self, *, torn: bool) -> None:
        self.journal.close()
        if torn:
            with newest(self.folder).open("ab") as file:
                file.write(b'{"act":"certificate","at":"2026-')
        self.journal = self.opened()
        self.uncommitted = 0

    @precondition(lambda self: self.durable)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.released = max(self.released, data.draw(st.integers(0, len(self.durable))))
        self.journal.release(self.released)

    @invariant()
    def everything_durable_that_was_not_taken_is_there(self) -> None:
        assert self.journal.incident == ""
        assert self.journal.head[0] == len(self.durable)
        assert all_lines(self.journal, self.released) == self.durable[self.released :]
        counted = self.journal.uses.get("issuing")
        assert (counted.count if counted else 0) == self.signed

    def teardown(self) -> None:
        self.journal.close()


def test_a_journal_as_a_machine_never_loses_an_entry(tmp_path: Path) -> None:
    class Machine(JournalMachine):
        folder = tmp_path / "journal"

    Machine.folder.mkdir()
    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=30))


# --- killed at any moment -------------------------------------------------------------------------

_WRITER = """
import random, sys
from datetime import UTC, datetime
from pathlib import Path
from hsm.custodian.journal import Journal
from pki.journal import KeyUse
at = datetime(2026, 11, 22, tzinfo=UTC)
use = KeyUse(at=at, role="worker", uid=1, key="issuing", act="token", count=1, digest=bytes(32), outcome="done")
journal = Journal(Path(sys.argv[1]), lambda: 0.0, segment_octets=20_000)
while True:
    for _ in range(random.randrange(1, 20)):
        journal.append(use)
    journal.commit()
    sys.stdout.buffer.write(b"%d %s\\n" % (journal.head[0], journal.head[1].hex().encode()))
    sys.stdout.buffer.flush()
    if random.random() < 0.1:
        journal.release(journal.head[0] - 200)
"""


def _killed_writer(folder: Path, seconds: float) -> list[tuple[int, bytes]]:
    """Let a custodian's journal be written by a process of its own, kill it, return what it had made durable."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        said = first + child.stdout.read()
    whole = [line.split() for line in said.split(b"\n")[:-1]]
    return [(int(sequence), bytes.fromhex(digest.decode())) for sequence, digest in whole]


def _check_after_kill(folder: Path, committed: list[tuple[int, bytes]]) -> None:
    with closing(reopened(folder)) as journal:
        assert journal.incident == ""
        sequence, _ = journal.head
        assert sequence >= committed[-1][0]
        assert journal.uses["issuing"].count == sequence
        after = max(0, committed[-1][0] - 100)
        lines = all_lines(journal, after, 1000)
        position = (parse_line(lines[0]).sequence - 1, parse_line(lines[0]).previous)
        seen = {position[0]: position[1]}
        for line in lines:
            position = check_continues((line,), *position)
            seen[position[0]] = position[1]
        assert position == journal.head
        assert all(seen[number] == digest for number, digest in committed if number > after)


def test_nothing_that_was_committed_is_lost_to_a_kill(tmp_path: Path) -> None:
    for _ in range(4):
        _check_after_kill(tmp_path, _killed_writer(tmp_path, secrets.randbelow(200) / 1000))


@pytest.mark.stress
def test_nothing_that_was_committed_is_lost_to_a_hundred_kills(tmp_path: Path) -> None:
    for _ in range(100):
        _check_after_kill(tmp_path, _killed_writer(tmp_path, secrets.randbelow(300) / 1000))


def test_appending_costs_little(journal: Journal) -> None:
    if sys.gettrace() is not None:
        pytest.skip("traced code tells no time")
    times = timeit.repeat(lambda: journal.append(USE), timer=time.process_time, number=500, repeat=10)
    assert min(times) / 500 < 60e-6  # 3 µs on an idle machine; the margin is for a busy one


def test_the_header_carries_the_counts(tmp_path: Path) -> None:
    with closing(Journal(tmp_path, Ticks(), segment_octets=100)) as journal:
        write(journal, 2)
        write(journal, 1)
        header = json.loads(newest(tmp_path).read_bytes().split(b"\n")[0])
    assert header["uses"] == {"issuing": [2, "2026-11-22T09:00:00.000000Z"]}
    assert (header["first"], header["last_at"]) == (3, "2026-11-22T09:00:00.000000Z")
