"""Putting ledger entries back into a database that lost them: the same events, leaves, nodes and checkpoints.

What a checkpoint's signature covers is believed and nothing else; entries that are there already are compared.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from pki import merkle
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.instants import parse_instant
from pki.jose import canonical_json, json_object
from pki.notes import VerifierKey, open_checkpoint
from storage.ledger_entries import ProvableEvent
from storage.ledger_rows import ledger_size, node_reader
from storage.ledger_sources import LedgerBlock
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes
from storage.unit_of_work import take_turn

_ROUND: Final = 500
_e = audit_events.c


class ReplayedEvent(NamedTuple):
    """An event as it was recorded."""

    id: str
    at: datetime
    action: str
    actor: str
    subject: str
    facts: dict[str, Any]


class LedgerForked(VerificationFailed):
    """The database's ledger has other entries than the one that outlived it; `common` are the same."""

    def __init__(self, common: int, detail: str) -> None:
        super().__init__(ErrorCode.LEDGER_FORKED, detail)
        self.common = common


def event_of(item: ProvableEvent) -> ReplayedEvent:
    """Read a proven event; InvalidInput where it is not one of ours."""
    members = json_object(item.event)
    try:
        return ReplayedEvent(
            id=members["id"],
            at=parse_instant(members["at"]),
            action=members["action"],
            actor=members["actor"],
            subject=members["subject"],
            facts=dict(members["facts"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not an audit event of ours") from error


class LedgerReplay:
    """Takes blocks in order, in a transaction of the caller's."""

    def __init__(self, connection: Connection, log: VerifierKey) -> None:
        """Go on where the database's ledger ends; nobody else adds leaves meanwhile."""
        take_turn(connection, ledger_leaves)
        self._connection, self._log = connection, log
        self._edge = merkle.RightEdge.of(ledger_size(connection), node_reader(connection))
        self.size_before = self._edge.size

    @property
    def size(self) -> int:
        """How many entries the ledger has by now."""
        return self._edge.size

    def take(self, block: LedgerBlock, created: datetime) -> list[ProvableEvent]:
        """Add what the database lacks of a block and return it.

        LedgerForked where an entry is another; VerificationFailed, and nothing of the block may be kept, where the
        checkpoint's signature does not cover the entries or some are missing before it.
        """
        checkpoint = open_checkpoint(block.checkpoint, self._log)
        if checkpoint.size != block.size:
            raise VerificationFailed(ErrorCode.CHECKPOINT_INVALID, f"a checkpoint of {checkpoint.size} entries")
        known = max(0, min(self._edge.size - block.first, len(block.events)))
        self._compare(block, known)
        new = block.events[known:]
        if new and block.first > self._edge.size:
            detail = f"entries {self._edge.size} to {block.first - 1} are in neither"
            raise VerificationFailed(ErrorCode.LEDGER_REMOVED, detail)
        for start in range(0, len(new), _ROUND):
            self._add(new[start : start + _ROUND])
        if new:
            if self._edge.root() != checkpoint.root:
                raise VerificationFailed(ErrorCode.LEDGER_FORKED, "the checkpoint covers other entries")
            self._keep_checkpoint(block, checkpoint.root, created)
        return new

    def _compare(self, block: LedgerBlock, known: int) -> None:
        c = ledger_leaves.c
        for start in range(0, known, _ROUND):
            first = block.first + start
            last = block.first + min(known, start + _ROUND) - 1
            query = select(c.leaf_hash).where(c.seq.between(first, last)).order_by(c.seq)
            for place, leaf in enumerate(self._connection.execute(query).scalars()):
                if leaf != merkle.leaf_hash(block.events[start + place].entry):
                    raise LedgerForked(first + place, f"entry {first + place} is another")

    def _add(self, items: Sequence[ProvableEvent]) -> None:
        leaves: list[dict[str, object]] = []
        nodes: list[dict[str, object]] = []
        rows: dict[str, dict[str, object]] = {}
        for item in items:
            row = _row(item)
            row["seq"] = self._edge.size
            leaf = merkle.leaf_hash(item.entry)
            leaves.append({"seq": self._edge.size, "event_id": row["id"], "leaf_hash": leaf})
            nodes.extend(node._asdict() for node in self._edge.append(leaf))
            rows[str(row["id"])] = row
        waiting = self._connection.execute(select(_e.id, _e.salt, _e.facts).where(_e.id.in_(list(rows)))).all()
        for found in waiting:  # recorded before the backup, given its place after it
            row = rows.pop(found.id)
            if (found.salt, found.facts) != (row["salt"], row["facts"]):
                raise VerificationFailed(ErrorCode.LEDGER_EDITED, f"event {found.id} is another here")
            placed = update(audit_events).where(_e.id == found.id, _e.seq.is_(None)).values(seq=row["seq"])
            if self._connection.execute(placed).rowcount != 1:
                raise VerificationFailed(ErrorCode.LEDGER_FORKED, f"event {found.id} has another place here")
        if rows:
            self._connection.execute(insert(audit_events), list(rows.values()))
        self._connection.execute(insert(ledger_leaves), leaves)
        if nodes:
            self._connection.execute(insert(ledger_nodes), nodes)

    def _keep_checkpoint(self, block: LedgerBlock, root: bytes, created: datetime) -> None:
        values = {"size": block.size, "root": root, "note": block.checkpoint, "created": created}
        self._connection.execute(insert(checkpoints).values(values))


def _row(item: ProvableEvent) -> dict[str, object]:
    members = json_object(item.event)
    facts = canonical_json(members["facts"]).decode() if members["facts"] else "{}"
    if f'"facts":{facts},'.encode() not in item.event:
        raise VerificationFailed(ErrorCode.LEDGER_EDITED, "an event's facts are not written as they were stored")
    values = {name: members[name] for name in ("id", "action", "actor", "subject")}
    return {**values, "at": parse_instant(members["at"]), "facts": facts, "salt": item.salt}
