"""Until when each status answer is good, and whether its successor is late: lists, deltas, stored answers, responders.

What relying parties hold ends at an instant that is written in it. A part is degraded well before that instant and
down after it. All of it is read from files that are served; responders' certificates stand in the register, and while
it is silent those that were seen last count, else those that signed what is stored. So everything is told while the
database is down.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from ca.context import responder_name
from ca.own_certificates import OwnCertificate
from ca.profiles import IssuerName
from ca.status.answer_store import AnswerStore
from pki.certificates import Certificate
from pki.errors import ServiceError
from webapp.health import PartHealth, PartState
from webapp.published_lists import PublishedLists

LONGEST_NOTICE: Final = timedelta(days=30)
RENEWAL_PATIENCE: Final = timedelta(days=1)  # the worker renews every hour
RESPONDER: Final = "ocsp-"
_NAMED: Final = 3


@unique
class PromiseKind(StrEnum):
    """What speaks about status; also the name of a part of `/healthz`."""

    LISTS = "lists"
    DELTAS = "deltas"
    ANSWERS = "answers"
    RESPONDERS = "responders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Something that speaks from `since` until `until`; `late_from`: when its successor should have been there."""

    kind: PromiseKind
    name: str
    since: datetime
    until: datetime
    late_from: datetime


def promise(kind: PromiseKind, name: str, since: datetime, until: datetime) -> Promise:
    """Make a promise that is late once a quarter of its time is left, at most 30 days before its end."""
    return Promise(
        kind=kind, name=name, since=since, until=until, late_from=until - min((until - since) / 4, LONGEST_NOTICE)
    )


def responder_promise(own: OwnCertificate) -> Promise:
    """Say until when a responder may sign; it is late a day within its renewal's window."""
    return Promise(
        kind=PromiseKind.RESPONDERS,
        name=own.name,
        since=own.certificate.not_before,
        until=own.usable_until,
        late_from=min(own.renews_from + RENEWAL_PATIENCE, own.usable_until),
    )


def stored_promises(store: AnswerStore) -> tuple[Promise, ...]:
    """Say of each authority until when the stored answer that ends first is good, and whoever signed the last.

    Unavailable without a store.
    """
    found = []
    for kept in store.kept():
        if kept.first_begun is not None and kept.first_ending is not None:
            found.append(promise(PromiseKind.ANSWERS, kept.issuer, kept.first_begun, kept.first_ending))
        if kept.delegate is not None:
            delegate = Certificate.parse(kept.delegate)
            name = responder_name(IssuerName(kept.issuer))
            found.append(promise(PromiseKind.RESPONDERS, name, delegate.not_before, delegate.not_after))
    return tuple(found)


def promises_part(
    kind: PromiseKind, promises: Sequence[Promise], now: datetime, missing: Sequence[str] = ()
) -> PartHealth:
    """Draw one part from all promises of a kind, and from those that should be there and are not."""
    over = [one for one in promises if one.until <= now]
    late = sorted((one for one in promises if one.late_from <= now), key=lambda one: one.until)
    if not late and not missing:
        return PartHealth(name=kind, state=PartState.OK, vital=False)
    said = [f"{name} missing" for name in missing] + [_said(one, now) for one in late]
    rest = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return PartHealth(
        name=kind,
        state=PartState.DOWN if over or missing else PartState.DEGRADED,
        since=min((one.late_from for one in late), default=None),
        note="; ".join(said[:_NAMED]) + rest,
        vital=False,
    )


def _said(one: Promise, now: datetime) -> str:
    return f"{one.name} {'ended' if one.until <= now else 'ends'} {one.until:%Y-%m-%dT%H:%M:%SZ}"


class StatusPromises:
    """Everything that a deployment has promised about status. Threads may share it."""

    def __init__(
        self,
        lists: PublishedLists,
        expected: Iterable[str],
        own_certificates: Callable[[], Iterable[OwnCertificate]],
        stored: Callable[[], Iterable[Promise]] = tuple,
    ) -> None:
        """Look for the `expected` full lists by name; `stored` tells of answers that were signed beforehand."""
        self._lists = lists
        self._expected = tuple(expected)
        self._own_certificates = own_certificates
        self._stored = stored
        self._own: tuple[OwnCertificate, ...] | None = None
        self._store_tells = True

    def own_certificates(self) -> tuple[OwnCertificate, ...] | None:
        """Return the services' certificates; the last that were seen while the register is silent, None before."""
        with contextlib.suppress(ServiceError):
            self._own = tuple(self._own_certificates())
        return self._own

    def all(self) -> tuple[Promise, ...]:
        """Return every promise that is known now; never raises ServiceError."""
        lists = tuple(
            promise(PromiseKind.DELTAS if head.is_delta else PromiseKind.LISTS, head.name, *times)
            for head in self._lists()
            for times in ((head.this_update, head.next_update),)
        )
        stored, own = self._answers(), self.own_certificates()
        if own is None:
            return (*lists, *stored)
        responders = (responder_promise(one) for one in own if one.name.startswith(RESPONDER))
        return (*lists, *(one for one in stored if one.kind is not PromiseKind.RESPONDERS), *responders)

    def parts(self, now: datetime) -> tuple[PartHealth, ...]:
        """Judge each kind at `now`; what nobody tells of is silent."""
        by_kind: dict[PromiseKind, list[Promise]] = {kind: [] for kind in PromiseKind}
        for one in self.all():
            by_kind[one.kind].append(one)
        published = {one.name for one in by_kind[PromiseKind.LISTS]}
        missing = {PromiseKind.LISTS: [name for name in self._expected if name not in published]}
        silent = {
            PromiseKind.ANSWERS: not self._store_tells,
            PromiseKind.RESPONDERS: not by_kind[PromiseKind.RESPONDERS],
        }
        return tuple(
            PartHealth(name=kind, state=PartState.SILENT, vital=False)
            if silent.get(kind, False)
            else promises_part(kind, of_kind, now, missing.get(kind, ()))
            for kind, of_kind in by_kind.items()
        )

    def _answers(self) -> tuple[Promise, ...]:
        try:
            found = tuple(self._stored())
        except ServiceError:
            self._store_tells = False
            return ()
        self._store_tells = True
        return found
