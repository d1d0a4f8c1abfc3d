from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pki.errors import ErrorCode, Unavailable
from storage.turns import WriteTurns

LONG, SHORT = timedelta(seconds=20), timedelta(milliseconds=100)
HOLD = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print('mine', flush=True)"


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    path = tmp_path / "mohr.db"
    path.touch(mode=0o600)
    return path


def turn_file(database_file: Path) -> Path:
    return database_file.with_name("mohr.db-turn")


@contextmanager
def another_process_writes(database_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process hold the turn until it is killed."""
    with WriteTurns(database_file, LONG).turn():
        pass  # its file is there from now on
    command = [sys.executable, "-c", f"{HOLD}; sys.stdin.read()", str(turn_file(database_file))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mine\n"
        yield process
        process.kill()


def test_a_process_that_is_killed_leaves_its_turn_to_the_next(database_file: Path) -> None:
    got = threading.Event()

    def wait() -> None:
        with WriteTurns(database_file, LONG).turn():
            got.set()

    with another_process_writes(database_file) as other:
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.2)
        other.kill()
        waiting.join(20)
        assert got.is_set()


def test_who_has_waited_too_long_is_told_and_takes_no_later_turn(database_file: Path) -> None:
    with another_process_writes(database_file):
        for _ in range(3):
            with pytest.raises(Unavailable) as caught, WriteTurns(database_file, SHORT).turn():
                raise AssertionError("two writers at once")
            assert caught.value.code is ErrorCode.DATABASE_UNAVAILABLE
    with WriteTurns(database_file, LONG).turn():
        pass


def test_threads_and_openings_of_one_process_take_turns_too(database_file: Path) -> None:
    openings = [WriteTurns(database_file, LONG) for _ in range(2)]
    inside, most = [0], [0]

    def write(turns: WriteTurns) -> None:
        for _ in range(50):
            with turns.turn():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=write, args=(openings[number % 2],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (inside, most) == ([0], [1])


def test_an_exception_ends_a_turn(database_file: Path) -> None:
    turns = WriteTurns(database_file, SHORT)
    with pytest.raises(KeyError), turns.turn():
        raise KeyError
    with turns.turn():
        pass


def test_whoever_may_open_the_database_may_wait_for_a_turn(database_file: Path) -> None:
    database_file.chmod(0o660)
    with WriteTurns(database_file, LONG).turn():
        status = turn_file(database_file).stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert (status.st_uid, status.st_gid) == (database_file.stat().st_uid, database_file.stat().st_gid)


def test_a_link_in_the_place_of_the_file_is_not_followed(database_file: Path, tmp_path: Path) -> None:
    turn_file(database_file).symlink_to(tmp_path / "elsewhere")
    with WriteTurns(database_file, SHORT).turn():  # SQLite's own lock is enough
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_the_turn_is_held_from_its_begin_to_its_end(database_file: Path) -> None:
    with WriteTurns(database_file, LONG).turn():
        descriptor = os.open(turn_file(database_file), os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
