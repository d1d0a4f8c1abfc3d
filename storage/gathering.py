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
    """One caller's item and what became of it."""

    __slots__ = ("done", "error", "item", "result")

    def __init__(self, item: _Item) -> None:
        self.item = item
        self.done = False
        self.result: _Result | None = None
        self.error: BaseException | None = None

    def end(self, result: _Result) -> None:
        self.result, self.done = result, True

    def fail(self, error: BaseException) -> None:
        self.error, self.done = error, True


class Gathering(Generic[_Item, _Result]):
    """Hand the items of many threads to one function, at most `limit` at once, each turn after the one before.

    `act` returns a result for each item, in order. Where it raises for several, it is called again with each
    alone, so that nobody fails for another's reason.
    """

    def __init__(self, act: Callable[[list[_Item]], Sequence[_Result]], *, limit: int) -> None:
        self._act = act
        self._limit = limit
        self._waiting: list[_Job[_Item, _Result]] = []
        self._mutex, self._turn = threading.Lock(), threading.Lock()

    def run(self, item: _Item) -> _Result:
        """Have `item` done, perhaps with others; return its result or raise its error."""
        job: _Job[_Item, _Result] = _Job(item)
        with self._mutex:
            self._waiting.append(job)
        while not job.done:
            with self._turn:
                if not job.done:
                    self._do_all(self._take())
        if job.error is not None:
            raise job.error
        return cast("_Result", job.result)

    def _take(self) -> list[_Job[_Item, _Result]]:
        with self._mutex:
            taken, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        return taken

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
