"""Lists where web servers find them: files that are replaced by higher numbers alone, and kept up with the register.

A list is recorded before its file is written: a program that ends in between is made up for by the next look, its own
or another server's. What the register knows decides; a file that is ahead of it is left, and told.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ca.errors import CrlRegression
from ca.profiles import ISSUING_AUTHORITIES
from ca.status.crl import PublishedCrl
from pki.errors import ErrorCode, ServiceError, Unavailable
from webapp.atomic_files import publish_file
from webapp.deployment import Deployment
from webapp.published_lists import read_head_of

if TYPE_CHECKING:
    from webapp.compose import Parts

ALL_SECONDS: Final = 60.0
CALM_SECONDS: Final = 20.0  # a list that changed only by certificates that wait for their holders is made this often
FIRST_PAUSE: Final = 0.5  # less than a look's beat: what failed once is tried at the next
Place = tuple[str, int]


def list_files(deployment: Deployment, crl: PublishedCrl) -> Iterator[tuple[Path, PublishedCrl]]:
    """Name the file of a list, and of the delta to it."""
    if crl.base is None:
        yield deployment.crl_file(crl.issuer, crl.shard), crl
    delta = crl.delta if crl.base is None else crl
    if delta is not None:
        yield deployment.delta_file(delta.issuer, delta.shard), delta


def write_list(deployment: Deployment, crl: PublishedCrl, registered: Callable[[], int]) -> None:
    """Put a list and its delta where their addresses lead; a newer one that another program put there stays.

    A list that has no delta ends those of before: none is left for readers of older lists to believe.
    `registered` is the highest number that the register knows. CrlRegression where a file has a higher one.
    """
    with deployment.publishing():
        for path, one in list_files(deployment, crl):
            head = read_head_of(path, "")
            if head is None or head.number <= one.number:
                if crl.base is None and crl.delta is None:
                    _remove_older(deployment.delta_file(crl.issuer, crl.shard), crl.number)
                publish_file(path, one.der)
            elif head.number > registered():
                raise CrlRegression(f"the file {path.name} has number {head.number}, which the register does not know")


def _remove_older(delta: Path, number: int) -> None:
    """Remove a delta below a number, before its list is written: a crash in between is felt by the list that is old."""
    head = read_head_of(delta, "")
    if head is not None and head.number < number:
        try:
            delta.unlink()
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, delta.name) from error


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a list could not be made, and for how many seconds it is not tried again."""

    error: ServiceError
    pause: float


class ListUpkeep:
    """The worker's care for lists: those that changed at each look, all of them once a minute.

    New certificates that wait for their holders change a list, too, but nobody relies on them yet: it is made again for
    them after `CALM_SECONDS`, and earlier with the first urgent change. A look that finds nothing reads one row. A list
    that could not be made is tried again when it changed again, else at the next look, and after twice as long each
    time, up to `ALL_SECONDS`; until it is made its failure is raised.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._position: int | None = None
        self._next_all = 0.0
        self._due: dict[Place, float] = {}
        self._failed: dict[Place, _Failure] = {}
        self._seen: dict[Path, tuple[int, int, int, int]] = {}

    def __call__(self, parts: "Parts") -> None:
        """Publish what is due; one list that fails holds no other back, and its failure is raised last."""
        now = self._monotonic()
        position, changed = parts.authority.changed_lists(self._position)
        for place, urgent in changed.items():
            if place[0] in ISSUING_AUTHORITIES:
                self._due[place] = now if urgent else min(now + CALM_SECONDS, self._due.get(place, inf))
        if self._position is None or now >= self._next_all:
            self._next_all = now + ALL_SECONDS
            for issuer in ISSUING_AUTHORITIES:
                for shard in parts.authority.shards_of(issuer):
                    self._due.setdefault((issuer, shard), now)
        self._position = position
        for place in [place for place, due in self._due.items() if due <= now]:
            try:
                self._look_after(parts, *place)
            except ServiceError as error:
                before = self._failed.get(place)
                pause = FIRST_PAUSE if before is None else min(2 * before.pause, ALL_SECONDS)
                self._failed[place] = _Failure(error, pause)
                self._due[place] = now + pause
            else:
                del self._due[place]
                self._failed.pop(place, None)
        if self._failed:
            raise next(iter(self._failed.values())).error.with_traceback(None)

    def _look_after(self, parts: "Parts", issuer: str, shard: int) -> None:
        if not parts.authority.has_ended(issuer) and parts.authority.is_list_due(issuer, shard):
            parts.publish_change_of(issuer, shard)
        full, delta = parts.authority.list_heads(issuer, shard)
        deployment = parts.deployment
        files = ((deployment.crl_file(issuer, shard), full), (deployment.delta_file(issuer, shard), delta))
        numbers = {path: head.number for path, head in files if head is not None}
        if any(self._seen.get(path) != (*_stamp(path), number) for path, number in numbers.items()):
            self._put_right(parts, issuer, shard)
            self._seen.update({path: (*_stamp(path), number) for path, number in numbers.items()})

    def _put_right(self, parts: "Parts", issuer: str, shard: int) -> None:
        """Compare files with what is recorded, octet for octet, and write those that are another thing."""
        latest = parts.authority.latest_crl(issuer, shard)
        if latest is not None and any(_octets(path) != one.der for path, one in list_files(parts.deployment, latest)):
            parts.publish(latest)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _octets(path: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None
