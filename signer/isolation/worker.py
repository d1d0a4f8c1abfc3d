"""The other side: start a worker, ask it, and have an answer in time even where the worker hangs or dies."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from pki.errors import ServiceError
from signer.isolation.order import Answer, Order
from signer.isolation.wire import Channel

SECONDS: Final = 9.0  # so that a verdict is there within ten, the start of the program included


class Process(Protocol):
    """A worker's process."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def end(self) -> None:
        """Kill it, if it lives, and leave nothing of it."""
        ...


Start = Callable[[], tuple[Channel, Process]]


class Worker:
    """One worker, started when first asked and again after it was lost. Used by one thread at a time."""

    def __init__(self, start: Start, *, seconds: float = SECONDS) -> None:
        """Give a file `seconds` of time."""
        self._start, self._seconds = start, seconds
        self._running: tuple[Channel, Process] | None = None
        self._until = 0.0

    @property
    def until(self) -> float:
        """When (monotonic seconds) the order under way must be answered."""
        return self._until

    @property
    def pid(self) -> int | None:
        """The number of its process, while it has one."""
        return None if self._running is None else self._running[1].pid

    def fileno(self) -> int:
        """Return what can be read when the order under way is answered, or the worker is lost."""
        return -1 if self._running is None else self._running[0].fileno()

    def ask(self, order: Order) -> Answer | None:
        """Have one file judged; None where that came to no end."""
        self.give(order)
        return self.take()

    def give(self, order: Order) -> None:
        """Begin to have one file judged."""
        for _ in range(2):  # one that died or was stopped since its last answer did not do so over this file
            if self._running is None:
                self._running = self._start()
            now = time.monotonic()
            self._until = now + self._seconds
            try:
                self._running[0].send(order.parts(), now + self._seconds / 3)
            except OSError:
                self.end()
            else:
                return

    def take(self) -> Answer | None:
        """Return the answer to what was given; None, and a dead worker, where there is none in time."""
        if self._running is None:
            return None
        try:
            answer = Answer.of(self._running[0].receive(self._until))
        except (EOFError, OSError, ValueError, ServiceError):
            self.end()
            return None
        if answer.spent:
            self.end()
        return answer

    def end(self) -> None:
        """Kill the worker."""
        running, self._running = self._running, None
        if running is not None:
            running[0].close()
            running[1].end()


class _Forked:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def forked(serve: Callable[[Channel], None]) -> Start:
    """Fork workers from a process of one thread: they have everything loaded already."""

    def start() -> tuple[Channel, Process]:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid:
            theirs.close()
            return Channel(ours), _Forked(pid)
        status = 1
        try:
            ours.close()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits for us is told, and closes the line
            serve(Channel(theirs))
            status = 0
        finally:
            os._exit(status)

    return start


class _Spawned:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def spawned(command: Sequence[str], environment: Mapping[str, str]) -> Start:
    """Start workers by a command, which gets the line as standard input: for programs with threads."""

    def start() -> tuple[Channel, Process]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, env=environment, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
            )
        return Channel(ours), _Spawned(process)

    return start
