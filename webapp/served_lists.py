"""Lists as they are served: from their files, each judged once, and a large one without ever being in memory."""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from webapp.freshness import Freshness, crl_freshness

SMALL: Final = 1024 * 1024
_PIECE: Final = 256 * 1024
_Stamp = tuple[int, int, int]


class FileBody:
    """The octets of an open file, a piece at a time; closed by whoever is done with it (PEP 3333)."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedList:
    """A list's octets, and how long they may be kept."""

    body: bytes | FileBody
    freshness: Freshness

    @staticmethod
    def of(data: bytes) -> "ServedList":
        """Serve a list that is in memory."""
        return ServedList(body=data, freshness=crl_freshness(data))


class ListFiles:
    """Reads lists from files that others replace; a file is judged again when it is another one. Threads share it."""

    def __init__(self) -> None:
        self._judged: dict[Path, tuple[_Stamp, Freshness]] = {}

    def __call__(self, path: Path) -> ServedList | None:
        """Return the list in a file as it is now; None where there is none."""
        try:
            file = path.open("rb")
        except OSError:
            return None
        try:
            status = os.fstat(file.fileno())
            freshness = self._freshness(path, (status.st_ino, status.st_mtime_ns, status.st_size), file)
            if status.st_size > SMALL:
                return ServedList(body=FileBody(file, status.st_size), freshness=freshness)
            data = file.read()
        except BaseException:
            file.close()
            raise
        file.close()
        return ServedList(body=data, freshness=freshness)

    def _freshness(self, path: Path, stamp: _Stamp, file: BinaryIO) -> Freshness:
        before = self._judged.get(path)
        if before is not None and before[0] == stamp:
            return before[1]
        if stamp[2] == 0:
            return crl_freshness(b"")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            freshness = crl_freshness(cast("bytes", mapped))  # read in place
        self._judged[path] = (stamp, freshness)
        return freshness
