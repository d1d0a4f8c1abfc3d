"""Ends connections whose other side gives or takes octets too slowly: no server of ours bounds a body or an answer.

The kernel counts what each connection received and had acknowledged (tcp(7), `TCP_INFO`), so that nothing has to be
asked of the server, and no request pays for it. One that is in work is not slow: whoever waits for us may be silent.
While others wait for a place that the slow may hold, more is asked of all, the more the longer that lasts, and those
go first whose address has most of them, then the slowest.
"""

import fcntl
import os
import socket
import stat
import struct
import termios
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_DESCRIPTORS: Final = Path("/proc/self/fd")
_TCP_INFO: Final = struct.Struct("=120xQQ")  # bytes_acked, bytes_received


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is asked of the other side, in seconds and octets a second.

    It is looked every `window`; who is below `rate` for `patience` is ended, as is one transfer that lasts `longest`,
    and whoever was silent for `work` although a request of its address is in work. While others wait for a place, it is
    looked every `short_window`, and a request that after `grace` has come at less than `contested_rate` may be ended;
    with each look that is halved, down to `least_grace`, and with each one that nobody waits for doubled.
    """

    window: float = 2.5
    rate: int = 4096
    patience: float = 10.0
    longest: float = 600.0
    work: float = 60.0
    short_window: float = 0.125
    grace: float = 2.0
    least_grace: float = 0.125
    contested_rate: int = 32 * 1024


class AtWork:
    """The requests that are complete and not yet answered. Threads share it."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[str, str, float]] = {}

    def begin(self, environ: "WSGIEnvironment") -> None:
        """Count the request of this thread from now on."""
        address, port = environ.get("REMOTE_ADDR", ""), str(environ.get("REMOTE_PORT", ""))
        self._since[threading.get_ident()] = (address, port, time.monotonic())

    def end(self) -> None:
        """Count it no longer."""
        del self._since[threading.get_ident()]

    @contextmanager
    def counted(self, environ: "WSGIEnvironment") -> Iterator[None]:
        """Count the request of this thread for the block."""
        self.begin(environ)
        try:
            yield
        finally:
            self.end()

    def count(self, address: str | None = None, port: int | None = None) -> int:
        """Return how many there are: of all, or of a connection or those of its address that may be its own."""
        working = list(self._since.values())
        if address is None:
            return len(working)
        return sum(one == address and its in ("", str(port)) for one, its, _ in working)

    def began_before(self, address: str, port: int, moment: float) -> bool:
        """Whether one from there is older; a server that names no port means each connection of the address."""
        working = list(self._since.values())
        return any(one == address and its in ("", str(port)) and since <= moment for one, its, since in working)


@dataclass(slots=True)
class _Connection:
    received: int
    acknowledged: int
    given: int  # octets that it took or was to take
    heard: float  # when it was last as fast as it must be, or waited for us
    began: float  # what it gives or takes now
    asks: float  # since when a request comes that we said nothing to, or it is idle
    asked: int  # the octets of that request
    silent: float | None = None


@dataclass(frozen=True, slots=True)
class _Late:
    """A connection whose request, if there is one, comes more slowly than it may while others wait."""

    descriptor: int
    inode: int
    address: str
    port: int
    rate: float
    is_silent: bool


