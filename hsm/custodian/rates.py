"""How often: a bucket of messages for each role, key and grant, filled as time goes by.

The counts live in one custodian's memory: after a restart a bucket is full, and several custodians each count for
themselves.
"""

from collections.abc import Callable
from typing import Final

from hsm.custodian.policy import Grant
from hsm.errors import RateExceeded

MAX_BUCKETS: Final = 65_536


class _Bucket:
    __slots__ = ("at", "level")

    def __init__(self, level: float, at: float) -> None:
        self.level, self.at = level, at


class Rates:
    """Count what each role does with each key."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, str, Grant], _Bucket] = {}

    def take(self, role: str, label: str, grant: Grant, count: int) -> None:
        """Count `count` messages; RateExceeded when the role has used up what `grant` allows by now.

        A batch larger than the burst is let through by a full bucket, and owed afterwards.
        """
        if grant.per_second is None or grant.burst is None:
            return
        now = self._monotonic()
        bucket = self._buckets.get((role, label, grant))
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                raise RateExceeded("this custodian counts too many keys")
            bucket = self._buckets[role, label, grant] = _Bucket(grant.burst, now)
        bucket.level = min(grant.burst, bucket.level + (now - bucket.at) * grant.per_second)
        bucket.at = now
        if bucket.level < min(count, grant.burst):
            raise RateExceeded(f"this role may use this key {grant.per_second} times a second, {grant.burst} at once")
        bucket.level -= count
