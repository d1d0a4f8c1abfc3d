"""How scans are kept, whatever they are for: sealed as they come, opened with an event, deleted after the decision."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from ca.context import WORKER, event, nothing
from ca.evidence.records import Attachment, Scan
from ca.evidence.repository import ScanRows
from ca.evidence.sealing import Sealed, Sealer
from ca.officers.identity import Officer
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, NotFound
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

KEPT: Final = timedelta(days=90)
SLICES: Final = 20
SLICE: Final = 100


class ScanStore:
    """The scans of one kind of subject; safe to share between threads."""

    def __init__(
        self,
        rows: ScanRows,
        clock: Clock,
        sealer: Sealer,
        *,
        check_room: Callable[[], object] = nothing,
        kept: timedelta = KEPT,
    ) -> None:
        """Ask `check_room` before anything is written; keep scans for `kept` after the decision that they are for."""
        self.rows, self._clock, self._sealer = rows, clock, sealer
        self._check_room, self._kept = check_room, kept

    def seal(self, subject: str, digest: bytes, data: bytes) -> Sealed:
        """Seal a scan that is to be kept; Unavailable (`storage-low`, or without a key)."""
        self._check_room()
        return self._sealer.seal(data, subject, digest)

    def keep(
        self,
        unit: UnitOfWork,
        subject: str,
        digest: bytes,
        sealed: Sealed,
        *,
        media_type: str,
        octets: int,
        most: int,
        officer: Officer,
    ) -> Attachment:
        """Write a scan whose subject is locked; one that is here already stays as it is.

        InvalidInput (`input-too-large`) where the subject's scans together pass `most` octets.
        """
        before = self.rows.of(unit.connection, subject)
        for known in before:
            if known.digest == digest:
                return known
        if sum(known.octets for known in before) + octets > most:
            detail = f"the evidence has at most {most // 1024 // 1024} MiB together"
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, detail, reason="evidence.quota")
        now = self._clock.now()
        attachment = Attachment(
            subject=subject,
            digest=digest,
            media_type=media_type,
            octets=octets,
            attached_by=officer.id,
            attached_at=now,
        )
        self.rows.add(unit.connection, attachment, sealed)
        facts: dict[str, str | int] = {"sha256": attachment.sha256, "media_type": media_type, "octets": octets}
        unit.audit.record(event(AuditAction.EVIDENCE_ATTACHED, now, officer.id, subject, **facts))
        return attachment

    def show(self, unit: UnitOfWork, subject: str, digest: bytes, officer: Officer) -> Scan:
        """Return a scan to an officer who may see it, and record that; NotFound, Unavailable without its key."""
        found = self.rows.sealed(unit.connection, subject, digest)
        known = {one.digest: one for one in self.rows.of(unit.connection, subject)}
        if found is None:
            reason = "evidence.deleted" if digest in known else "evidence.absent"
            raise NotFound(ErrorCode.NOT_FOUND, "the scan is not here", reason=reason)
        scan = Scan(attachment=known[digest], data=self._sealer.open(found, subject, digest))
        read = event(AuditAction.EVIDENCE_READ, self._clock.now(), officer.id, subject, sha256=digest.hex())
        unit.audit.record(read)
        return scan

    def sweep(self, database: Database, slices: int = SLICES) -> int:
        """Delete scans that were decided about long enough ago, at most 100 a slice; return how many.

        Their digests stay.
        """
        deleted = 0
        for _ in range(slices):
            count = self._delete_slice(database)
            deleted += count
            if count < SLICE:
                break
        return deleted

    def _delete_slice(self, database: Database) -> int:
        now = self._clock.now()
        with database.begin() as unit:
            over = self.rows.decided_before(unit.connection, now - self._kept, SLICE)
            for attachment in over:
                self.rows.delete(unit.connection, attachment, now)
                gone = event(AuditAction.EVIDENCE_DELETED, now, WORKER, attachment.subject, sha256=attachment.sha256)
                unit.audit.record(gone)
        return len(over)
