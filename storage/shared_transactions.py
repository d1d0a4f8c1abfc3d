"""One durable commit for many requests: what waits while a transaction is being written goes into the next one.

A commit costs a write to the disk whatever is in it. Under load the callers of `run` share commits; a lone
caller waits for nobody. Each caller gets its result only after the commit that holds it.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from storage.engine import Database
from storage.gathering import Gathering
from storage.unit_of_work import UnitOfWork

MAX_SHARED: Final = 64
_Result = TypeVar("_Result")


class SharedTransactions:
    """Run work of many threads in few writing transactions of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns = Gathering(self._together, limit=MAX_SHARED)

    def run(self, act: Callable[[UnitOfWork], _Result]) -> _Result:
        """Run `act` in a transaction, perhaps with others before and after it; return its result once durable.

        `act` must be fit to run a second time from the start: a transaction that fails is done again with
        each work alone, so that nobody fails for another's reason. Raises what `act` raises, and Unavailable.
        """
        return cast("_Result", self._turns.run(act))

    def _together(self, acts: list[Callable[[UnitOfWork], Any]]) -> list[Any]:
        with self._database.begin() as unit:
            return [act(unit) for act in acts]
