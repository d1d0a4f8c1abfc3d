"""Publishing lists: make them of one snapshot past the gate, reserve the number, sign, compare again, publish."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from ca.context import WORKER, Authority, AuthorityContext, event
from ca.errors import CrlRegression
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.signing import sign_structures
from ca.status import changes, list_rows
from ca.status.crl import PublishedCrl, without_entries
from ca.status.list_drafts import Draft, Drafter, Drafts, published_numbers
from ca.status.list_rows import ListHead
from pki.audit import AuditAction, AuditEvent
from pki.errors import ErrorCode, NotFound, ServiceError

LEAD: Final = timedelta(hours=24)
_HEADS: Final = (list_rows.list_head, list_rows.delta_head)


class CrlDesk(AuthorityContext):
    """Use cases on revocation lists."""

    def latest_crl(self, issuer: str, shard: int) -> PublishedCrl | None:
        """Return the list that is published now, with the delta to it; None where there is none."""
        if not self._is_list(issuer, shard):
            return None
        with self._database.read() as connection:
            return list_rows.latest_crl(connection, issuer, shard)

    def latest_delta(self, issuer: str, shard: int) -> PublishedCrl | None:
        """Return the delta that is published now; None where there is none."""
        if not self._is_list(issuer, shard):
            return None
        with self._database.read() as connection:
            return list_rows.latest_delta(connection, issuer, shard)

    def list_heads(self, issuer: str, shard: int) -> tuple[ListHead | None, ListHead | None]:
        """Return what is published now of a list and of its deltas, whatever the size of the list."""
        with self._database.read() as connection:
            full, delta = (head(connection, issuer, shard) for head in _HEADS)
            return full, delta

    def is_outdated(self, crl: PublishedCrl) -> bool:
        """Whether something changed that neither a list nor the delta to it says: its making failed, or was cut off."""
        told = crl.position if crl.delta is None else crl.delta.position
        with self._database.read() as connection:
            return _has_news(connection, crl.issuer, crl.shard, told)

    def shards_of(self, issuer: str) -> range:
        """Return the shards of an issuer's lists; where it has fewer by policy now, those of before go on."""
        if issuer not in self._authorities():
            return range(0)
        with self._database.read() as connection:
            published = list_rows.last_shard(connection, issuer)
        return range(max(self._settings.shards_of(issuer), published + 1))

    def last_number(self, issuer: str, shard: int) -> int:
        """Return the highest number of a list or a delta that was published, 0 where none was."""
        with self._database.read() as connection:
            return max(published_numbers(connection, issuer, shard))

    def changed_lists(self, after: int | None) -> tuple[int, Mapping[tuple[str, int], bool]]:
        """Return which lists have something new to say since a place in the feed, and the place where it ends.

        True: something urgent. None is the end of the feed: nothing is new after it.
        """
        if after is None:
            return changes.end_of_feed(self._database), {}
        found: dict[tuple[str, int], bool] = {}
        for change in changes.changes_after(self._database, after):
            after = change.position
            if change.listed:
                place = (change.issuer, change.shard)
                found[place] = change.urgent or found.get(place, False)
        return after, found

    def has_ended(self, issuer: str) -> bool:
        """Whether an authority's certificate has ended: no list can be made after that."""
        return self._now() >= self._authority(issuer).certificate.not_after

    def is_list_due(self, issuer: str, shard: int, lead: timedelta = LEAD) -> bool:
        """Whether a list is missing, ends within `lead`, or does not say what changed; no list is read for that.

        A list that lasts as long as its authority's certificate can last no longer.
        """
        wanted = min(self._now() + lead, self._authority(issuer).certificate.not_after)
        with self._database.read() as connection:
            full, delta = (head(connection, issuer, shard) for head in _HEADS)
            if full is None or full.next_update < wanted:
                return True
            told = full.position if delta is None or delta.number < full.number else delta.position
            return _has_news(connection, issuer, shard, told)

    def publish_all_crls(self) -> tuple[PublishedCrl, ...]:
        """Publish every shard of every issuing authority; one that fails holds no other back, and is raised last."""
        published: list[PublishedCrl] = []
        failures: list[ServiceError] = []
        for label in ISSUING_AUTHORITIES:
            for shard in self.shards_of(label):
                try:
                    published.append(self.publish_crl(label, shard))
                except ServiceError as error:
                    failures.append(error)
        if failures:
            raise failures[0]
        return tuple(published)

    def publish_crl(self, issuer: str, shard: int) -> PublishedCrl:
        """Sign and record a new list of one shard, and the delta that goes with it.

        CrlRegression when it would lose an entry, go back in number, or in time but from a list that a wrong clock
        made, or another program publishes it too; NotFound for an unknown issuer or shard; Unavailable. The last
        list stays published then.
        """
        return self._sign_and_record(self._publishing(issuer, shard), shard, WORKER)

    def publish_delta(self, issuer: str, shard: int) -> PublishedCrl:
        """Sign and record a new delta to one shard's list; errors as `publish_crl`."""
        return self._sign_and_record(self._publishing(issuer, shard), shard, WORKER, full=False)

    def publish_change(self, issuer: str, shard: int) -> PublishedCrl:
        """Publish what changed: a new list with its delta, or a delta alone while, by policy, the list is young."""
        return self._sign_and_record(self._publishing(issuer, shard), shard, WORKER, full=None)

    def _is_list(self, issuer: str, shard: int) -> bool:
        return issuer in set(IssuerName) and shard in self.shards_of(issuer)

    def _publishing(self, issuer: str, shard: int) -> Authority:
        authority = self._authority(issuer)
        if authority.issuer.label is IssuerName.ROOT:
            raise NotFound(ErrorCode.NOT_FOUND, "the root's list is made where its key is")
        if not self._is_list(issuer, shard):
            raise NotFound(ErrorCode.NOT_FOUND, "no such CRL")
        self._believed.now()  # says nothing while a restored database is not reconciled: no list is made of it
        return authority

    def _sign_and_record(
        self, authority: Authority, shard: int, actor: str, *, full: bool | None = True
    ) -> PublishedCrl:
        """Publish a list and its delta, or (`full` False, or None and policy says so) the delta alone."""
        drafts = self._draft(authority, shard, full=full)
        label, key, public_key = authority.issuer.label.value, authority.key_label, authority.issuer.public_key
        with self._database.begin() as unit:
            _check_alone(unit.connection, drafts, label, shard)
            for draft in drafts.all:
                list_rows.reserve_crl(
                    unit.connection,
                    draft.plan,
                    shard,
                    draft.digest,
                    entries=draft.entries,
                    position=drafts.position,
                )
        signed = [sign_structures(self._keys, key, public_key, [draft.tbs])[0] for draft in drafts.all]
        delta = None if drafts.delta is None else _published(drafts.delta, drafts, shard, signed[-1])
        crl = delta if drafts.full is None else _published(drafts.full, drafts, shard, signed[0], delta)
        assert crl is not None  # noqa: S101 - there is always one of the two
        with self._database.begin() as unit:
            _check_alone(unit.connection, drafts, label, shard, reserved=True)
            if drafts.full is not None:
                list_rows.store_crl(
                    unit.connection,
                    (label, shard, crl.number),
                    without_entries(crl.der),
                    drafts.full.tbs,
                    changed=drafts.full.changed,
                    vanished=drafts.full.vanished,
                )
            if delta is not None:
                list_rows.store_delta(unit.connection, (label, shard, delta.number), delta.der)
            unit.audit.record(_crl_event(crl, self._now(), actor))
        return crl

    def _draft(self, authority: Authority, shard: int, *, full: bool | None) -> Drafts:
        """Make what is to be signed; nothing is locked while a million rows are read."""
        position = changes.end_of_feed(self._database)
        with self._database.read() as connection:
            drafter = Drafter(
                connection,
                authority,
                shard,
                self._settings,
                now=self._now(),
                position=position,
                forgiven=self._forgiven(),
            )
            return drafter.draft(full=not drafter.is_delta_enough if full is None else full)


