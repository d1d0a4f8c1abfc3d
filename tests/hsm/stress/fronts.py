"""Two custodians of one token that are started again when they end, as `mohr serve` does."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hsm.client import CustodianClient
from hsm.errors import HsmUnavailable
from pki.journal import START, KeyUse, check_continues, parse_line
from tests.support.separated import until
from tests.support.softhsm import ROLE, CustodianHome

CUSTODIANS: Final = 2
WATCH_SECONDS: Final = 0.05
PAGE: Final = 2000


class Fronts:
    """The custodians of one home; each is watched by a thread of its own."""

    def __init__(self, home: CustodianHome) -> None:
        self.home = home
        self._processes = [home.another(index) for index in range(CUSTODIANS)]
        self._stopping = threading.Event()
        self.starts = [0] * CUSTODIANS
        self._threads = [threading.Thread(target=self._keep, args=(index,)) for index in range(CUSTODIANS)]

    @property
    def sockets(self) -> list[Path]:
        """Where they listen."""
        return [process.socket_path(ROLE) for process in self._processes]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep them running for the block."""
        for thread in self._threads:
            thread.start()
        try:
            for index in range(CUSTODIANS):
                self.await_well(index)
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()

    def _keep(self, index: int) -> None:
        process = self._processes[index]
        while not self._stopping.is_set():
            if not process.running:
                with suppress(HsmUnavailable):  # killed as it started
                    process.start()
                    self.starts[index] += 1
            self._stopping.wait(WATCH_SECONDS)
        process.stop()

    def await_started(self, starts: int) -> None:
        """Wait until so many starts have been made in all."""
        until(lambda: sum(self.starts) >= starts, f"{starts} starts")

    def await_well(self, index: int) -> None:
        """Wait until one of them can sign."""
        client = CustodianClient(self.sockets[index])
        try:
            until(lambda: client.health().ok, f"custodian {index} is well")
        finally:
            client.close()

    def kill(self, index: int) -> None:
        """Kill one."""
        pid = self._processes[index].pid
        if pid is not None and self._processes[index].running:
            os.kill(pid, signal.SIGKILL)

    def signal_device_process(self, index: int, number: signal.Signals) -> None:
        """Send a signal to the device process of one, if it has one now."""
        front = self._processes[index].pid
        children = Path(f"/proc/{front}/task/{front}/children")
        with suppress(OSError):  # either of them ended meanwhile
            for child in children.read_text(encoding="ascii").split():
                os.kill(int(child), number)

    def uses(self) -> list[KeyUse]:
        """Return every entry of their journals, each of which must be one whole chain."""
        found: list[KeyUse] = []
        client = CustodianClient(self.sockets)
        try:
            for index in range(CUSTODIANS):
                sequence, hashed = 0, START
                while lines := client.journal(index, sequence, PAGE).lines:
                    sequence, hashed = check_continues(lines, sequence, hashed)
                    found += [parse_line(line).use for line in lines]
                head = client.journal(index, sequence, 1)
                assert (head.sequence, head.hash) == (sequence, hashed)
        finally:
            client.close()
        return found
