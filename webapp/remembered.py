"""Answers that many ask for at once, kept for a moment: a hot certificate does not cost a query for each asker.

A second is far below what caches may keep an OCSP answer for (`webapp.freshness`), and within what a revocation may
take to be felt.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

LIFE: Final = timedelta(seconds=1)
MOST: Final = 4096

_Answer = TypeVar("_Answer")


class Remembered(Generic[_Answer]):
    """At most `MOST` answers, none older than `LIFE`. Threads may share it: a lost write costs one more query."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[datetime, _Answer]] = {}

    def get(self, key: str, now: datetime, ask: Callable[[], _Answer], *, keep: Callable[[_Answer], bool]) -> _Answer:
        """Return the answer for `key`, asking when none of the last second is there; `keep` says which may stay."""
        found = self._kept.get(key)
        if found is not None and timedelta() <= now - found[0] < LIFE:
            return found[1]
        answer = ask()
        if keep(answer):
            if len(self._kept) >= MOST:
                self._kept = {}
            self._kept[key] = (now, answer)
        return answer
