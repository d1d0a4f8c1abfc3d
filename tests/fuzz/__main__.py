"""`make fuzz`: inputs for all targets, a process for each, some at a time. Exit status 1 where anything was found.

Findings lie in FOLDER/found: the input beside what went wrong. What was reached is kept in FOLDER/corpus, so that the
next run goes on from there.
"""

import argparse
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.fuzz.targets import TARGETS

_RESTARTS: Final = 20


class _Run:
    """One target's process, begun again where an input ended it."""

    def __init__(self, name: str, inputs: int, seed: int, folder: Path) -> None:
        self.name, self.inputs = name, inputs
        self._seed, self._folder, self._starts = seed, folder, 0
        self._process: subprocess.Popen[bytes] | None = None
        (folder / f"{name}.count").write_text("0")

    def is_done(self) -> bool:
        """Start the process, or see whether it is at its end."""
        if self._process is None:
            self._start()
            return False
        ended = self._process.poll()
        if ended is None:
            return False
        if ended == 0 or self._starts > _RESTARTS or self.count() >= self.inputs:
            return True
        self._start()
        return False

    def _start(self) -> None:
        self._starts += 1
        command = [sys.executable, "-m", "tests.fuzz.guided", self.name, str(self.inputs)]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self._seed + self._starts), str(self._folder)], stdout=log, stderr=log
            )

    def count(self) -> int:
        """Return how many inputs were tried, to some hundreds."""
        return int((self._folder / f"{self.name}.count").read_text() or 0)

    def end(self) -> None:
        """Kill the process, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def main() -> int:
    """Share the inputs out and wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all (default: a million)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where chance begins")
    parser.add_argument("--folder", type=Path, default=Path("var/fuzz"), help="for findings and the corpus")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none")
    asked = parser.parse_args()
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    chosen = {name: target for name, target in TARGETS.items() if not asked.targets or name in asked.targets}
    asked.folder.mkdir(parents=True, exist_ok=True)
    if find_spec("atheris") is None:
        _say("Atheris is not installed: nothing guides the inputs to new code")
    whole = sum(target.share for target in chosen.values())
    shares = {name: -(-asked.inputs * target.share // whole) for name, target in chosen.items()}
    runs = [_Run(name, inputs, asked.seed, asked.folder) for name, inputs in shares.items()]
    began = time.monotonic()
    _say(f"{asked.inputs} inputs, seed {asked.seed}, findings in {asked.folder / 'found'}")
    _go(runs, asked.jobs)
    found = sorted((asked.folder / "found").glob("*")) if (asked.folder / "found").is_dir() else []
    inputs = [file for file in found if file.suffix != ".txt"]
    _say(f"{sum(run.count() for run in runs)} inputs in {time.monotonic() - began:.0f} s, {len(inputs)} findings")
    for file in inputs:
        _say(f"  {file}")
    return 1 if inputs else 0


def _go(runs: list[_Run], jobs: int) -> None:
    waiting, under_way = list(runs), list[_Run]()
    told = time.monotonic()
    try:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                under_way.append(waiting.pop(0))
            for run in [run for run in under_way if run.is_done()]:
                under_way.remove(run)
                _say(f"{run.name}: {run.count()} inputs")
            time.sleep(0.2)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                _say(f"… {sum(run.count() for run in runs)} inputs; now {', '.join(run.name for run in under_way)}")
    finally:
        for run in under_way:
            run.end()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a program's own words


if __name__ == "__main__":
    sys.exit(main())
