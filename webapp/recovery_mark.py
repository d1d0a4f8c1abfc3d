"""What the deployment published last, held against its database; and its ledger, followed on disk."""

import time
from pathlib import Path

from ca.recovery.attachments import attached_rows
from ca.recovery.guard import Mark, RecoveryGuard, Stage
from pki.errors import ErrorCode, ServiceError, Unavailable
from pki.notes import VerifierKey, open_checkpoint, parse_verifier_key
from storage.engine import Database
from storage.ledger_segments import LedgerSegments
from webapp.deployment import Deployment
from webapp.health import PartHealth, PartState


class PublishedMark:
    """The last checkpoint under HOME/public, its signature checked. Threads may share it."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._read: Mark | None = None

    def __call__(self) -> Mark | None:
        """Return the note and what it says; None before the first. Unavailable where it cannot be believed."""
        note = read_published(self._deployment.checkpoint)
        if note is None:
            return None
        known = self._read
        if known is None or known[0] != note:
            log = log_key(self._deployment)
            try:
                known = self._read = note, open_checkpoint(note.decode("utf-8", "replace"), log)
            except ServiceError as error:
                detail = "the published checkpoint is not this ledger's"
                raise Unavailable(ErrorCode.RECOVERY_PENDING, detail) from error
        return known


def log_key(deployment: Deployment) -> VerifierKey:
    """Read the key that the ledger's checkpoints are verified by; Unavailable where there is none."""
    key = read_published(deployment.ledger_key)
    if key is None:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, deployment.ledger_key.name)
    return parse_verifier_key(key.decode("ascii", "replace").strip())


def read_published(path: Path) -> bytes | None:
    """Read a small file of ours; None where there is none. Unavailable (`file-unreadable`)."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, path.name) from error


def recovery_guard_of(deployment: Deployment, database: Database) -> RecoveryGuard:
    """Hold a database against what its deployment published."""
    return RecoveryGuard(database, PublishedMark(deployment), time.monotonic)


def followed_ledger(deployment: Deployment, database: Database) -> LedgerSegments:
    """Return what keeps the ledger on disk as well."""
    return LedgerSegments(database, deployment.ledger, attached_rows)


def recovery_part(guard: RecoveryGuard) -> PartHealth:
    """Say whether the database was put back and is not released; status goes on from what was published."""
    try:
        standing = guard.standing()
    except ServiceError as error:
        state = PartState.DOWN if error.code is ErrorCode.RECOVERY_PENDING else PartState.SILENT
        return PartHealth(name="recovery", state=state, note=str(error.code), vital=False)
    match standing.stage:
        case Stage.WHOLE:
            return PartHealth(name="recovery", state=PartState.OK, vital=False)
        case Stage.RECONCILED:
            return PartHealth(name="recovery", state=PartState.DEGRADED, note=standing.why, vital=False)
        case Stage.UNRECONCILED:
            return PartHealth(name="recovery", state=PartState.DOWN, note=standing.why, vital=False)
