"""Everything that befalls a device: of its own, of its token, and of the processes between it and who asks."""

import signal
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, NamedTuple

from hsm.client import CustodianClient
from hsm.errors import HsmUnavailable
from tests.hsm.messages import NOTE
from tests.hsm.stress.callers import Answered, Keys
from tests.hsm.stress.fronts import CUSTODIANS, Fronts
from tests.support.lost_hsm import LostHsm

LONGEST_WAIT: Final = 10.0
PROBE_SECONDS: Final = 0.005


class Befallen(NamedTuple):
    """One fault: when the device was surely away, if it was, and when it was back."""

    name: str
    swapped: tuple[float, float] | None
    back: float
    custodians_took: tuple[float, ...] = ()


@dataclass(kw_only=True)
class Faults:
    """Has things happen, drawn by `random`; each kind before any comes again."""

    hsm: LostHsm
    fronts: Fronts
    keys: Keys
    seal_reference: bytes
    random: Random
    longest_stop: float

    def __post_init__(self) -> None:
        self._deck: list[Callable[[], Befallen]] = []
        self._kinds: tuple[Callable[[], Befallen], ...] = (
            self.killed,
            self.stopped,
            self.renumbered,
            self.token_away,
            self.key_swapped,
            self.front_killed,
            *(partial(self.device_process, number) for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)),
        )

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Ask each custodian by itself how soon it signs again."""
        self._probes = [CustodianClient(path) for path in self.fronts.sockets]
        with ThreadPoolExecutor(CUSTODIANS) as self._pool:
            yield
        for probe in self._probes:
            probe.close()

    def next(self) -> Befallen:
        """Have the next thing happen, and wait until every custodian signs again."""
        if not self._deck:
            self._deck = self.random.sample(self._kinds, len(self._kinds))
        return self.recovered(self._deck.pop()())

    def recovered(self, befallen: Befallen) -> Befallen:
        """Wait until every custodian signs again."""
        took = self._pool.map(lambda probe: self._resumed(probe) - befallen.back, self._probes)
        return befallen._replace(custodians_took=tuple(took))

    def _resumed(self, probe: CustodianClient) -> float:
        until = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < until:
            try:
                probe.sign(self.keys.seal, NOTE)
            except HsmUnavailable:
                time.sleep(PROBE_SECONDS)
            else:
                return time.monotonic()
        raise AssertionError(f"still away: {probe.health().detail}")

    def _for_a_while(self, longest: float = 1.0) -> None:
        time.sleep(self.random.uniform(0.2, longest))

    # --- the device ---

    def killed(self) -> Befallen:
        """The device dies with every session and returns later."""
        self.hsm.kill()
        self._for_a_while()
        self.hsm.start()
        return Befallen("killed", None, time.monotonic())

    def stopped(self, seconds: float | None = None) -> Befallen:
        """The device hangs and goes on later."""
        self.hsm.stop()
        if seconds is None:
            self._for_a_while(self.longest_stop)
        else:
            time.sleep(seconds)
        self.hsm.cont()
        return Befallen("stopped", None, time.monotonic())

    def renumbered(self) -> Befallen:
        """The device is started anew and its slots have other numbers."""
        self.hsm.restart_renumbered()
        return Befallen("renumbered", None, time.monotonic())

    # --- its token ---

    def token_away(self) -> Befallen:
        """The token is taken out and put in again."""
        self.hsm.take_token_away()
        self._for_a_while()
        self.hsm.bring_token_back()
        return Befallen("token away", None, time.monotonic())

    def key_swapped(self) -> Befallen:
        """Another key is under the label and the id, for a while."""
        self.hsm.swap_key(self.seal_reference)
        began = time.monotonic()
        self._for_a_while()
        ended = time.monotonic()
        self.hsm.put_key_back(self.seal_reference)
        return Befallen("key swapped", (began, ended), time.monotonic())

    # --- the processes ---

    def front_killed(self) -> Befallen:
        """A custodian is killed; nobody but its supervisor starts it again."""
        self.fronts.kill(self.random.randrange(CUSTODIANS))
        return Befallen("custodian killed", None, time.monotonic())

    def device_process(self, number: signal.Signals) -> Befallen:
        """A device process dies, crashes or hangs."""
        self.fronts.signal_device_process(self.random.randrange(CUSTODIANS), number)
        return Befallen(f"device process {number.name}", None, time.monotonic())


def signed_while_swapped(befallen: Befallen, of_the_key: list[Answered]) -> list[Answered]:
    """Return what was asked for and signed with a key while another one had its place."""
    if befallen.swapped is None:
        return []
    began, ended = befallen.swapped
    return [answer for answer in of_the_key if answer.began > began and answer.ended < ended]


def resumed_after(befallen: Befallen, of_the_key: list[Answered]) -> float:
    """Return after how many seconds somebody had a signature that was asked for after the device was back."""
    first = bisect_left(of_the_key, befallen.back, key=lambda answer: answer.ended)
    return next(answer.ended for answer in of_the_key[first:] if answer.began >= befallen.back) - befallen.back
