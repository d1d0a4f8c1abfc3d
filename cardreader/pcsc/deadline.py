"""PC/SC calls that may wait for another program without limit, given one.

SCardBeginTransaction and SCardConnect have no timeout of their own: pcsc-lite waits as long as another program
holds the card. The call runs in a thread; when it returns too late, what it got is given back there.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cardreader.errors import ReaderBusy

_Result = TypeVar("_Result")


class _Call(Generic[_Result]):
    """One call in its thread; exactly one side, caller or thread, takes the result."""

    def __init__(self, call: Callable[[], _Result], give_back: Callable[[_Result], None]) -> None:
        self._call, self._give_back = call, give_back
        self._lock, self._done = threading.Lock(), threading.Event()
        self._abandoned = False
        self._results: list[_Result] = []
        threading.Thread(target=self._run, name="PC/SC call", daemon=True).start()

    def _run(self) -> None:
        result = self._call()
        with self._lock:
            self._results.append(result)
            abandoned = self._abandoned
            self._done.set()
        if abandoned:
            self._give_back(result)

    def take(self, seconds: float) -> _Result:
        self._done.wait(seconds)
        with self._lock:
            if not self._results:
                self._abandoned = True
                raise ReaderBusy(f"another program held the card for {seconds:g} s")
            return self._results[0]


def within(seconds: float, call: Callable[[], _Result], give_back: Callable[[_Result], None]) -> _Result:
    """Return what `call` returns; ReaderBusy after `seconds`, and `give_back` gets the late result.

    `call` reports failure by its result and does not raise.
    """
    return _Call(call, give_back).take(seconds)
