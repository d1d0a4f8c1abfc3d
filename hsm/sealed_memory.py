"""Memory files that can no longer change (memfd_create(2)): how a large body reaches the custodian.

The seals are what makes them safe to read: who made the file cannot alter it between the reading and the
hashing, nor shrink it so that reading ends the reader with SIGBUS.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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


@contextmanager
def opened_sealed(descriptor: int, limit: int = MAX_OCTETS) -> Iterator[mmap.mmap]:
    """Map what a descriptor from somebody else holds; ProtocolViolation unless it is a sealed memory file.

    The descriptor is closed; an empty file is refused too.
    """
    try:
        size = _checked_size(descriptor, limit)
        memory = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ProtocolViolation("no sealed memory file came with the request") from error
    finally:
        os.close(descriptor)
    with memory:
        yield memory


def _checked_size(descriptor: int, limit: int) -> int:
    seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    if seals & _SEALS != _SEALS:
        raise ProtocolViolation("the memory file is not sealed")
    size = os.fstat(descriptor).st_size
    if size > limit:
        raise ProtocolViolation(f"more than {limit} octets in one body")
    return size


def read_sealed(descriptor: int, limit: int = MAX_OCTETS) -> bytes:
    """Return what a descriptor from somebody else holds, as `opened_sealed` does."""
    with opened_sealed(descriptor, limit) as memory:
        return memory[:]
