"""The procedure on its own, fed by hand."""

from __future__ import annotations

from pki.errors import ErrorCode
from pki.merkle import EMPTY_ROOT, leaf_hash, root_of
from pki.notes import Checkpoint, sign_checkpoint
from storage.ledger_audit import LedgerAudit
from tests.storage.story import KEY, LOG, ORIGIN

LEAVES = [leaf_hash(bytes([number])) for number in range(6)]


def note_of(size: int, root: bytes | None = None) -> str:
    return sign_checkpoint(Checkpoint(origin=ORIGIN, size=size, root=root or root_of(LEAVES[:size])), KEY)


def feed(audit: LedgerAudit, *places: int) -> None:
    for seq in places:
        audit.entry(seq, stored=LEAVES[seq], recomputed=LEAVES[seq], event_id=None)


def test_a_gap_is_named_once_and_ends_the_tree_but_not_the_audit() -> None:
    audit = LedgerAudit(log=LOG, external_checkpoint=note_of(6))
    audit.expect(note_of(2), size=2, root=root_of(LEAVES[:2]))
    audit.expect(note_of(4), size=4, root=root_of(LEAVES[:4]))
    feed(audit, 0, 1, 4)
    audit.entry(5, stored=LEAVES[5], recomputed=LEAVES[0], event_id="e5")
    report = audit.conclude(pending=3)
    assert [(found.code, found.seq) for found in report.findings] == [
        (ErrorCode.LEDGER_REMOVED, 2),
        (ErrorCode.LEDGER_EDITED, 5),
    ]
    assert "no entry 2 to 3" in report.findings[0].detail
    assert (report.size, report.root, report.checkpoints, report.pending) == (6, None, 1, 3)


def test_the_same_place_twice_is_an_edit() -> None:
    audit = LedgerAudit(log=LOG, external_checkpoint=None)
    feed(audit, 0, 1, 1, 2)
    assert [(found.code, found.seq) for found in audit.conclude().findings] == [(ErrorCode.LEDGER_EDITED, 1)]


def test_an_entry_without_leaf_and_event_is_gone() -> None:
    audit = LedgerAudit(log=LOG, external_checkpoint=None)
    audit.entry(0, stored=None, recomputed=None, event_id=None)
    report = audit.conclude()
    assert [found.code for found in report.findings] == [ErrorCode.LEDGER_REMOVED]
    assert report.root is None


def test_an_empty_ledger_is_measured_against_empty_checkpoints() -> None:
    audit = LedgerAudit(log=LOG, external_checkpoint=note_of(0, EMPTY_ROOT))
    audit.expect(note_of(0, EMPTY_ROOT), size=0, root=EMPTY_ROOT)
    report = audit.conclude()
    assert report.intact
    assert (report.root, report.checkpoints) == (EMPTY_ROOT, 1)
    wrong = LedgerAudit(log=LOG, external_checkpoint=note_of(0, bytes(32)))
    assert [found.code for found in wrong.conclude().findings] == [ErrorCode.LEDGER_FORKED]


def test_a_checkpoint_announced_late_is_not_counted_as_checked() -> None:
    audit = LedgerAudit(log=LOG, external_checkpoint=None)
    feed(audit, 0, 1, 2)
    audit.expect(note_of(2), size=2, root=root_of(LEAVES[:2]))
    assert audit.conclude().checkpoints == 0
