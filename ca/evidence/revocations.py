"""What a revocation that reaches back rests on: brought by officers who revoke, seen by these and by auditors.

Only what a proposal names by its SHA-256 is taken, and only while it is not decided; kept and deleted like the evidence
of registration files.
"""

from io import BytesIO

from ca import certificate_queries
from ca.errors import IllegalTransition
from ca.evidence.blobs import MAX_OCTETS, Reader, media_type_of, read_blob
from ca.evidence.records import Attachment, Scan
from ca.evidence.store import SLICES, ScanStore
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.status.acts import proposal_repository as proposals
from ca.status.acts.proposal_repository import ProposalState, RevocationProposal
from ca.status.revocation_desk import ask_leave
from pki.errors import ErrorCode, InvalidInput
from storage.engine import Database
from storage.unit_of_work import UnitOfWork


def check_kept(data: bytes) -> None:
    """Refuse, before anything is proposed, what could not be kept; InvalidInput as `read_blob`."""
    if not data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    media_type_of(data)


class RevocationEvidence:
    """Use cases on the evidence of proposed revocations; safe to share between threads."""

    def __init__(self, database: Database, gate: OfficerGate, store: ScanStore) -> None:
        """Keep scans of proposals in `store`."""
        self._database, self._gate, self._store = database, gate, store

    def attach(self, proposal_id: str, source: Reader, officer: Officer) -> Attachment:
        """Keep what a proposal rests on; where it is here already it stays as it is.

        NotFound; IllegalTransition once it is decided; InvalidInput as `read_blob`; NotAllowed as the gate's;
        Unavailable (`storage-low`).
        """
        with self._database.read() as connection:
            digest = proposals.get(connection, proposal_id).evidence
        media_type, data = read_blob(source, digest)
        sealed = self._store.seal(proposal_id, digest, data)
        with self._database.begin() as unit:
            proposal = proposals.get(unit.connection, proposal_id, locked=True)
            self._allow(unit, officer, Act.REVOCATION_EVIDENCE_ATTACH, proposal)
            if proposal.state is not ProposalState.PROPOSED:
                raise IllegalTransition("the proposal is decided", reason="revocation.decided")
            return self._store.keep(
                unit,
                proposal_id,
                digest,
                sealed,
                media_type=media_type,
                octets=len(data),
                most=MAX_OCTETS,
                officer=officer,
            )

    def attach_known(self, proposal_id: str, data: bytes, officer: Officer) -> Attachment:
        """Keep octets that are here; as `attach`."""
        return self.attach(proposal_id, BytesIO(data), officer)

    def show(self, proposal_id: str, officer: Officer) -> Scan:
        """Return what a proposal rests on; who looked is recorded.

        NotFound where it was never brought or is deleted; NotAllowed as the gate's; Unavailable without its key.
        """
        with self._database.begin() as unit:
            proposal = proposals.get(unit.connection, proposal_id)
            self._allow(unit, officer, Act.REVOCATION_EVIDENCE_READ, proposal)
            return self._store.show(unit, proposal_id, proposal.evidence, officer)

    def sweep(self, slices: int = SLICES) -> int:
        """Delete what was decided about long enough ago; return how many. The proposals keep the digests."""
        return self._store.sweep(self._database, slices)

    def _allow(self, unit: UnitOfWork, officer: Officer, act: Act, proposal: RevocationProposal) -> None:
        record = certificate_queries.find(unit.connection, proposal.serial)
        digest = proposal.evidence.hex()
        ask_leave(self._gate, unit, officer, act, record, subject=proposal.id, digest=digest)
