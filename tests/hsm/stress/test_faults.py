"""A device that is killed, stopped, renumbered, emptied and swapped under load, again and again."""

import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hsm.client import CustodianClient
from hsm.pin import PinTries
from tests.hsm.stress.callers import Callers, Keys, make_keys
from tests.hsm.stress.faults import Befallen, Faults, resumed_after, signed_while_swapped
from tests.hsm.stress.fronts import Fronts
from tests.support.lost_hsm import LostHsm, needs_p11_kit
from tests.support.softhsm import CustodianHome

pytestmark = [pytest.mark.real, needs_p11_kit]
ENDS = 1.5  # every call, in seconds, on a busy machine; a client's own deadline is 1
RESUMES = 2.0  # signing, once the device is back
EACH_RESUMES = 4.0  # each custodian, which must first see that its own device process hangs
CALLERS = 8
FIGURES = "MOHR_RECOVERY_JSON"  # names a file for what was measured


class Run(NamedTuple):
    """How much happens."""

    faults: int
    signatures: int
    longest_stop: float
    last_stop: float
    patience: float  # how many times longer than required a call or a return may take: figures are for the whole run


SAMPLE, WHOLE = Run(6, 500, 1.0, 0.0, 5.0), Run(200, 20_000, 3.0, 30.0, 1.0)


@pytest.fixture
def lost(custodian_factory: Callable[[], CustodianHome]) -> Iterator[tuple[LostHsm, Fronts, Keys]]:
    home = custodian_factory()
    device = LostHsm(home.token, home.folder)
    device.start()
    home.use_module(device.module_path, **device.environment)
    fronts = Fronts(home)
    with fronts.running():
        client = CustodianClient(fronts.sockets)
        yield device, fronts, make_keys(fronts, client)
        client.close()
    device.kill()


@pytest.mark.parametrize("run", [SAMPLE, pytest.param(WHOLE, marks=pytest.mark.stress)], ids=["few", "many"])
def test_no_fault_brings_a_wrong_signature_or_a_stuck_client(
    lost: tuple[LostHsm, Fronts, Keys], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    device, fronts, keys = lost
    seed = random.getrandbits(32)
    reference = next(info.id for info in fronts.home.client.keys() if info.label == keys.seal)
    faults = Faults(
        hsm=device,
        fronts=fronts,
        keys=keys,
        seal_reference=bytes.fromhex(reference),
        random=random.Random(seed),  # noqa: S311 - a story that can be told again
        longest_stop=run.longest_stop,
    )
    callers = Callers(CALLERS, fronts.sockets, keys, pause=0.02)
    found: list[Befallen] = []
    with faults.probing(), callers.calling():
        while len(found) < run.faults or callers.signatures < run.signatures:
            found.append(faults.next())
            time.sleep(faults.random.uniform(0, 0.2))
        if run.last_stop:
            found.append(faults.recovered(faults.stopped(run.last_stop)))
        time.sleep(0.1)
    of_the_key = callers.answered(lambda answer: answer.label == keys.seal)
    recoveries = [resumed_after(befallen, of_the_key) for befallen in found]
    report = _report(seed, found, recoveries, callers)
    with capsys.disabled():
        sys.stdout.write(report)
    assert callers.wrong == [], f"seed {seed}"
    assert not [signed for befallen in found for signed in signed_while_swapped(befallen, of_the_key)], f"seed {seed}"
    assert callers.slowest < ENDS * run.patience, f"seed {seed}"
    assert max(recoveries) < RESUMES * run.patience, f"seed {seed}"
    slowest = max(took for befallen in found for took in befallen.custodians_took)
    assert slowest < EACH_RESUMES * run.patience, f"seed {seed}"
    assert callers.missing_from(fronts.uses()) == [], f"seed {seed}"
    assert PinTries(fronts.home.settings.tries_file, 2).failed == 0


def _report(seed: int, found: list[Befallen], recoveries: list[float], callers: Callers) -> str:
    """Write down what was measured, also where FIGURES says."""
    signatures, refused = callers.signatures, len(callers.refused)
    lines = [f"seed {seed}: {len(found)} faults during {signatures} signatures, {refused} calls refused"]
    kinds = {}
    for name in sorted({befallen.name for befallen in found}):
        service = [took for befallen, took in zip(found, recoveries, strict=True) if befallen.name == name]
        each = [took for befallen in found if befallen.name == name for took in befallen.custodians_took]
        kinds[name] = {"faults": len(service), "service": _figures(service), "each custodian": _figures(each)}
        lines.append(f"  {name:<24} {len(service):>3} × {_line(service)}; each custodian {_line(each)}")
    worst, slow = max(zip(recoveries, found, strict=True), key=lambda pair: pair[0])
    said = Counter(
        refused.detail
        for refused in callers.refused
        if slow.back <= refused.ended and refused.began < slow.back + worst
    )
    lines.append(f"  the worst: {slow.name}, custodians after {slow.custodians_took}; meanwhile {dict(said)}")
    lines.append(f"  signing is there again: {_line(recoveries)}; the longest call took {callers.slowest:.3f} s")
    if FIGURES in os.environ:
        whole = {"service": _figures(recoveries), "slowest_call": round(callers.slowest, 4), "kinds": kinds}
        Path(os.environ[FIGURES]).write_text(json.dumps(whole, indent=2), encoding="ascii")
    return "\n" + "\n".join(lines) + "\n"


def _figures(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 4), "worst": round(max(seconds), 4)}


def _line(seconds: list[float]) -> str:
    return "median {median:.3f} s, worst {worst:.3f} s".format(**_figures(seconds))
