"""Evidence brought by registrars, seen by approvers and auditors, and deleted some time after the decision.

Only what a registration file names by its SHA-256 is taken, and only while the file is not decided.
"""

from ca import file_repository as files
from ca.errors import IllegalTransition
from ca.evidence.blobs import MAX_OCTETS_OF_FILE, Reader, read_blob
from ca.evidence.records import Attachment, Scan
from ca.evidence.store import SLICES, ScanStore
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.registration import RegistrationFile
from ca.registration_states import UNDECIDED
from pki.clock import Clock
from pki.errors import ErrorCode, NotFound
from storage.engine import Database
from storage.unit_of_work import UnitOfWork


class EvidenceDesk:
    """Use cases on evidence; safe to share between threads."""

    def __init__(self, database: Database, gate: OfficerGate, clock: Clock, store: ScanStore) -> None:
        """Keep scans of registration files in `store`."""
        self._database, self._gate, self._clock, self._store = database, gate, clock, store

    def attach(self, file_id: str, sha256: str, source: Reader, officer: Officer) -> Attachment:
        """Keep the scan that a file names; one that is here already stays as it is.

        NotFound for a file that is not there or does not name the digest; IllegalTransition once it is decided;
        InvalidInput as `read_blob`, and `input-too-large` where the file's scans together pass 20 MiB; NotAllowed as
        the gate's; Unavailable (`storage-low`).
        """
        with self._database.read() as connection:
            digest = named_digest(files.get_file(connection, file_id), sha256)
        media_type, data = read_blob(source, digest)
        sealed = self._store.seal(file_id, digest, data)
        with self._database.begin() as unit:
            file = files.lock_file(unit.connection, file_id)
            self._allow(unit, officer, Act.EVIDENCE_ATTACH, file, sha256)
            if file.state not in UNDECIDED or file.is_over(self._clock.now()):
                raise IllegalTransition(f"the file is {file.state}", reason="evidence.file-decided")
            return self._store.keep(
                unit,
                file_id,
                digest,
                sealed,
                media_type=media_type,
                octets=len(data),
                most=MAX_OCTETS_OF_FILE,
                officer=officer,
            )

    def show(self, file_id: str, sha256: str, officer: Officer) -> Scan:
        """Return a scan to an officer whose role covers its file; who looked is recorded.

        NotFound where it was never brought or is deleted; NotAllowed as the gate's; Unavailable where its key is not
        here.
        """
        with self._database.begin() as unit:
            file = files.get_file(unit.connection, file_id)
            digest = named_digest(file, sha256)
            self._allow(unit, officer, Act.EVIDENCE_READ, file, sha256)
            return self._store.show(unit, file_id, digest, officer)

    def of_file(self, file_id: str) -> tuple[Attachment, ...]:
        """Return what was brought for a file, oldest first."""
        with self._database.read() as connection:
            return self._store.rows.of(connection, file_id)

    def sweep(self, slices: int = SLICES) -> int:
        """Delete scans whose files were decided long enough ago, at most 100 a slice; return how many.

        The files keep the digests.
        """
        return self._store.sweep(self._database, slices)

    def _allow(self, unit: UnitOfWork, officer: Officer, act: Act, file: RegistrationFile, sha256: str) -> None:
        scope = file.registration.scope
        self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=file.id, digest=sha256)


def named_digest(file: RegistrationFile, sha256: str) -> bytes:
    """Return the digest, if the file names it; NotFound."""
    if sha256 not in {item.sha256 for item in file.registration.evidence}:
        raise NotFound(ErrorCode.NOT_FOUND, "the file names no such evidence", reason="evidence.not-named")
    return bytes.fromhex(sha256)
