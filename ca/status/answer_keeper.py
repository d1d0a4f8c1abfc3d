"""Keeping the stored OCSP answers true to the rows: following the feed of changes, signing ahead, signing again."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Final

from ca.config import AuthoritySettings
from ca.context import Authority
from ca.records import ToPresign
from ca.status import repository as status_rows
from ca.status.answer_place import Place
from ca.status.answer_store import AnswerStore, ChangedStatus
from ca.status.changes import position, read_changes
from ca.status.ocsp import issuer_prefix
from ca.status.presigning import living_responder, presign
from hsm.provider import KeyProvider
from pki.clock import Clock
from pki.errors import ErrorCode, Unavailable
from storage.engine import Database

MAX_ROUND: Final = 1_000
_WORTH_DIVIDING: Final = 64
_BEFORE_ALL: Final = Place(0, "", "")


class AnswerKeeper:
    """What the worker does for the stored answers, and each server for those that became untrue."""

    def __init__(
        self, store: AnswerStore, database: Database, keys: KeyProvider, settings: AuthoritySettings, clock: Clock
    ) -> None:
        """Date by `clock`, which raises Unavailable while it is not to be believed."""
        self._store, self._database, self._keys = store, database, keys
        self._settings, self._clock = settings, clock

    def follow(self, *, make: bool = False) -> None:
        """Take away what the feed says is untrue; `make`: begin anew where there is no file, or one of another history.

        Unavailable where database or file refuse. While the database is silent, what is stored goes on being answered;
        after any other failure it is not until this succeeds.
        """
        if not make and not self._store.exists():
            return
        try:
            self._follow(make)
        except Exception as error:
            if not isinstance(error, Unavailable) or error.code is not ErrorCode.DATABASE_UNAVAILABLE:
                self._store.distrust()
            raise
        self._store.trust()

    def _follow(self, make: bool) -> None:  # noqa: FBT001 - from follow alone
        place = self._store.place(make=make)
        with self._database.read() as connection:
            known = place is not None and status_rows.is_place(connection, place)
            news = not known or status_rows.has_changed(connection, 0 if place is None else place.position)
        if place is None or not known:
            if not make:
                raise Unavailable(ErrorCode.FILE_UNREADABLE, "the stored OCSP answers are of another history")
            place = self._begin()
        while news and (changes := read_changes(self._database, place.position)):
            last = changes[-1]
            place = Place(last.position, last.serial_hex, last.at.isoformat())
            with self._database.read() as connection:
                statuses = status_rows.changed_statuses(connection, [change.serial_hex for change in changes])
            self._store.withdraw(statuses, place)

    def _begin(self) -> Place:
        """Forget every answer; the changes after now are followed, everything before is read from the rows."""
        with self._database.begin() as unit:
            place = status_rows.place_at(unit.connection, position(unit.connection)) or _BEFORE_ALL
        self._store.begin(place)
        return place

    def sign_ahead(self, authorities: Sequence[Authority], limit: int, is_over: Callable[[], bool]) -> int:
        """Sign what is missing, untrue or soon to end, for at most `limit` certificates; return how many.

        Changes are followed between the rounds. Where one authority's delegate cannot sign, the others' do; the first
        failure is raised last.
        """
        self.follow(make=True)
        done, failures = 0, list[Unavailable]()
        for authority in authorities:
            try:
                done += self._while_due(limit - done, is_over, partial(self._sign_due, authority))
            except Unavailable as error:
                failures.append(error)
        done += self._while_due(limit - done, is_over, partial(self._sign_next, authorities))
        if failures:
            raise failures[0]
        return done

    def _while_due(self, limit: int, is_over: Callable[[], bool], sign_round: Callable[[int], int]) -> int:
        done = 0
        while done < limit and not is_over():
            count = sign_round(min(MAX_ROUND, limit - done))
            if not count:
                break
            done += count
            self.follow()
        return done

    def _sign_due(self, authority: Authority, limit: int) -> int:
        """Sign what was withdrawn, else what ends soon; return for how many certificates this settles it."""
        now, label = self._clock.now(), authority.issuer.label.value
        # A delegate near its end cannot promise the full time; asking for more than it can would never be done.
        horizon = living_responder(authority, now).certificate.not_after
        before = min(now + self._settings.ocsp_refresh, horizon).timestamp()
        after = (now + self._settings.ocsp_validity).timestamp()  # of a clock that was wrong, or by another policy
        self._store.clear(label, self._store.by_ended(label, limit))
        due = self._store.withdrawn(label, limit) or self._store.ending(label, before, limit)
        if not due:
            due = self._store.ending_after(label, after, limit)
            self._store.clear(label, due)  # else an answer of a day to come would stay before one of today
        if not due:
            return 0
        with self._database.read() as connection:
            items = [item for item in status_rows.to_presign(connection, due, now) if item.issuer == label]
        ended = set(due).difference(item.serial_hex for item in items)
        if ended:
            self._store.forget(label, tuple(ended))
        self.sign(authority, items, now)
        return len(due)

    def _sign_next(self, authorities: Sequence[Authority], limit: int) -> int:
        """Go on with the first signing of all, in the order of their serial numbers, in which the file grows fastest.

        What a delegate cannot sign now counts as withdrawn.
        """
        after = self._store.filled()
        if after is None:
            return 0
        now = self._clock.now()
        with self._database.read() as connection:
            items, reached = status_rows.next_to_presign(connection, after, now, limit)
        for authority in authorities:
            own = [item for item in items if item.issuer == authority.issuer.label]
            try:
                self.sign(authority, own, now)
            except Unavailable as error:
                if error.code is ErrorCode.FILE_UNREADABLE:
                    raise
                self._store.withdraw(
                    [ChangedStatus(i.issuer, i.serial_hex, i.status_version, not i.status.listed) for i in own]
                )
        self._store.fill(reached)
        return len(items) if reached is None else max(len(items), 1)

    def sign(self, authority: Authority, items: Sequence[ToPresign], now: datetime) -> None:
        """Sign and store the answers about these certificates of one authority."""
        if not items:
            return
        half = len(items) // 2 if len(items) >= _WORTH_DIVIDING else len(items)
        parts = [part for part in (items[:half], items[half:]) if part]
        with ThreadPoolExecutor(len(parts)) as pool:  # while one half waits for a device, the other is built or checked
            signing = [
                pool.submit(presign, self._keys, authority, part, now, self._settings.ocsp_validity) for part in parts
            ]
            answers = [answer for each in signing for answer in each.result()]
        delegate = living_responder(authority, now).certificate
        label, prefix = authority.issuer.label.value, issuer_prefix(authority.certificate)
        self._store.put(label, prefix, delegate, answers)