def _has_news(connection: Connection, issuer: str, shard: int, told: int | None) -> bool:
    return told is None or changes.has_list_changed(connection, issuer, shard, told)


def _check_alone(connection: Connection, drafts: Drafts, issuer: str, shard: int, *, reserved: bool = False) -> None:
    """Check that what a draft was compared with is what is published still, and that its number is next."""
    list_rows.lock_list(connection, issuer, shard)
    now_published = published_numbers(connection, issuer, shard)
    if now_published != drafts.after:
        raise CrlRegression(f"number {max(now_published)} was published meanwhile")
    if not reserved and list_rows.next_crl_number(connection, issuer, shard) != drafts.number:
        raise CrlRegression("another program is publishing this list")


def _published(
    draft: Draft, drafts: Drafts, shard: int, data: bytes, delta: PublishedCrl | None = None
) -> PublishedCrl:
    return PublishedCrl(
        issuer=draft.plan.issuer.label.value,
        shard=shard,
        number=draft.plan.number,
        this_update=draft.plan.this_update,
        next_update=draft.plan.next_update,
        entries=draft.entries,
        der=data,
        position=drafts.position,
        base=draft.plan.base,
        delta=delta,
    )


def _crl_event(crl: PublishedCrl, at: datetime, actor: str) -> AuditEvent:
    of_delta = crl.delta or (None if crl.base is None else crl)
    delta = {} if of_delta is None else {"delta_base": of_delta.base, "delta_entries": of_delta.entries}
    return event(
        AuditAction.CRL_PUBLISHED,
        at,
        actor,
        f"{crl.issuer}/{crl.shard}",
        number=crl.number,
        entries=crl.entries,
        sha256=sha256(crl.der).hexdigest(),
        **delta,
    )
