"""A hostile process: opens connections without end, keeps the latest of them and never behaves.

`python -m tests.hsm.wrong_requests.hostile SOCKET KEPT SECONDS REQUEST KIND…`; REQUEST is a good frame in hexadecimal.
Says how many connections it made.
"""

import contextlib
import os
import resource
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import cache

from hsm.custodian.protocol import (
    MAX_FRAME_OCTETS,
    MAX_ITEMS,
    Operation,
    encode_request,
    encode_sealed_request,
    pack_items,
)
from hsm.sealed_memory import seal_in_memory
from tests.hsm.wrong_requests.memory_files import memory

Attack = Callable[[socket.socket, bytes], object]


def _label(request: bytes) -> str:
    return request[7 : 7 + request[6]].decode()


def _half_large(peer: socket.socket, _request: bytes) -> None:
    peer.sendall(MAX_FRAME_OCTETS.to_bytes(4, "big") + bytes(MAX_FRAME_OCTETS - 1))


def _memory_file(peer: socket.socket, request: bytes) -> None:
    with memory(b"eyJ", octets=64 * 1024 * 1024) as descriptor:
        socket.send_fds(peer, [encode_sealed_request(Operation.SIGN, _label(request))], [descriptor])


@cache
def _large_batch() -> int:
    """Return a memory file with as many and as large notes as one batch may have."""
    return seal_in_memory(pack_items([b"a" * 16_000 + b"\n"] * MAX_ITEMS))


def _batch_file(peer: socket.socket, request: bytes) -> None:
    socket.send_fds(peer, [encode_sealed_request(Operation.SIGN_BATCH, _label(request))], [_large_batch()])


def _batch(peer: socket.socket, request: bytes) -> None:
    peer.sendall(encode_request(Operation.SIGN_BATCH, _label(request), pack_items([b"a" * 500 + b"\n"] * 4000)))


ATTACKS: dict[str, Attack] = {
    "idle": lambda peer, request: None,
    "half": lambda peer, request: peer.sendall(request[:-3]),
    "half-large": _half_large,
    "garbage": lambda peer, request: peer.sendall(os.urandom(300)),
    "one-octet": lambda peer, request: peer.sendall(request[:1]),
    "slow-reader": lambda peer, request: peer.sendall(request * 3000),
    "nonsense": lambda peer, request: peer.sendall((request[:4] + b"\x01\x04" + bytes(len(request) - 6)) * 50),
    "memory-file": _memory_file,
    "batch": _batch,
    "batch-file": _batch_file,
}


def main(path: str, kept: int, seconds: float, request: bytes, kinds: list[str]) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
    kept = min(kept, most - 64)
    held: deque[socket.socket] = deque()
    made, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(0.01)
        held.append(peer)
        if len(held) > kept:
            held.popleft().close()
        if peer.connect_ex(path):
            time.sleep(0.001)  # the queue is full: with this one's like
            continue
        made += 1
        with contextlib.suppress(OSError):  # closed already, or told to wait
            ATTACKS[kinds[made % len(kinds)]](peer, request)
    sys.stdout.write(f"{made}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), bytes.fromhex(sys.argv[4]), sys.argv[5:])
