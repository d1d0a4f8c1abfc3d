"""How a process of this package starts another one, and how a custodian says why it ended."""

import os
import sys
from enum import IntEnum, unique
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@unique
class ExitCode(IntEnum):
    """How a custodian ended, in the spirit of sysexits.h."""

    CLEAN = 0
    USAGE = 64
    SOFTWARE = 70
    PIN_REFUSED = 77
    CONFIGURATION = 78


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs `module` with this interpreter; the current folder is not searched (`-P`)."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(**extra: str) -> dict[str, str]:
    """Return the whole environment of a child: nothing of ours, so no secret of ours, but where this package is."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(_PACKAGE_ROOT), **extra}
