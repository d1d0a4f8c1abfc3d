"""Work of many threads done in few turns: what waits while a turn is under way goes into the next one.

No timer: under load the callers share turns; a lone caller waits for nobody.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from pki.errors import ErrorCode, Unavailable

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Job(Generic[_Item, _Result]):
    """One caller's item, what became of it, and the lock on which its thread sleeps."""

    __slots__ = ("done", "error", "item", "leads", "result", "woken")

    def __init__(self, item: _Item) -> None:
        self.item = item
        self.done = self.leads = False
        self.result: _Result | None = None
        self.error: BaseException | None = None
        self.woken = threading.Lock()
        self.woken.acquire()

    def end(self, result: _Result) -> None:
        self.result, self.done = result, True

    def fail(self, error: BaseException) -> None:
        self.error, self.done = error, True


class Gathering(Generic[_Item, _Result]):
    """Hand the items of many threads to one function, at most `limit` at once, each turn after the one before.

    `act` returns a result for each item, in order. Where it raises for several, it is called again with each
    alone, so that nobody fails for another's reason. One of the callers takes the turn; the others sleep until
    theirs is done, each on a lock of its own, so that nobody whose item is done waits for the next turn.
    """

    def __init__(self, act: Callable[[list[_Item]], Sequence[_Result]], *, limit: int) -> None:
        self._act = act
        self._limit = limit
        self._waiting: list[_Job[_Item, _Result]] = []
        self._mutex = threading.Lock()
        self._under_way = False

    def run(self, item: _Item) -> _Result:
        """Have `item` done, perhaps with others; return its result or raise its error."""
        job: _Job[_Item, _Result] = _Job(item)
        with self._mutex:
            self._waiting.append(job)
            job.leads, self._under_way = not self._under_way, True
        if not job.leads:
            self._sleep(job)
        if not job.done:
            self._lead(job)
        if job.error is not None:
            raise job.error
        return cast("_Result", job.result)

    def _sleep(self, job: _Job[_Item, _Result]) -> None:
        """Wait until the job is done or leads; a thread that is told to end meanwhile leaves nobody waiting for it."""
        try:
            job.woken.acquire()
        except BaseException:
            with self._mutex:
                if job in self._waiting:
                    self._waiting.remove(job)
            if job.leads:
                self._hand_on()
            raise

    def _lead(self, own: _Job[_Item, _Result]) -> None:
        with self._mutex:
            taken, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        try:
            self._do_all(taken)
        finally:
            self._hand_on()
            for job in taken:
                if job is not own:
                    job.woken.release()

    def _hand_on(self) -> None:
        """Give the next turn to whoever has waited longest."""
        with self._mutex:
            self._under_way = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.release()

    def _do_all(self, jobs: list[_Job[_Item, _Result]]) -> None:
        try:
            self._do(jobs)
        except BaseException:  # this thread is told to end: the others must not wait for it
            for job in jobs:
                if not job.done:
                    job.fail(Unavailable(ErrorCode.UNAVAILABLE, "the turn was broken off"))
            raise

    def _do(self, jobs: list[_Job[_Item, _Result]]) -> None:
        try:
            results = self._act([job.item for job in jobs])
        except Exception as error:  # noqa: BLE001 - handed to the one caller whose it is
            if len(jobs) == 1:
                jobs[0].fail(error)
            else:
                for job in jobs:
                    self._do([job])
        else:
            for job, result in zip(jobs, results, strict=True):
                job.end(result)
