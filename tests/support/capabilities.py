"""What Linux lets the tests do: a container's root lacks some of root's rights (capabilities(7))."""

from pathlib import Path
from typing import Final

import pytest

_SYS_PTRACE: Final = 19


def _may(capability: int) -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> capability & 1)


# Ours let nobody of their own user look in (PR_SET_DUMPABLE), so one who looks needs more than to be root.
looks_into_processes = pytest.mark.skipif(
    not _may(_SYS_PTRACE), reason="only CAP_SYS_PTRACE shows the inside of processes that closed themselves"
)
