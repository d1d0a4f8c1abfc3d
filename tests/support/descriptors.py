"""What this process has open: a test sees that something left nothing open, whatever else closes meanwhile."""

from contextlib import suppress
from pathlib import Path

_OURS = Path("/proc/self/fd")


def open_descriptors() -> frozenset[tuple[str, str]]:
    """Return the descriptors with what each is of, but not the one that lists them; later ones are `<=` these."""
    found = set()
    for path in list(_OURS.iterdir()):
        with suppress(FileNotFoundError):  # the one that listed them
            found.add((path.name, str(path.readlink())))
    return frozenset(found)
