"""The process of one target: `python -m tests.fuzz.guided TARGET INPUTS SEED FOLDER`.

With Atheris, libFuzzer keeps the inputs that reach new code and changes those; without, good files alone are changed.
It kills this process over an input that takes too long or too much, and leaves it in `FOLDER/found`.
"""

import resource
import sys
from collections.abc import Callable
from importlib import import_module, util
from pathlib import Path
from random import Random
from typing import Any, Final

MEMORY_OCTETS: Final = 1536 * 1024 * 1024
_SECONDS: Final = 100  # by the clock, for what hangs; what is slow is told by the processor time that it takes
_RSS_MIB: Final = 512 + 128  # the instrumented program itself takes the rest
_MAX_OCTETS: Final = 256 * 1024
_OURS: Final = ["signer", "pki", "ca.status"]
_COUNTED: Final = 200


class Count:
    """How many inputs were tried, in a file for whoever waits."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.value = int(file.read_text() or 0) if file.exists() else 0

    def add(self) -> None:
        """Count one."""
        self.value += 1
        if self.value % _COUNTED == 0:
            self.write()

    def write(self) -> None:
        """Let others see the count."""
        self._file.write_text(str(self.value))


def main(arguments: list[str]) -> int:
    """Try inputs until there were enough."""
    name, inputs, seed, folder = arguments[0], int(arguments[1]), int(arguments[2]), Path(arguments[3])
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_OCTETS, hard))
    atheris = import_module("atheris") if util.find_spec("atheris") else None
    if atheris is None:
        return _blind(name, inputs, seed, folder)
    with atheris.instrument_imports(include=_OURS):
        import_module("tests.fuzz.targets")
    return _guided(atheris, name, inputs, seed, folder)


def _trial(name: str, folder: Path, count: Count) -> Callable[[bytes], None]:
    from tests.fuzz.judging import fault_of, keep
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]

    def trial(data: bytes) -> None:
        count.add()
        fault = fault_of(target, data, count.value)
        if fault is not None and keep(folder / "found", name, data, fault):
            print(f"\n{name}: {fault.name}", file=sys.stderr, flush=True)  # noqa: T201 - a finding is told at once

    return trial


def _blind(name: str, inputs: int, seed: int, folder: Path) -> int:
    from tests.fuzz.mutation import mutated
    from tests.fuzz.targets import TARGETS, seeds_of

    count = Count(folder / f"{name}.count")
    trial, chance = _trial(name, folder, count), Random(seed)  # noqa: S311 - chance, not secrets
    files = seeds_of(TARGETS[name])
    while count.value < inputs:
        data = chance.choice(files)
        for _ in range(chance.choice((1, 2, 4))):
            data = mutated(data, chance)
        trial(data[:_MAX_OCTETS])
    count.write()
    return 0


def _guided(atheris: Any, name: str, inputs: int, seed: int, folder: Path) -> int:
    from tests.fuzz.mutation import mutated
    from tests.fuzz.targets import TARGETS, seeds_of

    corpus, found = folder / "corpus" / name, folder / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds_of(TARGETS[name])):
        (corpus / f"seed-{number}").write_bytes(data)
    count = Count(folder / f"{name}.count")

    def mutate(data: bytes, max_size: int, chance_seed: int) -> bytes:
        chance = Random(chance_seed)  # noqa: S311 - chance, not secrets
        if chance.random() < 0.2:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(data, chance)[:max_size]

    options = [
        sys.argv[0], str(corpus), f"-runs={max(0, inputs - count.value)}", f"-seed={seed}", f"-timeout={_SECONDS}",
        f"-rss_limit_mb={_RSS_MIB}", f"-max_len={_MAX_OCTETS}", f"-artifact_prefix={found}/{name}-", "-len_control=0",
        "-print_final_stats=0", "-report_slow_units=100000", "-verbosity=0", "-reload=0",
    ]  # fmt: skip
    atheris.Setup(options, _trial(name, folder, count), custom_mutator=mutate, enable_python_coverage=True)
    try:
        atheris.Fuzz()  # ends the process itself
    finally:
        count.write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