class SlowPeers:
    """Looks at every connection of this process to one port of its own."""

    def __init__(self, port: int, pace: Pace, at_work: AtWork) -> None:
        self._port, self._pace, self._at_work = port, pace, at_work
        self._connections: dict[int, _Connection] = {}
        self._others: set[int] = set()
        self._last = 0.0
        self._lock, self._called = threading.Lock(), threading.Event()
        self._waiting = 0  # who wait for a place that the slow may hold
        self._share, self._grace = 0, pace.grace  # how many the next look may end for them, and who is old enough

    def watch(self) -> None:
        """Look again and again, in a thread that ends with the process."""

        def keep_looking() -> None:
            while True:
                self._called.wait(self._pace.short_window if self._waiting else self._pace.window)
                self._called.clear()
                time.sleep(max(0.0, self._last + self._pace.short_window - time.monotonic()))
                with suppress(OSError):  # no descriptor is free to look with: the next time
                    self.look(time.monotonic())

        threading.Thread(target=keep_looking, name="slow peers", daemon=True).start()

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Ask more of all others while the block waits for a place that one of them holds."""
        with self._lock:
            self._waiting += 1
        self._called.set()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def look(self, now: float) -> int:
        """Judge each connection by what went on since the last look; return how many were ended."""
        passed, self._last = now - self._last, now
        was_stopped = passed > 3 * self._pace.window  # we, not they
        ended, present, late = 0, set[int](), list[_Late]()
        for name in (entry.name for entry in _DESCRIPTORS.iterdir()):
            with suppress(OSError):  # closed meanwhile
                inode = _inode(int(name))
                if inode is None:
                    continue
                present.add(inode)
                if inode in self._others:
                    continue
                with closing(socket.socket(fileno=os.dup(int(name)))) as held:
                    if _inode(held.fileno()) != inode:
                        continue
                    if self._is_slow(inode, held, now, passed, was_stopped):
                        ended += self._end(inode, held)
                    elif self._waiting and (rate := self._rate_if_late(inode, held, now)) is not None:
                        address, port = held.getpeername()[:2]
                        is_silent = self._connections[inode].silent is not None
                        late.append(_Late(int(name), inode, address, port, rate, is_silent))
        self._others &= present
        for inode in self._connections.keys() - present:
            del self._connections[inode]
        return ended + self._end_for_others(late)

    def _end_for_others(self, late: list[_Late]) -> int:
        """End as many as places are waited for, and twice as many each time: not each of them holds one."""
        if not self._waiting:
            self._share, self._grace = self._share // 2, min(2 * self._grace, self._pace.grace)
            return 0
        self._share = max(2 * self._share, self._waiting)
        self._grace = max(self._grace / 2, self._pace.least_grace)
        ended, of_address = 0, Counter(one.address for one in late)
        for one in sorted(self._not_in_work(late), key=lambda one: (not one.rate, -of_address[one.address], one.rate))[
            : self._share
        ]:
            with suppress(OSError), closing(socket.socket(fileno=os.dup(one.descriptor))) as held:
                if _inode(held.fileno()) == one.inode:
                    ended += self._end(one.inode, held)
        return ended

    def _not_in_work(self, late: list[_Late]) -> Iterator[_Late]:
        """Leave those out that wait for us: as many silent ones as are in work, the fastest, where no port is named."""
        spared = Counter[str]()
        for one in sorted(late, key=lambda one: -one.rate):
            if one.is_silent and spared[one.address] < self._at_work.count(one.address, one.port):
                spared[one.address] += 1
            else:
                yield one

    def _end(self, inode: int, held: socket.socket) -> int:
        self._others.add(inode)  # the server will see that it is ended
        del self._connections[inode]
        held.shutdown(socket.SHUT_RDWR)
        return 1

    def _is_slow(self, inode: int, held: socket.socket, now: float, passed: float, was_stopped: bool) -> bool:  # noqa: FBT001 - of one look
        known = self._connections.get(inode)
        if known is None and not self._is_ours(held):
            self._others.add(inode)
            return False
        acknowledged, received = _TCP_INFO.unpack(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
        queued = _octets(held, termios.TIOCOUTQ)
        given = acknowledged + queued
        if known is None:
            asked = 0 if given else received
            self._connections[inode] = _Connection(
                received, acknowledged, given, heard=now, began=now, asks=now, asked=asked
            )
            return False
        came, went = received - known.received, acknowledged - known.acknowledged
        took_all = acknowledged >= known.given  # of what there was when we last looked
        if given > known.given:
            known.asks, known.asked = now, 0
        elif came:
            known.asks = known.asks if known.asked else now - passed
            known.asked += came
        known.received, known.acknowledged, known.given = received, acknowledged, given
        if was_stopped:
            known.heard, known.began, known.asks, known.silent = now, known.began + passed, now, None
            return False
        if went and (took_all or not queued):
            known.began = now  # what comes or goes from here on is another one, or fast enough
        is_silent = not (queued or came or went)
        known.silent = (known.silent or now - passed) if is_silent else None
        least = self._pace.rate * passed
        is_fast = (took_all or went >= least) if queued else (went > 0 or came >= least)
        waits = known.silent and (_octets(held, termios.FIONREAD) or self._waits_for_us(held, known.silent, now))
        if is_fast or waits:
            known.heard = now
        return now - known.heard >= self._pace.patience or now - known.began >= self._pace.longest

    def _rate_if_late(self, inode: int, held: socket.socket, now: float) -> float | None:
        """Return how fast a request comes, in octets a second, if that is too slow while others wait."""
        known = self._connections.get(inode)
        if known is None or now - known.asks < self._grace or known.acknowledged < known.given:
            return None
        rate = known.asked / (now - known.asks)
        is_read = not _octets(held, termios.FIONREAD)  # else it waits for us
        return rate if rate < self._pace.contested_rate and is_read else None

    def _waits_for_us(self, held: socket.socket, silent: float, now: float) -> bool:
        if now - silent >= self._pace.work:
            return False
        address, port = held.getpeername()[:2]
        return self._at_work.began_before(address, port, silent + self._pace.window)

    def _is_ours(self, held: socket.socket) -> bool:
        """Whether it is a connection to the port; what listens there is none."""
        if held.family not in (socket.AF_INET, socket.AF_INET6) or held.type != socket.SOCK_STREAM:
            return False
        if held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        return bool(held.getsockname()[1] == self._port)


def _inode(descriptor: int) -> int | None:
    status = os.fstat(descriptor)
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


def _octets(held: socket.socket, request: int) -> int:
    """Return how many octets lie in a queue of the kernel."""
    (count,) = struct.unpack("i", fcntl.ioctl(held, request, bytes(4)))
    return int(count)
