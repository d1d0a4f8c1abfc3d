"""One process that drives a mutual-TLS listener over connections that stay open: each asks, reads, asks again.

Single-threaded and without a library for HTTP, because it shares the processors with what it measures.
"""

import re
import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from pki.errors import ErrorCode, Unavailable, VerificationFailed

_CHUNK: Final = 64 * 1024
_STILL_SECONDS: Final = 20.0
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]{1,9})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What came back: how many answers in how many seconds, and each one's milliseconds, sorted."""

    answers: int
    seconds: float
    milliseconds: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return round(self.answers / self.seconds, 1)

    def percentile(self, share: float) -> float:
        """Return the milliseconds within which that share of the answers came."""
        return round(self.milliseconds[min(int(len(self.milliseconds) * share), len(self.milliseconds) - 1)], 1)


@dataclass
class _Connection:
    """One connection and the answer that it waits for."""

    link: ssl.SSLSocket
    asked_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def ask(self, request: bytes) -> None:
        self.received.clear()
        self.asked_at = time.perf_counter()
        if self.link.send(request) != len(request):
            raise Unavailable(ErrorCode.UNAVAILABLE, "the listener does not read")

    def read(self) -> bool:
        """Take what came; return whether the answer is whole."""
        while True:
            try:
                octets = self.link.recv(_CHUNK)
            except ssl.SSLWantReadError:
                return self._is_whole()
            if not octets:
                raise Unavailable(ErrorCode.UNAVAILABLE, "the listener closed a connection")
            self.received += octets

    def _is_whole(self) -> bool:
        head, end, body = self.received.partition(_END)
        if not end:
            return False
        length = _LENGTH.search(head)
        return length is not None and len(body) >= int(length[1])


def await_listener(address: tuple[str, int]) -> None:
    """Return once somebody listens; Unavailable when nobody does in time."""
    end = time.monotonic() + _STILL_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise Unavailable(ErrorCode.UNAVAILABLE, "nobody listens")


def drive(
    address: tuple[str, int],
    context: ssl.SSLContext,
    requests: Iterator[bytes],
    *,
    connections: int,
    seconds: float,
    status: int,
) -> Driven:
    """Send requests over so many connections for some seconds, or until there are no more.

    VerificationFailed at the first answer of another status; Unavailable.
    """
    expected, taken = f"HTTP/1.1 {status} ".encode(), list[float]()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            plain = stack.enter_context(socket.create_connection(address, timeout=_STILL_SECONDS))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = stack.enter_context(context.wrap_socket(plain, server_hostname=address[0]))
            link.settimeout(0.0)
            selector.register(link, selectors.EVENT_READ, _Connection(link))
        began = time.perf_counter()
        waiting = 0
        for key in selector.get_map().values():
            if (request := next(requests, None)) is not None:
                key.data.ask(request)
                waiting += 1
        while waiting:
            ready = selector.select(_STILL_SECONDS)
            if not ready:
                raise Unavailable(ErrorCode.UNAVAILABLE, "no answer came")
            for key, _events in ready:
                connection: _Connection = key.data
                if not connection.read():
                    continue
                now = time.perf_counter()
                taken.append((now - connection.asked_at) * 1000)
                if not connection.received.startswith(expected):
                    said = bytes(connection.received.partition(_END)[2][:300])
                    raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"not {status}: {said!r}")
                waiting -= 1
                request = next(requests, None) if now - began < seconds else None
                if request is not None:
                    connection.ask(request)
                    waiting += 1
        lasted = time.perf_counter() - began
    return Driven(answers=len(taken), seconds=lasted, milliseconds=tuple(sorted(taken)))
