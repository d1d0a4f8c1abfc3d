"""Messages between a verifier and its worker: a few words, then pieces of octets, each with its length before it.

A worker reads strangers' files: what comes back from it is data, never objects that loading could make act.
"""

import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pki.errors import ErrorCode, InvalidInput

MAX_PARTS: Final = 8
MAX_OCTETS: Final = 192 * 1024 * 1024
_COUNT: Final = struct.Struct(">I")
_PIECE: Final = 1 << 20


class Channel:
    """One end of the line; used by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.poll()  # select(2) knows no descriptor above 1023
        self._poll.register(sock, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sock, select.POLLOUT)

    def fileno(self) -> int:
        """Return what can be waited for."""
        return self._sock.fileno()

    def send(self, parts: Sequence[bytes], until: float | None = None) -> None:
        """Send one message; OSError when the other end is gone, TimeoutError when it takes nothing any more.

        `until` is in monotonic seconds.
        """
        pieces = (struct.pack(f">{1 + len(parts)}I", len(parts), *map(len, parts)), *parts)
        if sum(map(len, parts)) <= _PIECE:
            pieces = (b"".join(pieces),)
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                _await(self._writable, until)
                with suppress(BlockingIOError):
                    rest = rest[self._sock.send(rest[:_PIECE], 0 if until is None else socket.MSG_DONTWAIT) :]

    def receive(self, until: float | None = None) -> tuple[bytes, ...]:
        """Return the next message; EOFError when the other end is gone, TimeoutError at `until` (monotonic seconds).

        InvalidInput for what no end of ours sends.
        """
        (count,) = _COUNT.unpack(self._read(_COUNT.size, until))
        if count > MAX_PARTS:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a message between processes")
        lengths = struct.unpack(f">{count}I", self._read(_COUNT.size * count, until))
        if sum(lengths) > MAX_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "a message between processes")
        return tuple(self._read(length, until) for length in lengths)

    def _read(self, octets: int, until: float | None) -> bytes:
        parts = []
        while octets:
            _await(self._poll, until)
            part = self._sock.recv(min(octets, _PIECE))
            if not part:
                raise EOFError
            parts.append(part)
            octets -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


def _await(poll: select.poll, until: float | None) -> None:
    if until is not None and not poll.poll(max(0.0, until - time.monotonic()) * 1000):
        raise TimeoutError
