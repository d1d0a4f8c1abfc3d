"""How often one client may ask: a token bucket per client, in this process. Other clients are not affected."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final

MAX_CLIENTS: Final = 200_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: datetime
    refusing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Too often: try again after so many seconds. `first` is true for the first refusal in a row."""

    seconds: int
    first: bool


class RateLimiter:
    """`burst` at once, then `per_minute`. Threads may share it; the client asked for least recently is forgotten."""

    def __init__(self, *, per_minute: int, burst: int, clients: int = MAX_CLIENTS) -> None:
        self._rate, self._burst, self._clients = per_minute / 60, burst, clients
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str, now: datetime) -> Wait | None:
        """Count one request of `client`; None when it may go on."""
        with self._lock:
            bucket = self._buckets.setdefault(client, _Bucket(self._burst, now))
            self._buckets.move_to_end(client)
            if len(self._buckets) > self._clients:
                self._buckets.popitem(last=False)
            elapsed = max(0.0, (now - bucket.at).total_seconds())
            bucket.left, bucket.at = min(self._burst, bucket.left + elapsed * self._rate), now
            if bucket.left >= 1:
                bucket.left, bucket.refusing = bucket.left - 1, False
                return None
            first, bucket.refusing = not bucket.refusing, True
            return Wait(seconds=ceil((1 - bucket.left) / self._rate), first=first)
