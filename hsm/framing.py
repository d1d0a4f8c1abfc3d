"""Frames in a stream: a length (4 octets, big endian) and as many octets, within a limit."""

import struct
from typing import Final

from hsm.errors import ProtocolViolation

_LENGTH: Final = struct.Struct("!I")


def frame(payload: bytes, limit: int) -> bytes:
    """Put the length before `payload`; ProtocolViolation when it is longer than `limit`."""
    if len(payload) > limit:
        raise ProtocolViolation(f"more than {limit} octets in one frame")
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cut a stream into frames of at most `limit` octets, whatever pieces it arrives in."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def size(self) -> int:
        """How many octets of an unfinished frame are held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived and return the frames that are complete; ProtocolViolation for one too large."""
        if not self._buffer and 4 <= len(data) <= self._limit and _LENGTH.unpack_from(data)[0] == len(data) - 4:
            return [data[4:]]  # the common case: one whole frame in one piece
        self._buffer += data
        frames = []
        start, end = 0, len(self._buffer)
        while end - start >= 4:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > self._limit:
                raise ProtocolViolation(f"more than {self._limit} octets in one frame")
            if end - start - 4 < length:
                break
            frames.append(bytes(self._buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        del self._buffer[:start]
        return frames
