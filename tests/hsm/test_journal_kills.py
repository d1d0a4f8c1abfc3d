"""A journal whose writer is killed at any moment."""

import secrets
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pki.journal import check_continues, parse_line
from tests.hsm.journal_bench import KINDS_OF_SYNC, all_lines, opened_sync, reopened

_WRITER = """
import random, sys
from datetime import UTC, datetime
from pathlib import Path
from hsm.custodian.disk_sync import disk_sync
from hsm.custodian.journal import Journal
from pki.journal import KeyUse
at = datetime(2026, 11, 22, tzinfo=UTC)
use = KeyUse(at=at, role="worker", uid=1, key="issuing", act="token", count=1, digest=bytes(32), outcome="done")
sync = disk_sync() if sys.argv[2] == "kernel" else None
journal = Journal(Path(sys.argv[1]), lambda: 0.0, sync=sync, segment_octets=20_000)
while True:
    for _ in range(random.randrange(1, 20)):
        journal.append(use)
    if journal.begin_commit():
        for _ in range(random.randrange(3)):
            journal.append(use)
        journal.end_commit()
    sys.stdout.buffer.write(b"%d %s\\n" % (journal.head[0], journal.head[1].hex().encode()))
    sys.stdout.buffer.flush()
    if random.random() < 0.1:
        journal.release(journal.head[0] - 200)
"""


def _killed_writer(folder: Path, kind: str, seconds: float) -> list[tuple[int, bytes]]:
    """Let a custodian's journal be written by a process of its own, kill it, return what it had made durable."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), kind], stdout=subprocess.PIPE) as child:
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


@pytest.fixture(params=KINDS_OF_SYNC)
def kind(request: pytest.FixtureRequest) -> str:
    """Each way to the disk that there is here."""
    found = opened_sync(request.param)
    if found is not None:
        found.close()
    return str(request.param)


def test_nothing_that_was_committed_is_lost_to_a_kill(tmp_path: Path, kind: str) -> None:
    for _ in range(4):
        _check_after_kill(tmp_path, _killed_writer(tmp_path, kind, secrets.randbelow(200) / 1000))


@pytest.mark.stress
def test_nothing_that_was_committed_is_lost_to_a_hundred_kills(tmp_path: Path, kind: str) -> None:
    for _ in range(100):
        _check_after_kill(tmp_path, _killed_writer(tmp_path, kind, secrets.randbelow(300) / 1000))
