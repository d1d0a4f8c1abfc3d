"""The ledger followed on disk: whole up to its last checkpoint, whatever cut it off."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from pki.errors import ErrorCode, VerificationFailed
from storage.engine import Database
from storage.ledger import Ledger
from storage.ledger_segments import LedgerSegments, segment_files
from storage.ledger_sources import read_blocks
from tests.storage.story import KEY, NOW, ORIGIN, record
from tests.support.databases import DatabaseMaker


@pytest.fixture
def sealed(database: Database) -> Callable[[int], str]:
    """Record so many events, give them their leaves, and return the note of the checkpoint over them."""
    numbers = count()

    def seal(events: int) -> str:
        for _ in range(events):
            record(database, next(numbers), 1)
        ledger = Ledger(database)
        while ledger.sequence():
            continue
        return ledger.checkpoint(KEY, ORIGIN, NOW)

    return seal


def follower(database: Database, folder: Path, octets: int = 1 << 20) -> LedgerSegments:
    return LedgerSegments(
        database, folder, lambda _c, events: [b'{"row":{"of":%d}}' % len(events)], segment_octets=octets
    )


def sizes(folder: Path) -> list[int]:
    return [block.size for block in read_blocks(folder)]


def test_it_goes_on_where_it_stopped_also_in_another_process(
    database: Database, sealed: Callable[[int], str], tmp_path: Path
) -> None:
    notes = [sealed(3)]
    assert follower(database, tmp_path).follow() == 3
    notes.append(sealed(2))
    again = follower(database, tmp_path)
    assert (again.follow(), again.follow()) == (5, 5)
    blocks = list(read_blocks(tmp_path))
    assert [block.checkpoint for block in blocks] == notes
    assert [len(block.events) for block in blocks] == [3, 2]
    assert blocks[0].rows == [b'{"row":{"of":3}}']
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in segment_files(tmp_path))


@pytest.mark.parametrize("left", [1, 40, 200])
def test_what_was_torn_off_is_written_again(
    database: Database, sealed: Callable[[int], str], tmp_path: Path, left: int
) -> None:
    sealed(3)
    follower(database, tmp_path).follow()
    (path,) = segment_files(tmp_path)
    whole = path.stat().st_size
    sealed(2)
    follower(database, tmp_path).follow()
    data = path.read_bytes()
    path.write_bytes(data[: whole + left])
    assert sizes(tmp_path) == [3]
    assert follower(database, tmp_path).follow() == 5
    assert path.read_bytes() == data


def test_a_full_file_is_followed_by_another(database: Database, sealed: Callable[[int], str], tmp_path: Path) -> None:
    one = follower(database, tmp_path, octets=1)
    for _ in range(3):
        sealed(1)
        one.follow()
    assert [path.stem[-1] for path in segment_files(tmp_path)] == ["0", "1", "2"]
    assert sizes(tmp_path) == [1, 2, 3]
    segment_files(tmp_path)[1].unlink()
    with pytest.raises(VerificationFailed) as found:
        sizes(tmp_path)
    assert found.value.code is ErrorCode.LEDGER_REMOVED


def test_a_database_that_has_less_than_the_files_writes_nothing(
    make_database: DatabaseMaker, database: Database, sealed: Callable[[int], str], tmp_path: Path
) -> None:
    sealed(3)
    follower(database, tmp_path).follow()
    before = segment_files(tmp_path)[0].read_bytes()
    with pytest.raises(VerificationFailed) as found:
        follower(make_database(), tmp_path).follow()
    assert found.value.code is ErrorCode.LEDGER_TRUNCATED
    assert segment_files(tmp_path)[0].read_bytes() == before
