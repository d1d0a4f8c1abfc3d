"""Ends connections whose other side gives or takes octets too slowly: no server of ours bounds a body or an answer.

The kernel counts what each connection received and had acknowledged (tcp(7), `TCP_INFO`), so that nothing has to be
asked of the server, and no request pays for it. One that is in work is not slow: whoever waits for us may be silent.
"""

import fcntl
import os
import socket
import stat
import struct
import termios
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
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
    and whoever was silent for `work` although a request of its address is in work.
    """

    window: float = 2.5
    rate: int = 4096
    patience: float = 10.0
    longest: float = 600.0
    work: float = 60.0


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
    silent: float | None = None


class SlowPeers:
    """Looks at every connection of this process to one port of its own."""

    def __init__(self, port: int, pace: Pace, at_work: AtWork) -> None:
        self._port, self._pace, self._at_work = port, pace, at_work
        self._connections: dict[int, _Connection] = {}
        self._others: set[int] = set()
        self._last = 0.0

    def watch(self, wait: Callable[[float], object] = time.sleep) -> None:
        """Look again and again, in a thread that ends with the process."""

        def keep_looking() -> None:
            while True:
                wait(self._pace.window)
                with suppress(OSError):  # no descriptor is free to look with: the next time
                    self.look(time.monotonic())

        threading.Thread(target=keep_looking, name="slow peers", daemon=True).start()

    def look(self, now: float) -> int:
        """Judge each connection by what went on since the last look; return how many were ended."""
        passed, self._last = now - self._last, now
        was_stopped = passed > 3 * self._pace.window  # we, not they
        ended, present = 0, set[int]()
        for name in (entry.name for entry in _DESCRIPTORS.iterdir()):
            with suppress(OSError):  # closed meanwhile
                inode = _inode(int(name))
                if inode is None:
                    continue
                present.add(inode)
                if inode in self._others:
                    continue
                with closing(socket.socket(fileno=os.dup(int(name)))) as held:
                    if _inode(held.fileno()) == inode and self._is_slow(inode, held, now, passed, was_stopped):
                        held.shutdown(socket.SHUT_RDWR)
                        ended += 1
        self._others &= present
        for inode in self._connections.keys() - present:
            del self._connections[inode]
        return ended

    def _is_slow(self, inode: int, held: socket.socket, now: float, passed: float, was_stopped: bool) -> bool:  # noqa: FBT001 - of one look
        known = self._connections.get(inode)
        if known is None and not self._is_ours(held):
            self._others.add(inode)
            return False
        acknowledged, received = _TCP_INFO.unpack(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
        (queued,) = struct.unpack("i", fcntl.ioctl(held, termios.TIOCOUTQ, bytes(4)))
        given = acknowledged + queued
        if known is None:
            self._connections[inode] = _Connection(received, acknowledged, given, heard=now, began=now)
            return False
        came, went = received - known.received, acknowledged - known.acknowledged
        took_all = acknowledged >= known.given  # of what there was when we last looked
        known.received, known.acknowledged, known.given = received, acknowledged, given
        if was_stopped:
            known.heard, known.began, known.silent = now, known.began + passed, None
            return False
        if went and (took_all or not queued):
            known.began = now  # what comes or goes from here on is another one, or fast enough
        is_silent = not (queued or came or went)
        known.silent = (known.silent or now - passed) if is_silent else None
        least = self._pace.rate * passed
        is_fast = (took_all or went >= least) if queued else (went > 0 or came >= least)
        if is_fast or (known.silent and self._waits_for_us(held, known.silent, now)):
            known.heard = now
        if now - known.heard < self._pace.patience and now - known.began < self._pace.longest:
            return False
        self._others.add(inode)  # ended; the server will see it
        del self._connections[inode]
        return True

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
