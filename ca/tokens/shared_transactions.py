"""One durable commit for many requests: what waits while a transaction is being written goes into the next one.

A commit costs a write to the disk whatever is in it. Under load the callers of `run` share commits; a lone
caller waits for nobody. Each caller gets its result only after the commit that holds it.
"""

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from storage.engine import Database
from storage.unit_of_work import UnitOfWork

MAX_SHARED: Final = 64
_Result = TypeVar("_Result")


class _Job:
    """One caller's work and what became of it."""

    __slots__ = ("act", "done", "error", "result")

    def __init__(self, act: Callable[[UnitOfWork], Any]) -> None:
        self.act = act
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class SharedTransactions:
    """Run work of many threads in few writing transactions of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Job] = []
        self._mutex, self._turn = threading.Lock(), threading.Lock()

    def run(self, act: Callable[[UnitOfWork], _Result]) -> _Result:
        """Run `act` in a transaction, perhaps with others before and after it; return its result once durable.

        `act` must be fit to run a second time from the start: a transaction that fails is done again with
        each work alone, so that nobody fails for another's reason. Raises what `act` raises, and Unavailable.
        """
        job = _Job(act)
        with self._mutex:
            self._waiting.append(job)
        while not job.done:
            with self._turn:
                if not job.done:
                    self._carry_out(self._take())
        if job.error is not None:
            raise job.error
        return cast("_Result", job.result)

    def _take(self) -> list[_Job]:
        with self._mutex:
            taken, self._waiting = self._waiting[:MAX_SHARED], self._waiting[MAX_SHARED:]
        return taken

    def _carry_out(self, jobs: list[_Job]) -> None:
        try:
            self._together(jobs)
        except Exception as error:  # noqa: BLE001 - handed to the one caller whose it is
            if len(jobs) == 1:
                jobs[0].error = error
            else:
                for job in jobs:
                    self._carry_out([job])
        for job in jobs:
            job.done = True

    def _together(self, jobs: list[_Job]) -> None:
        with self._database.begin() as unit:
            results = [job.act(unit) for job in jobs]
        for job, result in zip(jobs, results, strict=True):
            job.result = result
