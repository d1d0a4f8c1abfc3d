"""What Linux can do for a process that holds a PIN (prctl(2), getrlimit(2))."""

import ctypes
import os
import resource
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) was refused")


def hide_memory() -> None:
    """Forbid core dumps and reading of our memory by other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> bool:
    """Ask for a signal when `parent`, our parent's process id, ends; False when it has ended already.

    The kernel watches the thread that started us: start custodians from a thread that lives as long as they.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent
