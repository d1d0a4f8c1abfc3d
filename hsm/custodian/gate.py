"""The gate that answers leave by: no signature before its entry in the journal is on the disk.

A use is entered when the device is asked to sign. What was entered since the last commit began is a page; as soon as
an answer waits for the page it is made durable in one piece, and meanwhile the device and everybody else go on. When
that fails no signature of the page ever leaves; refusals keep their answers.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Final

from hsm.custodian.connection import Call
from hsm.custodian.journal import Journal
from hsm.custodian.protocol import encode_error
from hsm.errors import HsmUnavailable
from pki.journal import DONE, KeyUse, is_key

_EMPTY: Final = sha256(b"").digest()

_log = logging.getLogger("hsm.custodian")


class Page:
    """The entries that one commit makes durable: whose they are, and how that ended."""

    __slots__ = ("calls", "ended", "failure")

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ended = False
        self.failure: HsmUnavailable | None = None


class ReleaseGate:
    """Enter what calls use keys for, and let their answers go. Used by one thread."""

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal, self._now = journal, now
        self._page = Page()
        self._under_way: Page | None = None
        self._awaited = False  # the page, by an answer or because nothing else would make it durable
        self._settled: list[Call] = []

    def enter(self, call: Call, outcome: str) -> None:
        """Append an entry, for which the call's answer waits; HsmUnavailable when it cannot be dated."""
        self._journal.append(
            KeyUse(
                at=self._now(),
                role=call.connection.role,
                uid=call.connection.uid,
                key=call.label if is_key(call.label) else "",
                act=call.act or "frame",
                count=call.count,
                digest=call.digest or _EMPTY,
                outcome=outcome,
            )
        )
        call.page = self._page
        self._page.calls.append(call)
        if outcome != DONE:
            self._awaited = True

    def give(self, call: Call, answer: bytes, *, result: bool) -> None:
        """Take a call's answer; instead of a `result` an error leaves when its entry is lost."""
        call.given, call.is_result = answer, result
        if call.page is None or call.page.ended:
            self._settle(call)
        elif call.page is self._page:
            self._awaited = True

    def settled(self) -> list[Call]:
        """Return the calls whose answers may leave now, once."""
        settled, self._settled = self._settled, []
        return settled

    def commit(self) -> None:
        """Begin to make the page durable, if it is awaited and no other is under way."""
        if self._under_way is not None or not (self._awaited or self._journal.has_to_tell):
            return
        self._awaited = False
        page, self._page = self._page, Page()
        try:
            if self._journal.begin_commit():
                self._under_way = page
                return
        except HsmUnavailable as error:
            self._end(page, error)
        else:
            self._end(page, None)

    def commit_ended(self) -> None:
        """Take note of how the commit under way ended, as `Journal.descriptor` says it has."""
        page, self._under_way = self._under_way, None
        if page is None:
            return
        try:
            self._journal.end_commit()
        except HsmUnavailable as error:
            self._end(page, error)
            page, self._page = self._page, Page()
            self._end(page, error)  # its entries followed those that are lost
        else:
            self._end(page, None)

    def _end(self, page: Page, failure: HsmUnavailable | None) -> None:
        if failure is not None:
            _log.error("nothing is released: %s", failure.detail)
        page.ended, page.failure = True, failure
        calls, page.calls = page.calls, []
        for call in calls:
            if call.given is not None and call.page is page:
                self._settle(call)

    def _settle(self, call: Call) -> None:
        failure = None if call.page is None else call.page.failure
        call.answer = encode_error(failure) if failure is not None and call.is_result else call.given
        call.given = None
        self._settled.append(call)
