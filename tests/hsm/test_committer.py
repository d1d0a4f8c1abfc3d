"""The journal's own thread: nothing is said to be durable before it is, and a failure takes everything behind it."""

import select
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsm.custodian.committer import Committer
from hsm.custodian.journal import Commit, Journal
from hsm.errors import HsmUnavailable
from pki.journal import DONE, KeyUse

USE = KeyUse(
    at=datetime(2026, 11, 22, tzinfo=UTC),
    role="server",
    uid=1,
    key="ca",
    act="note",
    count=1,
    digest=bytes(32),
    outcome=DONE,
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "0", time.monotonic)
    yield made
    made.close()


@pytest.fixture
def committer(journal: Journal) -> Iterator[Committer]:
    made = Committer(journal)
    yield made
    made.close()


def _end(committer: Committer) -> HsmUnavailable | None:
    assert select.select([committer.fileno()], [], [], 5)[0]
    return committer.end()


def test_what_comes_meanwhile_is_for_the_next_commit(journal: Journal, committer: Committer) -> None:
    assert not committer.begin()
    journal.append(USE)
    assert committer.begin()
    journal.append(USE)
    assert not committer.begin()
    assert journal.head[0] == 0
    assert _end(committer) is None
    assert journal.head[0] == 1
    assert committer.begin()
    assert _end(committer) is None
    assert (journal.head[0], len(journal.read(0, 10)), journal.uses["ca"].count) == (2, 2, 2)


def test_a_failure_takes_what_was_appended_since(
    journal: Journal, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_commit: Commit) -> None:
        raise HsmUnavailable("the disk is full")

    journal.append(USE)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "write", fail)
        assert committer.begin()
        journal.append(USE)
        failure = _end(committer)
    assert failure is not None
    assert not journal.pending
    journal.append(USE)
    assert committer.begin()
    assert _end(committer) is None
    assert len(journal.read(0, 10)) == journal.head[0] == 1


def test_closing_waits_for_the_commit_under_way(journal: Journal) -> None:
    committer = Committer(journal)
    journal.append(USE)
    committer.begin()
    committer.close()
    assert journal.head[0] == 1
