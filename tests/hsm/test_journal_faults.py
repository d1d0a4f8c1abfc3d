"""Disks that fail under a journal, and files that were torn or damaged."""

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsm.custodian.disk_sync import DiskSync
from hsm.custodian.journal import DAMAGED, Journal
from hsm.errors import HsmUnavailable
from pki.errors import VerificationFailed
from pki.journal import START, check_continues, parse_line
from tests.hsm.journal_bench import USE, Ticks, all_lines, newest, reopened, write
from tests.support.descriptors import open_descriptors

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


def test_an_entry_that_did_not_reach_the_disk_is_not_there(
    journal: Journal, sync: DiskSync | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, 1)  # what is reserved with it is synced by the journal itself
    head = journal.head

    def broken(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        if sync is not None:
            end = sync.end

            def broken_end() -> None:
                end()
                broken()

            patch.setattr(sync, "end", broken_end)
            journal.append(USE)
            with pytest.raises(HsmUnavailable, match="Input/output"):
                journal.commit()
        patch.setattr(os, "fdatasync", broken)  # a torn end is mended before anything else
        for _ in range(2):
            journal.append(USE)
            with pytest.raises(HsmUnavailable, match="Input/output"):
                journal.commit()
    assert journal.head == head
    write(journal, 1)
    assert check_continues(all_lines(journal), 0, START) == journal.head


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HsmUnavailable):
        Journal(tmp_path / "file" / "journal", Ticks())


def test_a_disk_that_fails_at_the_start_is_said_and_the_journal_is_let_go(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(journal, 2)
    head = journal.head
    journal.close()
    with newest(tmp_path / "journal").open("ab") as file:
        file.write(b"torn")

    def broken(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", broken)
        before = open_descriptors()
        with pytest.raises(HsmUnavailable, match="Input/output"):
            reopened(tmp_path / "journal")
        assert open_descriptors() <= before
    with closing(reopened(tmp_path / "journal")) as again:
        assert again.head == head


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
