"""Evidence brought by registrars, seen by approvers and auditors, and deleted some time after the decision.

Only what a registration file names by its SHA-256 is taken, and only while the file is not decided.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ca import file_repository as files
from ca.context import WORKER, event, nothing
from ca.errors import IllegalTransition
from ca.evidence import repository
from ca.evidence.blobs import MAX_OCTETS_OF_FILE, Reader, read_blob
from ca.evidence.records import Attachment
from ca.evidence.sealing import Sealer
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.registration import RegistrationFile
from ca.registration_states import UNDECIDED
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, NotFound
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

KEPT: Final = timedelta(days=90)
SLICES: Final = 20
_SLICE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A scan that an officer is shown."""

    attachment: Attachment
    data: bytes = field(repr=False)


class EvidenceDesk:
    """Use cases on evidence; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        gate: OfficerGate,
        clock: Clock,
        sealer: Sealer,
        *,
        check_room: Callable[[], object] = nothing,
        kept: timedelta = KEPT,
    ) -> None:
        """Ask `check_room` before anything is written; keep scans for `kept` after their file's decision."""
        self._database, self._gate, self._clock, self._sealer = database, gate, clock, sealer
        self._check_room, self._kept = check_room, kept

    def attach(self, file_id: str, sha256: str, source: Reader, officer: Officer) -> Attachment:
        """Keep the scan that a file names; one that is here already stays as it is.

        NotFound for a file that is not there or does not name the digest; IllegalTransition once it is decided;
        InvalidInput as `read_blob`, and `input-too-large` where the file's scans together pass 20 MiB; NotAllowed as
        the gate's; Unavailable (`storage-low`).
        """
        with self._database.read() as connection:
            digest = named_digest(files.get_file(connection, file_id), sha256)
        media_type, data = read_blob(source, digest)
        self._check_room()
        sealed = self._sealer.seal(data, file_id, digest)
        now = self._clock.now()
        with self._database.begin() as unit:
            file = files.lock_file(unit.connection, file_id)
            self._allow(unit, officer, Act.EVIDENCE_ATTACH, file, sha256)
            if file.state not in UNDECIDED or file.is_over(now):
                raise IllegalTransition(f"the file is {file.state}", reason="evidence.file-decided")
            before = repository.of_file(unit.connection, file_id)
            for known in before:
                if known.digest == digest:
                    return known
            if sum(known.octets for known in before) + len(data) > MAX_OCTETS_OF_FILE:
                detail = "a file's evidence has at most 20 MiB together"
                raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, detail, reason="evidence.quota")
            attachment = Attachment(
                file_id=file_id,
                digest=digest,
                media_type=media_type,
                octets=len(data),
                attached_by=officer.id,
                attached_at=now,
            )
            repository.add(unit.connection, attachment, sealed)
            facts: dict[str, str | int] = {"sha256": sha256, "media_type": media_type, "octets": len(data)}
            unit.audit.record(event(AuditAction.EVIDENCE_ATTACHED, now, officer.id, file_id, **facts))
        return attachment

    def show(self, file_id: str, sha256: str, officer: Officer) -> Scan:
        """Return a scan to an officer whose role covers its file; who looked is recorded.

        NotFound where it was never brought or is deleted; NotAllowed as the gate's; Unavailable where its key is not
        here.
        """
        with self._database.begin() as unit:
            file = files.get_file(unit.connection, file_id)
            digest = named_digest(file, sha256)
            self._allow(unit, officer, Act.EVIDENCE_READ, file, sha256)
            found = repository.sealed(unit.connection, file_id, digest)
            known = {one.digest: one for one in repository.of_file(unit.connection, file_id)}
            if found is None:
                reason = "evidence.deleted" if digest in known else "evidence.absent"
                raise NotFound(ErrorCode.NOT_FOUND, "the scan is not here", reason=reason)
            scan = Scan(attachment=known[digest], data=self._sealer.open(found, file_id, digest))
            read = event(AuditAction.EVIDENCE_READ, self._clock.now(), officer.id, file_id, sha256=sha256)
            unit.audit.record(read)
        return scan

    def of_file(self, file_id: str) -> tuple[Attachment, ...]:
        """Return what was brought for a file, oldest first."""
        with self._database.read() as connection:
            return repository.of_file(connection, file_id)

    def sweep(self, slices: int = SLICES) -> int:
        """Delete scans whose files were decided long enough ago, at most 100 a slice; return how many.

        The files keep the digests.
        """
        deleted = 0
        for _ in range(slices):
            count = self._delete_slice()
            deleted += count
            if count < _SLICE:
                break
        return deleted

    def _delete_slice(self) -> int:
        now = self._clock.now()
        with self._database.begin() as unit:
            over = repository.decided_before(unit.connection, now - self._kept, _SLICE)
            for attachment in over:
                repository.delete(unit.connection, attachment, now)
                gone = event(AuditAction.EVIDENCE_DELETED, now, WORKER, attachment.file_id, sha256=attachment.sha256)
                unit.audit.record(gone)
        return len(over)

    def _allow(self, unit: UnitOfWork, officer: Officer, act: Act, file: RegistrationFile, sha256: str) -> None:
        scope = file.registration.scope
        self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=file.id, digest=sha256)


def named_digest(file: RegistrationFile, sha256: str) -> bytes:
    """Return the digest, if the file names it; NotFound."""
    if sha256 not in {item.sha256 for item in file.registration.evidence}:
        raise NotFound(ErrorCode.NOT_FOUND, "the file names no such evidence", reason="evidence.not-named")
    return bytes.fromhex(sha256)
