"""Auditing the ledger in a database: everything is computed again from the event rows, in constant memory."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, or_, select

from pki.errors import ErrorCode
from pki.merkle import TreeNode, leaf_hash
from pki.notes import VerifierKey
from storage.key_use_audit import audit_key_uses
from storage.ledger_audit import MAX_FINDINGS, LedgerAudit, LedgerReport
from storage.ledger_rows import checkpoint_of, octets_of, provable, raw, raw_checkpoint, raw_event, text_of
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes

_CHUNK: Final = 4096
_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**63 - 1


def verify_rows(connection: Connection, log: VerifierKey, external_checkpoint: str | None) -> LedgerReport:
    """Audit the snapshot that `connection` reads.

    1. Each leaf against its event, in order and without gaps; the tree grows with it, and each stored checkpoint
    and the one kept elsewhere is compared when its size is reached. 2. The stored nodes against that tree.
    3. Rows that belong to no entry. 4. Whether the checkpoint kept elsewhere is still stored here. 5. The key uses.
    """
    audit = LedgerAudit(log=log, external_checkpoint=external_checkpoint)
    nodes_expected = 0
    last_seq = last_size = _LOWEST
    while entries := _next_entries(connection, last_seq):
        last_seq, up_to = entries[-1][0], min(entries[-1][0] + 1, _HIGHEST)
        _expect_checkpoints(connection, audit, above=last_size, up_to=up_to)
        completed = [node for entry in entries for node in _take_entry(audit, entry)]
        _compare_nodes(connection, audit, completed)
        last_size, nodes_expected = up_to, nodes_expected + len(completed)
    _expect_longer_checkpoints(connection, audit, above=last_size)
    if audit.whole:
        _count_nodes(connection, audit, nodes_expected)
    _find_strays(connection, audit)
    _find_external(connection, audit)
    audit_key_uses(connection, audit.report)
    pending = select(func.count()).where(audit_events.c.seq.is_(None))
    return audit.conclude(pending=connection.execute(pending).scalar_one())


def _next_entries(connection: Connection, after: int) -> Sequence[Any]:
    """Read leaves with the events of the same place: seq, event id, leaf hash, event's seq, event's columns."""
    leaf = (raw(ledger_leaves.c.event_id, connection), raw(ledger_leaves.c.leaf_hash, connection))
    return connection.execute(
        select(ledger_leaves.c.seq, *leaf, audit_events.c.seq, *raw_event(connection))
        .select_from(ledger_leaves.outerjoin(audit_events, audit_events.c.seq == ledger_leaves.c.seq))
        .where(ledger_leaves.c.seq > after)
        .order_by(ledger_leaves.c.seq)
        .limit(_CHUNK)
    ).all()


def _take_entry(audit: LedgerAudit, row: Sequence[Any]) -> list[TreeNode]:
    seq, event_id = row[0], text_of(row[1])
    recomputed = None
    if row[3] is not None:
        event = provable(row[4:])
        recomputed = b"" if event is None else leaf_hash(event.entry)
        if event_id != text_of(row[4]):
            audit.report(ErrorCode.LEDGER_EDITED, "the leaf names another event", seq=seq, event_id=event_id)
    return audit.entry(seq, stored=octets_of(row[2]) or b"", recomputed=recomputed, event_id=event_id)


def _expect_checkpoints(connection: Connection, audit: LedgerAudit, *, above: int, up_to: int) -> None:
    size = checkpoints.c.size
    _announce(connection, audit, select(*raw_checkpoint(connection)).where(size > above, size <= up_to).order_by(size))


def _expect_longer_checkpoints(connection: Connection, audit: LedgerAudit, *, above: int) -> None:
    """Announce checkpoints that cover more than is left; the longest of them tell enough."""
    size = checkpoints.c.size
    query = select(*raw_checkpoint(connection)).where(size > above).order_by(size.desc()).limit(MAX_FINDINGS)
    _announce(connection, audit, query)


def _announce(connection: Connection, audit: LedgerAudit, query: Select[Any]) -> None:
    for row in connection.execute(query):
        stored = checkpoint_of(row)
        audit.expect(stored.note, size=stored.size, root=stored.root)


def _compare_nodes(connection: Connection, audit: LedgerAudit, completed: Sequence[TreeNode]) -> None:
    spans: dict[int, tuple[int, int]] = {}
    for level, position, _ in completed:
        spans[level] = (spans.get(level, (position, 0))[0], position)
    if not spans:
        return
    table = ledger_nodes.c
    within = [and_(table.level == level, table.position.between(*span)) for level, span in spans.items()]
    query = select(table.level, table.position, raw(table.hash, connection)).where(or_(*within))
    kept = {(row[0], row[1]): octets_of(row[2]) for row in connection.execute(query)}
    for level, position, value in completed:
        found = kept.get((level, position))
        if found != value:
            code = ErrorCode.LEDGER_REMOVED if found is None else ErrorCode.LEDGER_EDITED
            audit.report(code, f"node {position} of level {level} is not the root of its subtree")


def _count_nodes(connection: Connection, audit: LedgerAudit, expected: int) -> None:
    kept = connection.execute(select(func.count()).select_from(ledger_nodes)).scalar_one()
    if kept > expected:
        audit.report(ErrorCode.LEDGER_EDITED, f"{kept - expected} nodes belong to no subtree")


def _find_strays(connection: Connection, audit: LedgerAudit) -> None:
    query = (
        select(raw(audit_events.c.id, connection))
        .select_from(audit_events.outerjoin(ledger_leaves, ledger_leaves.c.seq == audit_events.c.seq))
        .where(audit_events.c.seq.is_not(None), ledger_leaves.c.seq.is_(None))
        .limit(MAX_FINDINGS)
    )
    for event_id in connection.execute(query).scalars():
        audit.report(
            ErrorCode.LEDGER_REMOVED, "an event has a place in the ledger but no leaf", event_id=text_of(event_id)
        )


def _find_external(connection: Connection, audit: LedgerAudit) -> None:
    external = audit.external
    if external is None or external.size > audit.size:
        return
    query = select(func.count()).where(checkpoints.c.size == external.size)
    if not connection.execute(query).scalar_one():
        audit.report(
            ErrorCode.LEDGER_REMOVED, f"the checkpoint of {external.size} entries is kept elsewhere but not here"
        )
