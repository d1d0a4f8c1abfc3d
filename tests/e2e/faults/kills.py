"""Programs of a served deployment are killed at random moments while officers order and approve over HTTP."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from contextlib import suppress

from tests.e2e.faults.conftest import Running
from tests.e2e.faults.load import Work
from tests.support.separated import descendants, until

PROGRAMS = (
    "page_server",
    "exchange_server",
    "webapp.worker",
    "webapp.linter",
    "hsm.custodian",
    "hsm.device",
)
MOMENT_SECONDS = 0.1


def kill_one(served: Running) -> str:
    """Kill one process of a program, both at random; return which, or nothing where none runs now."""
    program = random.choice(PROGRAMS)  # noqa: S311 - no secret
    found = [pid for pid, line in descendants(served.pid).items() if program in line]
    if not found:
        return ""
    with suppress(ProcessLookupError):
        os.kill(random.choice(found), signal.SIGKILL)  # noqa: S311 - no secret
    return program


def killed_at_work(served: Running, kills: int) -> None:
    """Kill one program after the other; each time officers are served again before the next."""
    until(served._is_well, "every part is well before", lambda: served.trouble)
    work, waits = Work([served]), list[tuple[float, str]]()
    with work.going_on():
        while len(waits) < kills:
            time.sleep(random.uniform(0, MOMENT_SECONDS))  # noqa: S311 - no secret
            if not (program := kill_one(served)):
                continue
            begun = time.monotonic()

            def is_served(since: float = begun) -> bool:
                return work.last_begun > since and bool(served.states())

            until(is_served, "officers and pages are served again", lambda: served.trouble)
            waits.append((time.monotonic() - begun, program))
    until(served._is_well, "every part is well again", lambda: served.trouble)
    assert served.mohr("audit", "verify").status == 0
    ordered = sorted(waits)
    middle, late = statistics.median(wait for wait, _ in ordered), ordered[int(len(ordered) * 0.99)][0]
    worst = ", ".join(f"{wait:.2f} s ({program})" for wait, program in reversed(ordered[-5:]))
    told = f"{kills} kills: served again after {middle:.2f} s, {late:.2f} s (99 %), at worst {worst}"
    print(f"\n{told}")  # noqa: T201 - the figure is what this is run for
    assert work.approved
