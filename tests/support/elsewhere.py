"""What another process does for a test, because of what it would do to this one."""

import subprocess
from collections.abc import Iterable
from pathlib import Path


def read_elsewhere(files: Iterable[Path]) -> bytes:
    """Read one file after the other.

    Whoever closes a file loses the locks that it holds on it (fcntl(2)), those of its own SQLite connections too:
    others then take the write-ahead log away under them.
    """
    return subprocess.run(["cat", "--", *files], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout
