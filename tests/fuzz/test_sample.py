"""A few seconds of `make fuzz`: every target reads its good files and some of their changes, always the same ones."""

from random import Random

import pytest

from tests.fuzz.judging import Fault, fault_of
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import Kind, good_files
from tests.fuzz.targets import TARGETS, Target, seeds_of

_INPUTS = 30
_SMALL = 12_000


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_reads_or_refuses_whatever_becomes_of_good_files(name: str) -> None:
    target, chance = TARGETS[name], Random(name)  # noqa: S311 - chance, not secrets
    files = [data for data in seeds_of(target) if len(data) < _SMALL]
    faults = [fault_of(target, data) for data in files[:8]]
    faults += [fault_of(target, mutated(mutated(chance.choice(files), chance), chance)) for _ in range(_INPUTS)]
    assert [fault.text for fault in faults if fault is not None] == []


@pytest.mark.parametrize("kind", [Kind.DER, Kind.JSON, Kind.ZIP, Kind.PDF])
def test_changes_keep_files_well_formed_often_enough_to_go_deep(kind: Kind) -> None:
    reader = {Kind.DER: "ber", Kind.JSON: "json", Kind.ZIP: "asic", Kind.PDF: "pdf"}[kind]
    target, chance = TARGETS[reader], Random(kind)  # noqa: S311 - chance, not secrets
    files = [data for data in good_files()[kind] if len(data) < _SMALL and _is_read(target, data)]
    read = sum(_is_read(target, mutated(chance.choice(files), chance)) for _ in range(50))
    assert read > 12


def _is_read(target: Target, data: bytes) -> bool:
    try:
        target.read(data)
    except target.raises:
        return False
    return True


def test_what_a_reader_must_not_do_is_a_fault() -> None:
    answers = iter(range(10))
    assert fault_of(Target(read=lambda data: data[99], kinds=(), share=1), b"") is not None
    assert fault_of(Target(read=lambda data: data[99], kinds=(), share=1, raises=(IndexError,)), b"") is None
    differs = fault_of(Target(read=lambda _: next(answers), kinds=(), share=1), b"")
    assert isinstance(differs, Fault)
    assert differs.name == "differs"
