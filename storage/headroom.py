"""Room on the disks, looked at before anything is signed: a full disk keeps nothing."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pki.errors import ErrorCode, Unavailable

MEGABYTE = 1_000_000


def free_octets(path: Path) -> int:
    """Return what a user without privileges may still write where `path` lies, or would lie."""
    for place in (path, *path.absolute().parents):
        try:
            found = os.statvfs(place)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        return found.f_bavail * found.f_frsize
    raise FileNotFoundError(path)


class Headroom:
    """The places that must take what an act writes, and how much has to be free there."""

    def __init__(self, places: Sequence[Path], minimum_mb: int, *, free: Callable[[Path], int] = free_octets) -> None:
        """Ask `free` for the octets that are free at a place; places may be on one disk or on several."""
        self._places, self._minimum, self._free = tuple(places), minimum_mb * MEGABYTE, free

    def check(self) -> None:
        """Raise Unavailable (`storage-low`) where less than the minimum is free."""
        for place in self._places:
            try:
                free = self._free(place)
            except OSError as error:
                raise Unavailable(ErrorCode.STORAGE_LOW, f"the disk of {place.name} cannot be asked") from error
            if free < self._minimum:
                least = self._minimum // MEGABYTE
                raise Unavailable(
                    ErrorCode.STORAGE_LOW, f"{free // MEGABYTE} MB are free for {place.name}; {least} must be"
                )
