"""Nothing that is published ever contradicts the history: random histories against a plain account of what was done.

A history that fails is told with its seed and as the shortest one found that fails as well.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from tests.ca.status.histories_plan import Step, plan, shortest
from tests.ca.status.histories_player import Player
from tests.ca.status.histories_world import Ceremony, Ground, Stage
from tests.support.databases import ENGINES

LENGTH, MANY, SLICE = 25, 10_000, 100
SAMPLES = {"sqlite": 16, "postgresql": 4}
FAST = next((folder for folder in (Path("/dev/shm"),) if folder.is_dir()), None)


@pytest.fixture(scope="module")
def ceremony() -> Ceremony:
    return Ceremony.hold()


@pytest.fixture(scope="module")
def in_files(ceremony: Ceremony) -> Iterator[Ground]:
    with TemporaryDirectory(dir=FAST) as folder:
        ground = Ground.in_files(ceremony, Path(folder))
        yield ground
        ground.close()


@pytest.fixture(scope="module")
def on_postgresql(ceremony: Ceremony, postgres_folder: Path) -> Iterator[Ground]:
    ground = Ground.on_postgresql(ceremony, postgres_folder)
    yield ground
    ground.close()


def fault_of(ground: Ground, seed: int, steps: Sequence[Step]) -> str:
    """Play a history; return what went wrong, if anything did."""
    with ground.copies() as url, TemporaryDirectory(dir=FAST) as folder:
        stage = Stage(ground=ground, url=url, answers=Path(folder) / "answers.db", random=Random(seed))  # noqa: S311 - to be repeated
        try:
            Player(stage).play(steps)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its history
            return f"{type(error).__name__}: {error}"
        finally:
            stage.close()
    return ""


def first_fault(ground: Ground, seeds: range) -> str:
    """Return the first history that goes wrong, made short."""
    for seed in seeds:
        steps = plan(seed, LENGTH)
        if fault_of(ground, seed, steps):
            short = shortest(steps, lambda less, seed=seed: bool(fault_of(ground, seed, less)))  # type: ignore[misc]  # bound now
            return f"seed {seed}: {fault_of(ground, seed, short)}\n{short}"
    return ""


@pytest.mark.parametrize("engine", ENGINES)
def test_no_published_answer_contradicts_the_history(engine: str, request: pytest.FixtureRequest) -> None:
    ground = request.getfixturevalue("in_files" if engine == "sqlite" else "on_postgresql")
    assert not first_fault(ground, range(SAMPLES[engine]))


_given: list[Ceremony] = []


def _fault_of_slice(start: int) -> str:
    with TemporaryDirectory(dir=FAST) as folder:
        ground = Ground.in_files(_given[0], Path(folder))
        try:
            return first_fault(ground, range(start, start + SLICE))
        finally:
            ground.close()


@pytest.mark.stress
def test_ten_thousand_histories_are_never_contradicted(ceremony: Ceremony) -> None:
    _given[:] = [ceremony]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        faults = [fault for fault in pool.map(_fault_of_slice, range(0, MANY, SLICE)) if fault]
    assert not faults


@pytest.mark.stress
@pytest.mark.real
def test_five_hundred_histories_on_postgresql_are_never_contradicted(on_postgresql: Ground) -> None:
    assert not first_fault(on_postgresql, range(MANY, MANY + 500))
