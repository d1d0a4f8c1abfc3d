"""Lists and deltas made of one snapshot of the register, past the gate, ready to be signed."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from ca import certificate_queries
from ca.config import AuthoritySettings
from ca.context import Authority
from ca.errors import CrlRegression
from ca.profiles import IssuerName
from ca.status import list_rows
from ca.status.crl import CrlPlan, build_tbs_crl, check_plan, read_crl, read_entry
from ca.status.deltas import choose_base, delta_entries
from ca.status.list_gate import Comparison, check_follows, compare
from ca.status.list_rows import ChangedPage, ListHead
from pki.certificates import serial_hex

EVER: Final = datetime(1950, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A list that may be signed. Its entries are in `tbs` alone: `plan` has none of them any more."""

    plan: CrlPlan
    tbs: bytes
    digest: bytes
    entries: int
    changed: tuple[ChangedPage, ...] = ()
    vanished: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """What is published together, and what was published when it was made."""

    full: Draft | None
    delta: Draft | None
    number: int
    position: int
    after: tuple[int, int]

    @property
    def all(self) -> tuple[Draft, ...]:
        """The drafts that there are."""
        return tuple(draft for draft in (self.full, self.delta) if draft is not None)


def published_numbers(connection: Connection, issuer: str, shard: int) -> tuple[int, int]:
    """Return the numbers of the list and of the delta that are published now, 0 where there is none."""
    heads = (list_rows.list_head(connection, issuer, shard), list_rows.delta_head(connection, issuer, shard))
    return (0 if heads[0] is None else heads[0].number, 0 if heads[1] is None else heads[1].number)


