"""The auditor's procedure: follow a ledger from its first entry and name whatever does not hold.

It is fed with entries in order, from a database or from exported files, and needs neither. The tree is built
from the stored leaf hashes while each leaf is compared with its event, so one edited event is named by its
place and does not hide the rest. What an attacker rebuilt from there to the top shows against a checkpoint
that the owner of the ledger cannot sign anew: one kept elsewhere.
"""

from dataclasses import dataclass, field
from typing import Final

from pki.errors import ErrorCode, ServiceError
from pki.merkle import HASH_SIZE, RightEdge, TreeNode
from pki.notes import Checkpoint, VerifierKey, open_checkpoint

MAX_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFinding:
    """One thing that does not hold; `seq` and `event_id` where a single entry is meant."""

    code: ErrorCode
    detail: str
    seq: int | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What an audit found.

    `size` entries were read and have `root`, None when a gap left no tree to compute. `pending` events wait for
    the sequencer. `checkpoints` were verified and agree. `unlisted` findings came after the first `MAX_FINDINGS`.
    """

    origin: str
    size: int
    root: bytes | None
    pending: int
    checkpoints: int
    findings: tuple[LedgerFinding, ...] = field(default=())
    unlisted: int = 0

    @property
    def intact(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class LedgerAudit:
    """One audit in progress. Announce each checkpoint before the entry that completes it."""

    def __init__(self, *, log: VerifierKey, external_checkpoint: str | None) -> None:
        self._log = log
        self._edge = RightEdge()
        self.whole = True
        self._findings: list[LedgerFinding] = []
        self._unlisted = 0
        self._agreed: int | None = None  # size of the largest checkpoint that agrees
        self._checked = 0
        self._forked = False
        self._due: dict[int, Checkpoint] = {}
        self.size = 0
        self.external: Checkpoint | None = None
        if external_checkpoint is not None:
            self.external = self._open(external_checkpoint, "the checkpoint kept elsewhere")
            if self.external is not None and self.external.size == 0:
                self._check_external()

    def report(self, code: ErrorCode, detail: str, *, seq: int | None = None, event_id: str | None = None) -> None:
        """Add a finding."""
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(LedgerFinding(code=code, detail=detail, seq=seq, event_id=event_id))
        else:
            self._unlisted += 1

    def _open(self, note: str, name: str) -> Checkpoint | None:
        try:
            return open_checkpoint(note, self._log)
        except ServiceError as error:
            self.report(ErrorCode.CHECKPOINT_INVALID, f"{name}: {error.detail}")
            return None

    def expect(self, note: str, *, size: int | None = None, root: bytes | None = None) -> Checkpoint | None:
        """Announce a stored checkpoint, with the size and root that are kept beside it, if any; return it if valid."""
        name = "a checkpoint" if size is None else f"the checkpoint of {size} entries"
        checkpoint = self._open(note, name)
        if checkpoint is None:
            return None
        if (size is not None and size != checkpoint.size) or (root is not None and root != checkpoint.root):
            self.report(ErrorCode.CHECKPOINT_INVALID, f"{name} differs from what is kept beside it")
        if checkpoint.size >= self.size:
            self._due[checkpoint.size] = checkpoint
            self._check_due()
        return checkpoint

    def entry(
        self, seq: int, *, stored: bytes | None, recomputed: bytes | None, event_id: str | None
    ) -> list[TreeNode]:
        """Take the next entry: its stored leaf hash and the one that its event gives, None where there is none.

        Return the tree nodes that it completes; none after a gap, when the tree can no longer be computed.
        """
        if seq < self.size:
            self.report(ErrorCode.LEDGER_EDITED, "an entry lies outside the ledger's order", seq=seq, event_id=event_id)
            return []
        if seq > self.size:
            last = f" to {seq - 1}" if seq - 1 > self.size else ""
            self.report(ErrorCode.LEDGER_REMOVED, f"no entry {self.size}{last}", seq=self.size)
            self.whole = False
        self.size = seq + 1
        if stored is not None and len(stored) != HASH_SIZE:
            self.report(ErrorCode.LEDGER_EDITED, "the leaf is not a hash", seq=seq, event_id=event_id)
            stored = recomputed
        elif stored is None:
            self.report(ErrorCode.LEDGER_REMOVED, "the leaf of this entry is gone", seq=seq, event_id=event_id)
        elif recomputed is None:
            self.report(ErrorCode.LEDGER_REMOVED, "the event of this entry is gone", seq=seq, event_id=event_id)
        elif stored != recomputed:
            self.report(ErrorCode.LEDGER_EDITED, "the event does not give its leaf", seq=seq, event_id=event_id)
        leaf = stored or recomputed
        if leaf is None:
            self.whole = False
        if not self.whole or leaf is None:
            return []
        completed = self._edge.append(leaf)
        self._check_due()
        return completed

    def _check_due(self) -> None:
        if not self.whole or self.size != self._edge.size:
            return
        due = self._due.pop(self.size, None)
        if due is not None:
            self._check_stored(due)
        if self.external is not None and self.external.size == self.size:
            self._check_external()

    def _check_stored(self, checkpoint: Checkpoint) -> None:
        if checkpoint.root == self._edge.root():
            self._checked += 1
            self._agreed = checkpoint.size
        elif not self._forked:  # each later one differs as well
            self._forked = True
            self.report(
                ErrorCode.LEDGER_FORKED,
                f"the checkpoint of {checkpoint.size} entries covers others; {self._since()}",
            )

    def _check_external(self) -> None:
        if self.external is not None and self.external.root != self._edge.root():
            self.report(
                ErrorCode.LEDGER_FORKED,
                f"the checkpoint kept elsewhere covers other {self.external.size} entries; {self._since()}",
            )

    def _since(self) -> str:
        return "none before it agrees" if self._agreed is None else f"the one of {self._agreed} entries agrees"

    def conclude(self, *, pending: int = 0) -> LedgerReport:
        """Return the report, once every entry and checkpoint was given."""
        longest = max(self._due, default=0)
        if longest > self.size:
            self._truncated("a stored checkpoint", longest)
        if self.external is not None and self.external.size > self.size:
            self._truncated("the checkpoint kept elsewhere", self.external.size)
        return LedgerReport(
            origin=self._log.name,
            size=self.size,
            root=self._edge.root() if self.whole else None,
            pending=pending,
            checkpoints=self._checked,
            findings=tuple(self._findings),
            unlisted=self._unlisted,
        )

    def _truncated(self, name: str, size: int) -> None:
        self.report(ErrorCode.LEDGER_TRUNCATED, f"{name} covers {size} entries, {self.size} are left", seq=self.size)
