"""Workers that hang, die or eat memory over a file: there is an answer in time, and the next file has its own."""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import ServiceError
from signer.isolation.child import _private_octets, serve
from signer.isolation.crew import judge_all
from signer.isolation.order import Answer, Form, Order
from signer.isolation.wire import Channel
from signer.isolation.worker import Process, Start, Worker, forked, spawned
from signer.rendering import render
from signer.validation.context import VerificationContext
from signer.validation.verdict import FileVerdict, Indication

CONTEXT = VerificationContext(at=datetime(2026, 11, 22, tzinfo=UTC))


def order(data: bytes = b"nothing signed") -> Order:
    return Order(data=data, name="file")


def strange(verdict: FileVerdict, asked: Order) -> Answer:
    """Stand in for a reader of strangers' files that is had."""
    match asked.data.split(b" ")[0]:
        case b"hang":
            time.sleep(60)
        case b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"eat":
            return Answer(indication=Indication.PASSED, text=b"" if bytearray(1 << 30) else b"none")
        case b"lie":
            return Answer(indication="nonsense", text=b"")  # type: ignore[arg-type]
        case b"sleep":
            time.sleep(0.1)
    return render(verdict, asked)


def start(render_as: object = strange) -> Start:
    return forked(partial(serve, contexts=lambda: CONTEXT, render=render_as))  # type: ignore[arg-type]


class Impatient(Worker):
    """Gives no time to a file that hangs, and much to every other: a busy machine may take long over a good one."""

    def give(self, order: Order) -> None:
        self._seconds = 0.3 if order.data == b"hang" else 30.0
        super().give(order)


@contextmanager
def working() -> Iterator[Worker]:
    worker = Impatient(start())
    try:
        yield worker
    finally:
        worker.end()


def pid_of(worker: Worker) -> int:
    assert worker.pid is not None
    return worker.pid


@pytest.mark.parametrize("trouble", [b"hang", b"die", b"eat", b"lie"])
def test_a_file_that_breaks_its_worker_has_no_answer_and_the_next_one_has(trouble: bytes) -> None:
    with working() as worker:
        assert worker.ask(order()) is not None
        assert worker.ask(order(trouble)) is None
        answer = worker.ask(order())
    assert answer is not None
    assert b'"file":"file"' in answer.text


def test_a_worker_that_died_between_two_files_is_no_fault_of_the_second() -> None:
    with working() as worker:
        assert worker.ask(order()) is not None
        pid = pid_of(worker)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert worker.ask(order()) is not None


def test_a_worker_that_was_stopped_and_takes_nothing_any_more_is_replaced() -> None:
    class Stopped:
        pid = 0

        def end(self) -> None:
            ended.append(self)

    def begin() -> tuple[Channel, Process]:
        if not ended:
            return Channel(ours), Stopped()
        worker._seconds = 30.0
        return start()()

    ended: list[Stopped] = []
    ours, theirs = socket.socketpair()
    worker = Worker(begin, seconds=0.3)
    with ours, theirs:
        try:
            assert worker.ask(order(bytes(5 << 20))) is not None
        finally:
            worker.end()
    assert len(ended) == 1


def test_memory_that_a_file_may_not_have_is_refused_to_its_reader_alone() -> None:
    """What the verifier itself meets as MemoryError is a verdict; the worker goes on."""
    with working() as worker:
        assert worker.ask(order(b"eat")) is None  # the stand-in does not catch it
        assert worker.ask(order(b"x" * 1024)) is not None


def test_many_files_are_answered_in_their_order_whatever_becomes_of_some() -> None:
    data = [b"sleep", b"1", b"die", b"3", b"hang", b"5", b"6", b"lie", b"8"] * 2
    workers = [Impatient(start()) for _ in range(3)]
    orders = (Order(data=one, name=str(number)) for number, one in enumerate(data))
    told = [(one.name, answer is not None) for one, answer in judge_all(orders, workers)]
    assert told == [(str(number), one not in (b"die", b"hang", b"lie")) for number, one in enumerate(data)]


def test_whoever_stops_early_leaves_no_worker() -> None:
    workers = [Worker(start()) for _ in range(2)]
    answers = judge_all((order(b"%d" % number) for number in range(100)), workers)
    next(answers)
    pids = [pid_of(worker) for worker in workers]
    answers.close()  # type: ignore[attr-defined]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_spawned_worker_gets_the_line_as_its_standard_input() -> None:
    message = struct.pack(">5I", 4, 13, 1, 0, 0) + b"INDETERMINATEx"
    said = f"import socket; socket.socket(fileno=0).sendall({message!r})"
    worker = Worker(spawned((sys.executable, "-c", said), {"PATH": os.environ["PATH"]}))
    try:
        assert worker.ask(order()) == Answer(indication=Indication.INDETERMINATE, text=b"x")
    finally:
        worker.end()


@given(
    data=st.binary(max_size=200),
    name=st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=20),
    content=st.none() | st.binary(max_size=20),
    at=st.none() | st.datetimes(timezones=st.just(UTC)),
    form=st.sampled_from(Form),
)
def test_orders_come_over_the_line_as_they_were_given(
    data: bytes, name: str, content: bytes | None, at: datetime | None, form: Form
) -> None:
    given_order = Order(data=data, name=name, content=content, at=at, form=form)
    assert Order.of(given_order.parts()) == given_order


@given(said=st.binary(max_size=64))
def test_what_is_no_message_is_an_error_that_the_caller_knows(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        try:
            parts = Channel(ours).receive(time.monotonic() + 5)
        except (EOFError, ServiceError):
            return
        assert sum(map(len, parts)) <= len(said)


def test_a_forked_worker_dumps_no_core_and_has_little_memory(tmp_path: Path) -> None:
    with working() as worker:
        assert worker.ask(order()) is not None
        limits = Path(f"/proc/{pid_of(worker)}/limits").read_text()
    (core,) = (line.split() for line in limits.splitlines() if line.startswith("Max core"))
    (memory,) = (line.split() for line in limits.splitlines() if line.startswith("Max data"))
    assert core[4] == "0"
    assert int(memory[3]) < _private_octets() + (1 << 30), "what it may have more than we, whatever that is by now"


def test_a_worker_with_little_memory_left_is_ended_after_its_answer() -> None:
    def hoards(verdict: FileVerdict, asked: Order) -> Answer:
        kept.append(bytearray(250 * 1024 * 1024))
        return render(verdict, asked)

    kept: list[bytearray] = []
    worker = Worker(start(hoards))
    try:
        for _ in range(3):
            assert worker.ask(order()) is not None
            assert worker.pid is None
    finally:
        worker.end()


def test_descriptors_of_any_number_are_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("not so many descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with working() as worker:
            assert worker.ask(order()) is not None
            assert worker.fileno() > 1023
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