class Drafter:
    """Makes the next list of one place from one reading transaction."""

    def __init__(
        self,
        connection: Connection,
        authority: Authority,
        shard: int,
        settings: AuthoritySettings,
        *,
        now: datetime,
        position: int,
        forgiven: datetime | None,
    ) -> None:
        """`position` is a place in the feed that the transaction has seen everything up to."""
        self._connection, self._authority, self._shard = connection, authority, shard
        self._settings, self._forgiven, self._position = settings, forgiven, position
        self._now = now.replace(microsecond=0)
        self._issuer = authority.issuer.label.value
        self._root = authority.issuer.label is IssuerName.ROOT
        self._last = list_rows.list_head(connection, self._issuer, shard)
        self._last_delta = list_rows.delta_head(connection, self._issuer, shard)
        self._number = list_rows.next_crl_number(connection, self._issuer, shard)

    @property
    def is_delta_enough(self) -> bool:
        """Whether the latest list is young enough, by policy, and known to be followed by deltas."""
        if self._last is None or not self._settings.crl_deltas or self._root:
            return False
        young = self._now - self._last.this_update < self._settings.crl_interval
        followed = self._last.position is not None  # a list that a restored register was told of has no place
        return young and followed and read_crl(self._last.frame).freshest_url is not None

    def draft(self, *, full: bool) -> Drafts:
        """Make the next list and its delta, or the next delta alone; CrlRegression where one may not be published."""
        compared = self._compare(keep=full)
        told = frozenset() if self._last is None else self._told(compared, self._last)
        delta = None if self._root or not self._settings.crl_deltas else self._draft_delta(told)
        if delta is None and not full:
            raise CrlRegression("there is no list that a delta could add to")
        numbers = (0 if head is None else head.number for head in (self._last, self._last_delta))
        return Drafts(
            full=self._draft_full(compared, has_delta=delta is not None) if full else None,
            delta=delta,
            number=self._number,
            position=self._position,
            after=(next(numbers), next(numbers)),
        )

    def _plan(self) -> CrlPlan:
        lasting = self._settings.root_crl_validity if self._root else self._settings.crl_validity
        return CrlPlan(
            issuer=self._authority.issuer,
            url=None if self._root else self._settings.crl_url(self._issuer, self._shard),
            number=self._number,
            this_update=self._now,
            next_update=min(self._now + lasting, self._authority.certificate.not_after),
        )

    def _compare(self, *, keep: bool) -> Comparison:
        """Compare the register with the published list, for a delta alone too: a row may be lost without an event."""
        connection, place, last = self._connection, (self._issuer, self._shard), self._last
        runs = list_rows.entry_runs(connection, *place, ended_from=self._kept_from())
        pages = list_rows.page_digests(connection, *place)
        if last is not None and last.paged:
            return compare(runs, pages, lambda page: list_rows.page_content(connection, *place, page), keep=keep)
        # Without a list, or after one that a restored database was told of, no page is a published list's.
        whole = b"" if last is None else read_crl(last.frame).entries
        compared = compare(runs, None if last is None else {}, lambda _page: b"", whole, keep=keep)
        return replace(compared, vanished=tuple(pages.keys() - compared.changed.keys()))

    def _kept_from(self) -> datetime:
        """Since when a certificate must have ended to stay listed.

        An entry appears on at least one list issued after its certificate's end (RFC 5280 §3.3), and longer
        while the retention lasts.
        """
        return EVER if self._last is None else min(self._now - self._settings.crl_retention, self._last.this_update)

    def _draft_full(self, compared: Comparison, *, has_delta: bool) -> Draft:
        freshest = self._settings.delta_url(self._issuer, self._shard) if has_delta else None
        plan = replace(self._plan(), entries=[run.content for run in compared.runs], freshest_url=freshest)
        tbs = build_tbs_crl(plan)
        built = check_plan(tbs, plan)
        if self._last is not None:
            check_follows(read_crl(self._last.frame), built, self._forgiven)
        return _drafted(
            plan, tbs, sum(run.entries for run in compared.runs), compared.pages_in(built), compared.vanished
        )

    def _told(self, compared: Comparison, last: ListHead) -> frozenset[bytes]:
        """Return the serial numbers that a delta has to name; CrlRegression for an entry that may not go.

        An entry may go when its hold was lifted on record, or once a list was issued after its certificate ended: that
        is no change of its status, and no delta says it.
        """
        ended = set()
        for encoded in compared.lost:
            entry = read_entry(encoded)
            record = certificate_queries.find(self._connection, serial_hex(entry.serial))
            if record is None:
                raise CrlRegression(f"the list would lose certificate {serial_hex(entry.serial)}")
            later = record.released_at is not None and record.released_at >= entry.since
            if record.not_after < last.this_update:
                ended.add(encoded[4 : 4 + encoded[3]])
            elif not (entry.on_hold and later and not record.status.listed):
                raise CrlRegression(f"the list would lose certificate {serial_hex(entry.serial)}")
        return compared.differing - ended

    def _draft_delta(self, differing: frozenset[bytes]) -> Draft | None:
        if self._last is None:
            return None
        place, life = (self._issuer, self._shard), self._settings.delta_base_life
        base = choose_base(self._connection, place, self._last, self._last_delta, now=self._now, life=life)
        if base is None:
            return None
        entries = delta_entries(self._connection, place, base, self._last_delta, differing)
        plan = replace(self._plan(), base=base.number, entries=entries)
        tbs = build_tbs_crl(plan)
        built = check_plan(tbs, plan)
        for head in (self._last, self._last_delta):
            if head is not None:
                check_follows(read_crl(head.frame), built, self._forgiven)
        return _drafted(plan, tbs, len(entries))


def _drafted(
    plan: CrlPlan,
    tbs: bytes,
    entries: int,
    changed: tuple[ChangedPage, ...] = (),
    vanished: tuple[int, ...] = (),
) -> Draft:
    return Draft(
        plan=replace(plan, entries=()),
        tbs=tbs,
        digest=sha256(tbs).digest(),
        entries=entries,
        changed=changed,
        vanished=vanished,
    )
