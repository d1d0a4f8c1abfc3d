"""Verification for the public page and the API: each file in a worker that is killed when it takes too much."""

from collections.abc import Mapping
from queue import LifoQueue
from typing import Any, Final

from hsm.child_process import child_environment, module_command
from pki.clock import Clock
from pki.jose import json_object
from signer.isolation.order import Answer, Order, ReportKind
from signer.isolation.worker import Worker, spawned
from signer.rendering import render
from signer.validation.context import VerificationContext
from signer.validation.verify import aborted
from webapp.deployment import Deployment
from webapp.overload import Places

WORKERS: Final = 2
WAITING: Final = 8
"""How many files are judged or wait in a server's process; each holds a thread of it."""


class DeploymentVerifier:
    """A `webapp.services.Verifier` over one deployment's public folder. Threads may share it."""

    def __init__(self, deployment: Deployment, clock: Clock, *, workers: int = WORKERS) -> None:
        """Start nothing yet: a worker starts with the first file that it is given, and stays."""
        self._clock, self._places = clock, Places(WAITING)
        self._idle: LifoQueue[Worker] = LifoQueue()
        start = spawned(module_command("webapp.verifying", str(deployment.home.resolve())), child_environment())
        for _ in range(workers):
            self._idle.put(Worker(start))

    def __call__(self, data: bytes, *, content: bytes | None, name: str) -> Mapping[str, Any]:
        """Return the verdict on `data` as one `mohr verify --json` line holds it; Unavailable (`overloaded`)."""
        return json_object(self._answer(Order(data=data, name=name, content=content, at=self._clock.now())).text)

    def report(self, data: bytes, *, content: bytes | None, name: str, kind: ReportKind) -> bytes:
        """Return a report on `data` as `mohr verify --report` writes it; Unavailable (`overloaded`)."""
        order = Order(data=data, name=name, content=content, at=self._clock.now(), report=kind)
        return self._answer(order).report

    def _answer(self, order: Order) -> Answer:
        with self._places.taken():
            worker = self._idle.get()
            try:
                answer = worker.ask(order)
            finally:
                self._idle.put(worker)
        if answer is not None:
            return answer
        context = VerificationContext(at=order.at or self._clock.now())
        return render(aborted(order.data[:4096], context, "time or memory"), order)

    def close(self) -> None:
        """End the workers that are idle."""
        while not self._idle.empty():
            self._idle.get().end()
