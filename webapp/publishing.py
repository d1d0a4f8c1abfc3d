"""What an open deployment publishes: lists at their distribution points, and the ledger's checkpoint."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Final

from ca.context import WORKER
from ca.errors import CrlRegression
from ca.hierarchy import CHECKPOINT_KEY
from ca.records import CertificateRecord, one_of_each_list
from ca.recovery.desk import RecoveryDesk
from ca.recovery.guard import RecoveryGuard
from ca.service import CertificateAuthority
from ca.status.crl import PublishedCrl
from hsm.provider import KeyProvider
from pki.errors import ServiceError
from storage.clock_guard import ClockGuard
from storage.ledger import Ledger
from webapp.atomic_files import publish_file
from webapp.deployment import Deployment
from webapp.list_upkeep import write_list
from webapp.recovery_mark import log_key, read_published

CRL_TRIES: Final = 3


class Publishing:
    """The part of `webapp.compose.Parts` by which something leaves the register for anybody to read."""

    __slots__ = ()

    deployment: Deployment
    ledger: Ledger
    keys: KeyProvider
    authority: CertificateAuthority
    recovery_guard: RecoveryGuard
    recoveries: RecoveryDesk
    clock_guard: ClockGuard

    def publish(self, crl: PublishedCrl) -> None:
        """Put a list, and its delta, where its distribution point points; a newer one of another program stays.

        CrlRegression where the register does not know what is published: a recovery begins.
        """
        try:
            write_list(self.deployment, crl, lambda: self.authority.last_number(crl.issuer, crl.shard))
        except CrlRegression:
            self.recoveries.notice(WORKER)
            raise

    def publish_new_crl(self, issuer: str, shard: int) -> PublishedCrl:
        """Sign and publish one shard's list; tried again when another program makes the same list.

        Unavailable (`clock-suspect`, `recovery-pending`) while clock or database are not believed.
        """
        return self._publish_by(self.authority.publish_crl, issuer, shard)

    def publish_new_delta(self, issuer: str, shard: int) -> PublishedCrl:
        """Sign and publish a delta to one shard's list; as `publish_new_crl`."""
        return self._publish_by(self.authority.publish_delta, issuer, shard)

    def publish_change_of(self, issuer: str, shard: int) -> PublishedCrl:
        """Sign and publish one shard's list with its delta, or by policy a delta alone; as `publish_new_crl`."""

        def make(issuer: str, shard: int) -> PublishedCrl:
            try:
                return self.authority.publish_change(issuer, shard)
            except CrlRegression:
                latest = self.authority.latest_crl(issuer, shard)
                if latest is None or self.authority.is_list_due(issuer, shard):
                    raise
                return latest  # of another program, which came first and says the same

        return self._publish_by(make, issuer, shard)

    def _publish_by(self, make: Callable[[str, int], PublishedCrl], issuer: str, shard: int) -> PublishedCrl:
        self.recovery_guard.check_status()
        self.clock_guard.now()
        crl = _made_by(make, issuer, shard)
        self.publish(crl)
        return crl

    def publish_status_of(self, serial: str) -> PublishedCrl:
        """Sign and publish the list that speaks of one certificate."""
        record = self.authority.get(serial)
        return self.publish_change_of(record.issuer, record.shard)

    def publish_status_of_all(self, records: Iterable[CertificateRecord]) -> None:
        """Sign and publish each list that speaks of one of these certificates, once."""
        for serial in one_of_each_list(records):
            self.publish_status_of(serial)

    def publish_status_soon(self, serial: str) -> int | None:
        """Publish the list that speaks of one certificate and return its number.

        None where this process cannot: then the worker does, within a second.
        """
        with contextlib.suppress(ServiceError):
            return self.publish_status_of(serial).number
        return None

    def seal_ledger(self) -> str:
        """Sequence what waits, sign a checkpoint if there is news, and publish it; return the latest note.

        Unavailable (`recovery-pending`) where the database does not know what was published.
        """
        self.recovery_guard.check_status()  # what waits comes behind what outlived the database
        while self.ledger.sequence():
            continue
        now = self.clock_guard.now()
        log = log_key(self.deployment)
        note = self.ledger.checkpoint(self.keys.signing_key(CHECKPOINT_KEY), log.name, now)
        if read_published(self.deployment.checkpoint) != note.encode():
            with self.deployment.publishing():  # another program may have signed a larger one meanwhile
                publish_file(self.deployment.checkpoint, (self.ledger.latest_checkpoint() or note).encode())
        return note


def _made_by(make: Callable[[str, int], PublishedCrl], issuer: str, shard: int) -> PublishedCrl:
    for _ in range(CRL_TRIES - 1):
        with contextlib.suppress(CrlRegression):
            return make(issuer, shard)
    return make(issuer, shard)
