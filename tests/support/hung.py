"""Programs that hang: stopped where they are, so that they answer nothing and hold what they hold."""

import os
import signal
import time
from pathlib import Path

from tests.support.patience import PATIENCE


def hang(pid: int) -> None:
    """Stop a process and wait until each thread of it stands still: a signal alone leaves it time for an answer."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE
    while any(state not in "TtZX" for state in _states(pid)):
        assert time.monotonic() < deadline, f"process {pid} does not stop"
        time.sleep(0.001)


def go_on(pid: int) -> None:
    """Let it go on where it hung."""
    os.kill(pid, signal.SIGCONT)


def _states(pid: int) -> list[str]:
    """Return the state of each thread, a letter (proc(5), `stat`); one that ends meanwhile is left out."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(task.read_text().rpartition(")")[2].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return states
