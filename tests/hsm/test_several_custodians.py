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
from operator import ge
from pathlib import Path

import pytest

from hsm.client import CustodianClient
from hsm.errors import HsmUnavailable, PurposeRefused
from hsm.process import CustodianProcess
from hsm.provider import KeyPurpose
from pki.errors import Conflict
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.hung import go_on, hang
from tests.support.patience import PATIENCE, in_the_end, until
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
        self.client = CustodianClient(self.client_sockets)

    @property
    def client_sockets(self) -> list[Path]:
        return [self.home.socket_path(index=index) for index in (0, 1)]


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
    label = f"ca-{time.monotonic_ns()}"
    foreign = m.tbs_certificate(b"\x30\x00", issuer=m.name("Other CA"))
    with closing(_alone(pair, 0)) as first, closing(_alone(pair, 1)) as second:
        first.generate(label, *CA)
        second.sign(label, foreign)
        first.set_issuer(label, m.ISSUER)
        with pytest.raises(PurposeRefused):
            second.sign(label, foreign)
        second.sign(label, m.tbs_certificate(b"\x30\x00"))
        with pytest.raises(Conflict):
            second.generate(label, *CA)
        with pytest.raises(PurposeRefused):
            first.sign(label, foreign)


def test_keys_that_both_make_in_turn_are_signed_with_by_both_at_once(pair: Pair) -> None:
    labels = [f"turn-{time.monotonic_ns()}" for _ in range(6)]
    with closing(_alone(pair, 0)) as one, closing(_alone(pair, 1)) as other:
        for turn, label in enumerate(labels):
            (one, other)[turn % 2].generate(label, *SEAL)
        for client in (one, other):
            for label in labels:
                client.sign(label, m.NOTE)


def test_keys_that_both_make_at_the_same_time_are_signed_with_by_both(pair: Pair) -> None:
    labels: list[str] = []

    def make(client: CustodianClient) -> None:
        label = f"together-{time.monotonic_ns()}"
        client.generate(label, SignatureAlgorithm.RS256, KeyPurpose.SEAL)
        labels.append(label)

    with closing(_alone(pair, 0)) as one, closing(_alone(pair, 1)) as other:
        makers = [threading.Thread(target=in_the_end, args=(partial(make, client),)) for client in (one, other)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
        assert len(labels) == 2
        for client in (one, other):
            for label in labels:
                in_the_end(partial(client.sign, label, m.NOTE))


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
    with closing(_alone(pair, index)) as client:
        use = client.uses().get(label)
    return 0 if use is None else use.count


def test_a_custodian_that_is_killed_loses_no_request(pair: Pair) -> None:
    label = pair.home.key(*SEAL)
    public_key = pair.client.signing_key(label).public_key()
    signed, lost, stop = [0] * 8, list[HsmUnavailable](), threading.Event()
    patient = CustodianClient(pair.client_sockets, timeout=timedelta(seconds=PATIENCE))

    def each_signed(more: int) -> None:
        """Wait until every thread has signed so often again."""
        wanted = [count + more for count in signed]
        until(lambda: all(map(ge, signed, wanted)) or lost, "all go on signing")

    def sign(thread: int) -> None:
        while not stop.is_set():
            note = f"thread {thread} note {signed[thread]}\n".encode()
            try:
                verify_signature(public_key, patient.sign(label, note), note)
            except HsmUnavailable as error:
                lost.append(error)
            signed[thread] += 1

    threads = [threading.Thread(target=sign, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for victim in (pair.second, pair.home.process, pair.second):
            each_signed(3)
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            each_signed(3)
            victim.restart()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        patient.close()
    assert not lost


def test_a_custodian_that_hangs_is_left_alone_and_asked_again_when_it_is_back(pair: Pair) -> None:
    sign = partial(in_the_end, partial(pair.client.sign, pair.home.key(*SEAL), m.NOTE))
    sign()
    assert pair.second.pid is not None
    hang(pair.second.pid)
    try:
        for _ in range(4):  # the first that comes to it waits for half of its second
            sign()
        started = time.monotonic()
        for _ in range(40):  # each second one would wait for half a second
            sign()
        assert time.monotonic() - started < 9
    finally:
        go_on(pair.second.pid)
    time.sleep(0.3)  # what it was asked while it hung is done, and counts for nothing here
    count = partial(_alone_count, pair, 1, pair.home.key(*SEAL))
    before = in_the_end(count)
    until(lambda: sign() and in_the_end(count) > before, "it is asked again")


def test_when_all_hang_one_call_finds_out_and_the_others_fail_at_once(pair: Pair) -> None:
    label = pair.home.key(*SEAL)
    client = CustodianClient(pair.client_sockets, timeout=timedelta(milliseconds=600))
    in_the_end(partial(client.sign, label, m.NOTE))
    pids = [pair.home.process.pid, pair.second.pid]
    for pid in pids:
        assert pid is not None
        hang(pid)
    found_out: list[bool] = []

    def ask(together: threading.Barrier | None = None) -> None:
        if together is not None:
            together.wait()
        with pytest.raises(HsmUnavailable) as refused:
            client.sign(label, m.NOTE)
        found_out.append("in time" in refused.value.detail)

    try:
        ask()
        assert found_out.pop()
        together = threading.Barrier(12)
        threads = [threading.Thread(target=ask, args=(together,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found_out) == 12
        assert found_out.count(True) < 6, "most callers need not find out for themselves"
    finally:
        for pid in pids:
            if pid is not None:
                go_on(pid)
    in_the_end(partial(client.sign, label, m.NOTE))
    client.close()
