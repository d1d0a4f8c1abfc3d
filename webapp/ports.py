"""Finding room for the two listeners of a pilot on this machine."""

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_TRIES: Final = 50


def is_free(port: int) -> bool:
    """Whether nobody listened on a loopback port a moment ago."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def free_pair(preferred: int) -> int:
    """Return a port whose successor is free, too: `preferred` if possible."""
    port = preferred
    for _ in range(_TRIES):
        if port < 65535 and is_free(port) and is_free(port + 1):
            break
        port = free_port()
    return port
