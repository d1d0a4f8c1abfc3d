"""Two custodians over one token: what one of them changes, and what becomes of callers when one of them goes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from hsm.client import CustodianClient
from hsm.errors import HsmUnavailable, PurposeRefused
from hsm.process import CustodianProcess
from hsm.provider import KeyPurpose
from pki.errors import Conflict
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.hung import go_on, hang
from tests.support.softhsm import CustodianHome

pytestmark = pytest.mark.real

SEAL = (SignatureAlgorithm.ES256, KeyPurpose.SEAL)
CA = (SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)


@dataclass(kw_only=True)
class Pair:
    home: CustodianHome
    second: CustodianProcess
    client: CustodianClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = CustodianClient([self.home.socket_path(index=0), self.home.socket_path(index=1)])


@pytest.fixture(scope="module")
def started(custodian_factory: Callable[[], CustodianHome]) -> Iterator[Pair]:
    home = custodian_factory()
    second = home.another(1)
    home.process.start()
    second.start()
    yield Pair(home=home, second=second)
    second.stop()


@pytest.fixture
def pair(started: Pair) -> Iterator[Pair]:
    """Return both custodians, running, with a client of their own for the test."""
    started.home.process.start()
    started.second.start()
    fresh = Pair(home=started.home, second=started.second)
    yield fresh
    fresh.client.close()


def _alone(pair: Pair, index: int) -> CustodianClient:
    return CustodianClient(pair.home.socket_path(index=index))


def test_what_one_makes_and_binds_the_other_knows_before_its_next_signature(pair: Pair) -> None:
    first, second = _alone(pair, 0), _alone(pair, 1)
    label = f"ca-{time.monotonic_ns()}"
    first.generate(label, *CA)
    foreign = m.tbs_certificate(b"\x30\x00", issuer=m.name("Other CA"))
    second.sign(label, foreign)
    first.set_issuer(label, m.ISSUER)
    with pytest.raises(PurposeRefused):
        second.sign(label, foreign)
    second.sign(label, m.tbs_certificate(b"\x30\x00"))
    with pytest.raises(Conflict):
        second.generate(label, *CA)
    with pytest.raises(PurposeRefused):
        first.sign(label, foreign)
    first.close()
    second.close()


def test_keys_that_both_make_in_turn_are_signed_with_by_both_at_once(pair: Pair) -> None:
    alone = [_alone(pair, 0), _alone(pair, 1)]
    labels = [f"turn-{time.monotonic_ns()}" for _ in range(6)]
    for turn, label in enumerate(labels):
        alone[turn % 2].generate(label, *SEAL)
    for client in alone:
        for label in labels:
            client.sign(label, m.NOTE)
        client.close()


def _in_the_end(act: Callable[[], object]) -> None:
    """Do again what finds the device away: it is opened anew where a key is not seen, or where the machine stalls."""
    limit = time.monotonic() + 30
    while True:
        try:
            act()
        except HsmUnavailable:
            assert time.monotonic() < limit
            time.sleep(0.1)
        else:
            return


def test_keys_that_both_make_at_the_same_time_are_signed_with_by_both(pair: Pair) -> None:
    labels: list[str] = []

    def make(client: CustodianClient) -> None:
        label = f"together-{time.monotonic_ns()}"
        client.generate(label, SignatureAlgorithm.RS256, KeyPurpose.SEAL)
        labels.append(label)

    with closing(_alone(pair, 0)) as one, closing(_alone(pair, 1)) as other:
        makers = [threading.Thread(target=_in_the_end, args=(partial(make, client),)) for client in (one, other)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
        assert len(labels) == 2
        for client in (one, other):
            for label in labels:
                _in_the_end(partial(client.sign, label, m.NOTE))


def test_calls_are_spread_over_both(pair: Pair) -> None:
    label = pair.home.key(*SEAL)
    before = [_alone_count(pair, index, label) for index in (0, 1)]
    for _ in range(20):
        pair.client.sign(label, m.NOTE)
    after = [_alone_count(pair, index, label) for index in (0, 1)]
    assert all(later > earlier for later, earlier in zip(after, before, strict=True))
    assert pair.client.uses()[label].count == sum(after)
    assert [health.ok for health in pair.client.healths()] == [True, True]


def _alone_count(pair: Pair, index: int, label: str) -> int:
    client = _alone(pair, index)
    use = client.uses().get(label)
    client.close()
    return 0 if use is None else use.count


def test_a_custodian_that_is_killed_loses_no_request(pair: Pair) -> None:
    label = pair.home.key(*SEAL)
    public_key = pair.client.signing_key(label).public_key()
    signed, lost, stop = [0] * 8, [], threading.Event()

    def sign(thread: int) -> None:
        while not stop.is_set():
            note = f"thread {thread} note {signed[thread]}\n".encode()
            try:
                verify_signature(public_key, pair.client.sign(label, note), note)
            except HsmUnavailable as error:
                lost.append(error)
            signed[thread] += 1

    threads = [threading.Thread(target=sign, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for victim in (pair.second, pair.home.process, pair.second):
        time.sleep(0.4)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        time.sleep(0.4)
        victim.restart()
    stop.set()
    for thread in threads:
        thread.join()
    assert not lost
    assert min(signed) > 10


def test_a_custodian_that_hangs_is_left_alone_and_asked_again_when_it_is_back(pair: Pair) -> None:
    label = pair.home.key(*SEAL)
    pair.client.sign(label, m.NOTE)
    assert pair.second.pid is not None
    hang(pair.second.pid)
    try:
        for _ in range(4):  # the first that comes to it waits for half of its second
            pair.client.sign(label, m.NOTE)
        started = time.monotonic()
        for _ in range(40):  # each second one would wait for half a second
            pair.client.sign(label, m.NOTE)
        assert time.monotonic() - started < 9
    finally:
        go_on(pair.second.pid)
    deadline = time.monotonic() + 10
    time.sleep(0.3)  # what it was asked while it hung is done, and counts for nothing here
    before = _alone_count(pair, 1, label)
    while _alone_count(pair, 1, label) == before:
        assert time.monotonic() < deadline, "it is never asked again"
        pair.client.sign(label, m.NOTE)
        time.sleep(0.05)


def test_when_all_hang_one_call_finds_out_and_the_others_fail_at_once(pair: Pair) -> None:
    label = pair.home.key(*SEAL)
    client = CustodianClient(
        [pair.home.socket_path(index=0), pair.home.socket_path(index=1)], timeout=timedelta(milliseconds=600)
    )
    client.sign(label, m.NOTE)
    pids = [pair.home.process.pid, pair.second.pid]
    for pid in pids:
        assert pid is not None
        hang(pid)
    times: list[float] = []

    def ask() -> None:
        started = time.monotonic()
        with pytest.raises(HsmUnavailable):
            client.sign(label, m.NOTE)
        times.append(time.monotonic() - started)

    try:
        ask()
        assert times.pop() < 2
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(times)[6] < 0.3, "most callers need not find out for themselves"
        assert max(times) < 2
    finally:
        for pid in pids:
            if pid is not None:
                go_on(pid)
    deadline = time.monotonic() + 5
    while True:
        try:
            client.sign(label, m.NOTE)
            break
        except HsmUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    client.close()
