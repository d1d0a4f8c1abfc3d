"""Raises issuing servers that are killed: `python -m tests.e2e.issuing_nursery HOME FILE COUNT` (with lines on stdin).

Each line is a number of seconds and the numbers of orders: a server is forked, given those, and killed with SIGKILL
that long after it began to issue; one whose seconds are `end` finishes. Answers are lines `NUMBER SERIAL` as they
come, `killed` or `ended` after each server.
"""

import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from ca.issuing.orders import Channel, IssueOrder
from hsm.soft import UnsafeSoftKey
from pki.csr import build_csr
from pki.errors import ServiceError
from pki.keys import SignatureAlgorithm
from webapp.compose import opened_parts
from webapp.deployment import Deployment

ACTOR: Final = "nursery"
THREADS: Final = 8


def say(line: str) -> None:
    """Write one line whole, whatever happens to this process afterwards."""
    os.write(1, f"{line}\n".encode())


def orders(file_id: str, count: int) -> list[IssueOrder]:
    """Make the orders of one run, which every server gets anew."""
    run = os.urandom(8).hex()
    return [
        IssueOrder(
            profile="clin-sign",
            file_id=file_id,
            csr=build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "x"),
            actor=ACTOR,
            channel=Channel.API,
            idempotency_key=f"{run}-{number}",
        )
        for number in range(count)
    ]


def serve(home: Path, wanted: dict[int, IssueOrder], begun: int, *, reconcile: bool) -> None:
    """Issue what is wanted, by many threads and by rounds; write to `begun` when ready for it."""
    numbers = list(wanted)
    random.shuffle(numbers)
    with opened_parts(Deployment(home)) as parts:
        if reconcile:
            parts.recovery.reconcile()
        line, half = parts.authority.line, len(numbers) // 2
        os.write(begun, b"1")

        def give(number: int) -> None:
            with suppress(ServiceError):  # it is given again
                say(f"{number} {line.issue(wanted[number]).serial_hex}")

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(give, numbers[:half]))
        for number, outcome in zip(
            numbers[half:], line.issue_many([wanted[number] for number in numbers[half:]]), strict=True
        ):
            if not isinstance(outcome, ServiceError):
                say(f"{number} {outcome.serial_hex}")


def main(home: Path, file_id: str, count: int) -> None:
    """Raise a server a line."""
    wanted = dict(enumerate(orders(file_id, count)))
    say("ready")
    for line in sys.stdin:
        word, *numbers = line.split()
        ready, begun = os.pipe()
        child = os.fork()
        if child == 0:
            given = {int(number): wanted[int(number)] for number in numbers}
            serve(home, given, begun, reconcile=word == "end" or random.random() < 0.5)  # noqa: S311 - no secret
            os._exit(0)
        os.close(begun)
        os.read(ready, 1)
        os.close(ready)
        if word != "end":
            time.sleep(float(word))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        say("ended" if word == "end" else "killed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
