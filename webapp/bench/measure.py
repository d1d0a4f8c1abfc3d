"""Measuring on small, noisy machines: warm up, repeat, take the median, and say what was measured."""

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WARM_RUNS = 5


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's value in the same unit, and what it leaves out."""

    peer: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `ratio` above 1 means Mohr is better than the peer; None where there is no peer.

    `more_peers` stand beside the first one, which the ratio is about.
    """

    name: str
    value: float
    unit: str
    peer: str | None
    peer_value: float | None
    floor: str
    floor_value: float
    note: str
    more_peers: tuple[Peer, ...] = ()

    @property
    def ratio(self) -> float | None:
        """How much better than the peer, by the unit's direction."""
        return self._ratio_to(self.peer_value)

    def _ratio_to(self, value: float | None) -> float | None:
        if not value or not self.value:
            return None
        return round(self.value / value if self.unit == "1/s" else value / self.value, 2)

    def as_json(self) -> dict[str, Any]:
        """Return the figure as `var/bench.json` holds it."""
        more = [{**asdict(peer), "ratio": self._ratio_to(peer.value)} for peer in self.more_peers]
        return {**asdict(self), "ratio": self.ratio, "more_peers": more}


def median_ms(act: Callable[[], object], *, runs: int = 200, seconds: float = 6.0) -> float:
    """Return the median wall time of `act` in milliseconds; fewer runs when `seconds` are over."""
    for _ in range(WARM_RUNS):
        act()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < runs and (time.perf_counter() < end or len(taken) < 3):
        before = time.perf_counter()
        act()
        taken.append((time.perf_counter() - before) * 1000)
    return round(statistics.median(taken), 4)


def per_second(act: Callable[[], int], *, runs: int = 3) -> float:
    """Return the median rate of `act`, which says how many things it did."""
    rates = []
    for _ in range(runs):
        before = time.perf_counter()
        done = act()
        rates.append(done / (time.perf_counter() - before))
    return round(statistics.median(rates), 1)


def fsync_ms(folder: Path) -> float:
    """Return the median time of a durable 4 kB write."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:

        def write() -> None:
            file.seek(0)
            file.write(b"\0" * 4096)
            file.flush()
            os.fdatasync(file.fileno())

        return median_ms(write, runs=100, seconds=2)


def machine(folder: Path) -> dict[str, Any]:
    """Describe the machine: figures of different machines cannot be compared without it."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "processor": platform.machine(),
        "fsync_ms": fsync_ms(folder),
        "load": round(os.getloadavg()[0], 2),
    }
