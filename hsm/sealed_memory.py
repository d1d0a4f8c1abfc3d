"""Memory files that can no longer change (memfd_create(2)): how a large body reaches the custodian.

The seals are what makes them safe to read: who made the file cannot alter it between the reading and the
hashing, nor shrink it so that reading ends the reader with SIGBUS.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from typing import Final, Self

from hsm.errors import HsmUnavailable, ProtocolViolation

MAX_OCTETS: Final = 256 * 1024 * 1024

_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def seal_in_memory(body: bytes) -> int:
    """Put `body` into a sealed memory file and return its descriptor, which the caller closes."""
    if len(body) > MAX_OCTETS:
        raise ProtocolViolation(f"more than {MAX_OCTETS} octets in one body")
    try:
        descriptor = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise HsmUnavailable(f"no memory for a large body: {error.strerror}") from error
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        os.close(descriptor)
        raise HsmUnavailable(f"no memory for a large body: {error.strerror}") from error
    return descriptor


class SealedMemory:
    """A sealed memory file from somebody else: octets that stay where they are until they are asked for.

    Reading copies nothing but what was asked for, and gives holes no memory, however large the file says it is.
    """

    def __init__(self, descriptor: int, limit: int = MAX_OCTETS) -> None:
        """Take a descriptor, to close it; ProtocolViolation unless it is a sealed memory file that is not empty."""
        try:
            self._size = _checked_size(descriptor, limit)
        except (OSError, ProtocolViolation) as error:
            os.close(descriptor)
            if isinstance(error, ProtocolViolation):
                raise
            raise ProtocolViolation("no sealed memory file came with the request") from error
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Return a part; its bounds are as those of bytes, and its step is 1."""
        start, end, _ = part.indices(self._size)
        octets = os.pread(self._descriptor, max(0, end - start), start)
        if len(octets) < end - start:
            raise HsmUnavailable("a memory file could not be read whole")
        return octets

    def parts(self, buffer: memoryview) -> Iterator[memoryview]:
        """Yield all octets in turn, each time in `buffer`, which whoever else reads may use in between."""
        at = 0
        while at < self._size:
            count = os.preadv(self._descriptor, [buffer], at)
            at += count
            yield buffer[:count]

    def mapped(self) -> mmap.mmap:
        """Map all octets, for one who looks here and there, and closes the map."""
        return mmap.mmap(self._descriptor, self._size, access=mmap.ACCESS_READ)


def _checked_size(descriptor: int, limit: int) -> int:
    seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    if seals & _SEALS != _SEALS:
        raise ProtocolViolation("the memory file is not sealed")
    size = os.fstat(descriptor).st_size
    if not size:
        raise ProtocolViolation("the memory file is empty")
    if size > limit:
        raise ProtocolViolation(f"more than {limit} octets in one body")
    return size
