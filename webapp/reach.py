"""What other users can reach by the modes of files and folders: whether they may pass to it, and read it.

As a program it prints the first obstacle on the way to the paths that it is given, as seen from where it runs.
"""

import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def spellings(path: Path) -> tuple[Path, ...]:
    """Return a path as it is written and, where links lead elsewhere, as it really is."""
    return tuple(dict.fromkeys((path.absolute(), path.resolve())))


def obstacles(wanted: Iterable[Path]) -> Iterator[str]:
    """Yield what keeps other users from these files and folders: what may not be passed, or not be read."""
    passed: set[Path] = set()
    for path in wanted:
        for spelling in spellings(path):
            for folder in reversed(spelling.parents):
                if folder not in passed and not _others_may(folder, stat.S_IXOTH):
                    yield f"other users cannot pass {folder}"
                passed.add(folder)
        if path.is_file() and not _others_may(path, stat.S_IROTH):
            yield f"other users cannot read {path}"


def closed_folders(wanted: Iterable[Path]) -> tuple[Path, ...]:
    """Return the outermost folders that keep other users from these paths; none lies below another one."""
    ways = [reversed(spelling.parents) for path in wanted for spelling in spellings(path)]
    closed = (next((folder for folder in way if not _others_may(folder, stat.S_IXOTH)), None) for way in ways)
    found = {folder.resolve() for folder in closed if folder is not None}
    return tuple(sorted(folder for folder in found if found.isdisjoint(folder.parents)))


def _others_may(path: Path, right: int) -> bool:
    try:
        return bool(path.stat().st_mode & right)
    except OSError:
        return False


if __name__ == "__main__":
    sys.stdout.write(next(obstacles(map(Path, sys.argv[1:])), ""))
