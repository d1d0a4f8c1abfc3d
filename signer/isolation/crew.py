"""Many files, several workers: answers in the order of the files, each file in its own time."""

import select
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from signer.isolation.order import Answer, Order
from signer.isolation.worker import Worker

AHEAD = 64
"""How many answers may wait for one that takes long."""


def judge_all(orders: Iterable[Order], workers: Sequence[Worker]) -> Iterator[tuple[Order, Answer | None]]:
    """Have orders carried out side by side and yield them with their answers, in their order; None as from `ask`.

    An order that has an answer comes back without its data.
    """
    rest = iter(orders)
    waiting: dict[int, tuple[Order, Answer | None]] = {}
    under_way: dict[Worker, tuple[int, Order]] = {}
    idle, given, told, more = list(workers), 0, 0, True
    try:
        while more or under_way:
            while idle and more and given - told < AHEAD:
                order = next(rest, None)
                if order is None:
                    more = False
                    break
                worker = idle.pop()
                worker.give(order)
                under_way[worker] = (given, order)
                given += 1
            for worker in _ready(under_way):
                number, order = under_way.pop(worker)
                answer = worker.take()
                waiting[number] = (order if answer is None else replace(order, data=b""), answer)
                idle.append(worker)
            while told in waiting:
                yield waiting.pop(told)
                told += 1
    finally:
        for worker in workers:
            worker.end()


def _ready(workers: Iterable[Worker]) -> list[Worker]:
    """Wait until workers answered, were lost, or have had their time."""
    asked = list(workers)
    if not asked:
        return []
    lost = [worker for worker in asked if worker.fileno() < 0]
    if lost:
        return lost
    poll, by_descriptor = select.poll(), {worker.fileno(): worker for worker in asked}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    patience = max(0.0, min(worker.until for worker in asked) - time.monotonic())
    readable = [by_descriptor[descriptor] for descriptor, _ in poll.poll(patience * 1000)]
    return readable or [worker for worker in asked if worker.until <= time.monotonic()]
