"""Homes for ceremonies: one pilot root a session, copied for each test."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ca.ceremony.transcript import Transcript
from tests.ca.ceremony.rehearsal import Fuse, Rehearsal


@pytest.fixture
def killable(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    """Put a fuse before and after each line of a transcript."""
    fuse, write = Fuse(), Transcript._write

    def written(self: Transcript, line: bytes) -> None:
        fuse.point()
        write(self, line)
        fuse.point()

    monkeypatch.setattr(Transcript, "_write", written)
    return fuse


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Rehearsal]:
    """A home with nothing in it."""
    rehearsal = Rehearsal(tmp_path)
    yield rehearsal
    rehearsal.close()


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """The home that the pilot-root ceremony made; not to be changed."""
    rehearsal = Rehearsal(tmp_path_factory.mktemp("founded"))
    rehearsal.example("pilot-root")
    rehearsal.close()
    return rehearsal


Copier = Callable[..., Rehearsal]


@pytest.fixture
def copy_of_founded(founded: Rehearsal) -> Copier:
    """Copy the founded home into a folder; tokens and papers come along."""

    def copied(path: Path, fuse: Fuse | None = None) -> Rehearsal:
        shutil.copytree(founded.path, path, dirs_exist_ok=True)
        rehearsal = Rehearsal(path, fuse=fuse or Fuse(), clock=copy.copy(founded.clock))
        rehearsal.persons.papers = dict(founded.persons.papers)
        rehearsal.home.service = founded.home.service
        rehearsal.home.published = dict(founded.home.published)
        rehearsal.workshop.tokens = dict(founded.workshop.tokens)
        rehearsal.clock.move(hours=1)
        return rehearsal

    return copied


@pytest.fixture
def pilot(copy_of_founded: Copier, tmp_path: Path) -> Iterator[Rehearsal]:
    """A home whose root is under custody."""
    rehearsal = copy_of_founded(tmp_path)
    yield rehearsal
    rehearsal.close()
