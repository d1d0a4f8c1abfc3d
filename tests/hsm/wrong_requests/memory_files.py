"""Descriptors of every kind that may come with a request: one right one, and the wrong ones."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final

from hsm.sealed_memory import MAX_OCTETS
from tests.hsm import messages as m

ALL_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@contextmanager
def memory(content: bytes = m.NOTE, *, seals: int = ALL_SEALS, octets: int | None = None) -> Iterator[int]:
    """Make a memory file; with `octets` it is as large, and empty but for its beginning."""
    descriptor = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, content)
        if octets is not None:
            os.ftruncate(descriptor, octets)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _file(folder: str) -> Iterator[int]:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(m.NOTE)
        file.flush()
        yield file.fileno()


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    try:
        os.write(writer, m.NOTE)
        yield reader
    finally:
        os.close(reader)
        os.close(writer)


@contextmanager
def _socket() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(m.NOTE)
        yield theirs.fileno()


WRONG: Final[dict[str, Callable[[], AbstractContextManager[int]]]] = {
    "no seal": partial(memory, seals=0),
    "can be written": partial(memory, seals=ALL_SEALS & ~fcntl.F_SEAL_WRITE),
    "can be shortened": partial(memory, seals=ALL_SEALS & ~fcntl.F_SEAL_SHRINK),
    "can grow": partial(memory, seals=ALL_SEALS & ~fcntl.F_SEAL_GROW),
    "can be sealed further": partial(memory, seals=ALL_SEALS & ~fcntl.F_SEAL_SEAL),
    "empty": partial(memory, b""),
    "too large": partial(memory, octets=MAX_OCTETS + 1),
    "file": partial(_file, "/tmp"),
    "file in memory": partial(_file, "/dev/shm"),
    "pipe": _pipe,
    "socket": _socket,
    "zeros without end": partial(_opened, "/dev/zero"),
    "null device": partial(_opened, "/dev/null"),
    "folder": partial(_opened, "/tmp"),
}
