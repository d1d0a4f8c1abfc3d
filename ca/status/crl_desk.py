"""Publishing CRLs: reserve the number, build, compare with the last, sign, compare again, publish."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from ca import certificate_queries
from ca.context import WORKER, Authority, AuthorityContext, event
from ca.errors import CrlRegression
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.signing import sign_structures
from ca.status import repository as status_rows
from ca.status.crl import CrlEntry, CrlPlan, CrlSummary, PublishedCrl, build_tbs_crl, check_plan, lost_entries, read_crl
from pki.audit import AuditAction, AuditEvent
from pki.certificates import serial_hex
from pki.errors import ErrorCode, NotFound, ServiceError
from storage.unit_of_work import UnitOfWork

_EVER: Final = datetime(1950, 1, 1, tzinfo=UTC)


class CrlDesk(AuthorityContext):
    """Use cases on revocation lists."""

    def latest_crl(self, issuer: str, shard: int) -> PublishedCrl | None:
        """Return the list that is published now; None where there is none."""
        if issuer not in set(IssuerName) or not 0 <= shard < self._settings.shards_of(issuer):
            return None
        with self._database.read() as connection:
            return status_rows.latest_crl(connection, issuer, shard)

    def is_outdated(self, crl: PublishedCrl) -> bool:
        """Whether a list no longer says what the rows say: its making failed, or was cut off, after a change."""
        with self._database.read() as connection:
            must = status_rows.crl_entries(connection, crl.issuer, crl.shard, ended_from=self._now())
            may = status_rows.crl_entries(connection, crl.issuer, crl.shard, ended_from=_EVER)
        entries = read_crl(crl.der).entries
        return not (entries.issuperset(must) and entries.issubset(may))

    def publish_all_crls(self) -> tuple[PublishedCrl, ...]:
        """Publish every shard of every issuing authority; one that fails holds no other back, and is raised last."""
        published: list[PublishedCrl] = []
        failures: list[ServiceError] = []
        for label in ISSUING_AUTHORITIES:
            for shard in range(self._settings.shards_of(label) if label in self._authorities() else 0):
                try:
                    published.append(self.publish_crl(label, shard))
                except ServiceError as error:
                    failures.append(error)
        if failures:
            raise failures[0]
        return tuple(published)

    def publish_crl(self, issuer: str, shard: int) -> PublishedCrl:
        """Sign and record a new list of one shard.

        CrlRegression when it would lose an entry, go back in number, or in time but from a list that a wrong clock
        made, or another program publishes it too; NotFound for an unknown issuer or shard; Unavailable. The last
        list stays published then.
        """
        authority = self._authority(issuer)
        if authority.issuer.label is IssuerName.ROOT:
            raise NotFound(ErrorCode.NOT_FOUND, "the root's list is made where its key is")
        if not 0 <= shard < self._settings.shards_of(issuer):
            raise NotFound(ErrorCode.NOT_FOUND, "no such CRL")
        return self._sign_and_record(authority, shard, WORKER)

    def _sign_and_record(self, authority: Authority, shard: int, actor: str) -> PublishedCrl:
        plan, tbs = self._reserve(authority, shard)
        crl_der = sign_structures(self._keys, authority.key_label, authority.issuer.public_key, [tbs])[0]
        crl = PublishedCrl.of(plan, shard, crl_der)
        with self._database.begin() as unit:
            status_rows.store_crl(unit.connection, crl)
            unit.audit.record(_crl_event(crl, self._now(), actor))
        return crl

    def _reserve(self, authority: Authority, shard: int) -> tuple[CrlPlan, bytes]:
        """Build a list from one snapshot, pass the gate, and make its number and digest durable."""
        now = self._now().replace(microsecond=0)
        label = authority.issuer.label.value
        root = authority.issuer.label is IssuerName.ROOT
        lasting = self._settings.root_crl_validity if root else self._settings.crl_validity
        with self._database.begin() as unit:
            connection = unit.connection
            last = status_rows.latest_crl(connection, label, shard)
            plan = CrlPlan(
                issuer=authority.issuer,
                url=None if root else self._settings.crl_url(label, shard),
                number=status_rows.next_crl_number(connection, label, shard),
                this_update=now,
                next_update=min(now + lasting, authority.certificate.not_after),
                entries=status_rows.crl_entries(connection, label, shard, ended_from=self._kept_from(last, now)),
            )
            tbs = build_tbs_crl(plan)
            built = check_plan(tbs, plan)
            if last is not None:
                self._check_succession(unit, read_crl(last.der), built)
            status_rows.reserve_crl(connection, plan, shard, tbs)
        return plan, tbs

    def _kept_from(self, last: PublishedCrl | None, now: datetime) -> datetime:
        """Since when a certificate must have ended to stay listed.

        An entry appears on at least one list issued after its certificate's end (RFC 5280 §3.3), and longer
        while the retention lasts.
        """
        return _EVER if last is None else min(now - self._settings.crl_retention, last.this_update)

    def _check_succession(self, unit: UnitOfWork, last: CrlSummary, built: CrlSummary) -> None:
        for entry in lost_entries(last, built, self._forgiven()):
            if not _is_excused(unit, entry, last):
                raise CrlRegression(f"the list would lose certificate {serial_hex(entry.serial)}")


def _crl_event(crl: PublishedCrl, at: datetime, actor: str) -> AuditEvent:
    return event(
        AuditAction.CRL_PUBLISHED,
        at,
        actor,
        f"{crl.issuer}/{crl.shard}",
        number=crl.number,
        entries=crl.entries,
        sha256=sha256(crl.der).hexdigest(),
    )


def _is_excused(unit: UnitOfWork, entry: CrlEntry, last: CrlSummary) -> bool:
    """An entry may go when its hold was lifted on record, or once a list was issued after its certificate ended."""
    record = certificate_queries.find(unit.connection, serial_hex(entry.serial))
    if record is None:
        return False
    later = record.released_at is not None and record.released_at >= entry.since
    lifted = entry.on_hold and later and not record.status.listed
    return lifted or record.not_after < last.this_update
