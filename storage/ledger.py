"""The Merkle ledger over the audit trail: sequencing, checkpoints, proofs, audits, exports.

An event becomes provable in two steps: the sequencer gives it a leaf, then a checkpoint covers that leaf. Trusted:
whoever can change the database can drop or alter an event before its leaf exists, unseen. From the moment a
checkpoint that covers it is kept elsewhere (in a receipt, with a witness), any change to it shows.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, insert, select, update

from pki import merkle
from pki.errors import Conflict, ErrorCode, NotFound, VerificationFailed
from pki.keys import SigningKey
from pki.notes import Checkpoint, VerifierKey, open_checkpoint, sign_checkpoint, verifier_key
from storage.engine import Database
from storage.ledger_audit import LedgerReport
from storage.ledger_entries import ProvableEvent
from storage.ledger_export import write_export
from storage.ledger_proof import LedgerProof
from storage.ledger_rows import (
    StoredCheckpoint,
    latest_checkpoint,
    ledger_size,
    node_reader,
    octets_of,
    provable,
    raw,
    raw_event,
    text_of,
)
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves, ledger_nodes
from storage.ledger_verification import verify_rows
from storage.unit_of_work import take_turn

BATCH: Final = 10_000  # entries read at a time
SLICE: Final = 500  # events that get leaves in one transaction: no other writer waits longer than for these


class Ledger:
    """The one ledger of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sequence(self, limit: int = SLICE) -> int:
        """Give up to `limit` waiting events, oldest first, their place and leaf; return how many.

        Safe to call at any time from any process: one sequencer works at a time, and a crash leaves nothing half
        done. VerificationFailed when the kept tree or a waiting event is damaged: nothing is added to it then.
        """
        with self._database.begin() as unit:
            connection = unit.connection
            take_turn(connection, ledger_leaves)
            waiting = connection.execute(
                select(*raw_event(connection))
                .where(audit_events.c.seq.is_(None))
                .order_by(audit_events.c.id)
                .limit(limit)
            ).all()
            if waiting:
                _append(connection, waiting)
            return len(waiting)

    def checkpoint(self, key: SigningKey, origin: str, now: datetime) -> str:
        """Sign the ledger's present size and root as a C2SP checkpoint, keep it and return the note.

        Returns the last one when nothing was added since. VerificationFailed, and nothing is signed, when the
        ledger is shorter than its last checkpoint, does not continue it, or `key` did not sign that. No
        transaction is open while `key` signs.
        """
        log = verifier_key(origin, key)
        with self._database.read() as connection:
            size, read = ledger_size(connection), node_reader(connection)
            last = latest_checkpoint(connection)
            if last is not None:
                _check_continues(last, log, size, read)
                if last.size == size:
                    return last.note
            root = merkle.root_at(size, read)
        note = sign_checkpoint(Checkpoint(origin=origin, size=size, root=root), key)
        with self._database.begin() as unit:
            take_turn(unit.connection, checkpoints)
            last = latest_checkpoint(unit.connection)
            if last is not None and last.size >= size:  # another worker was faster
                return last.note
            unit.connection.execute(insert(checkpoints).values(size=size, root=root, note=note, created=now))
        return note

    def latest_checkpoint(self) -> str | None:
        """Return the note of the largest checkpoint."""
        with self._database.read() as connection:
            last = latest_checkpoint(connection)
        return None if last is None else last.note

    def inclusion_proof(self, event_id: str) -> LedgerProof:
        """Prove that the event is in the ledger, under the last checkpoint.

        NotFound for an unknown event, Conflict while no checkpoint covers it, VerificationFailed when its row is
        damaged.
        """
        with self._database.read() as connection:
            row = connection.execute(
                select(audit_events.c.seq, *raw_event(connection)).where(audit_events.c.id == event_id)
            ).first()
            if row is None:
                raise NotFound(ErrorCode.NOT_FOUND, "no such audit event")
            seq, last = row[0], latest_checkpoint(connection)
            if seq is None or last is None or last.size <= seq:
                raise Conflict(ErrorCode.CONFLICT, "no checkpoint covers the event yet")
            event = provable(row[1:])
            if event is None:
                raise VerificationFailed(ErrorCode.LEDGER_EDITED, f"the event of entry {seq} is damaged")
            hashes = merkle.inclusion_proof(seq, last.size, node_reader(connection))
        return LedgerProof(event=event.event, salt=event.salt, seq=seq, hashes=hashes, checkpoint=last.note)

    def consistency_proof(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Prove that the ledger of `new_size` entries begins with that of `old_size` (RFC 9162 §2.1.4)."""
        with self._database.read() as connection:
            if new_size > ledger_size(connection):
                raise NotFound(ErrorCode.NOT_FOUND, f"the ledger has no {new_size} entries")
            return merkle.consistency_proof(old_size, new_size, node_reader(connection))

    def verify(self, public_key: Ed25519PublicKey, origin: str, external_checkpoint: str | None) -> LedgerReport:
        """Compute the whole ledger again from the event rows and report what does not hold.

        Found without `external_checkpoint`: every edited, removed, swapped or inserted entry below the last
        checkpoint that is still stored, and every half-done change above it. Found with it, a note kept where
        the attacker could not write: also a cut tail, a rolled back database and a ledger rebuilt throughout.
        Never found: an event that vanished or changed before it got its leaf; an older checkpoint row that
        vanished and nobody kept; another `created` time of a checkpoint, which no signature covers.
        """
        with self._database.read() as connection:
            return verify_rows(connection, VerifierKey(name=origin, public_key=public_key), external_checkpoint)

    def export(self, folder: Path) -> int:
        """Write every entry under the last checkpoint into `folder` (see `storage.ledger_export`); return how many.

        Conflict when there is no checkpoint or the folder holds an export; VerificationFailed when an entry does
        not give its leaf.
        """
        with self._database.read() as connection:
            last = latest_checkpoint(connection)
            if last is None:
                raise Conflict(ErrorCode.CONFLICT, "the ledger has no checkpoint yet")
            return write_export(folder, _entries(connection, last.size), last.note)


def _append(connection: Connection, waiting: Sequence[Any]) -> None:
    """Give leaves to raw events, in their order, and store the nodes that these complete."""
    size = ledger_size(connection)
    edge = merkle.RightEdge.of(size, node_reader(connection))
    leaves: list[dict[str, object]] = []
    nodes: list[dict[str, object]] = []
    for fields in waiting:
        event_id, event = text_of(fields[0]), provable(fields)
        if event is None:
            raise VerificationFailed(ErrorCode.LEDGER_EDITED, f"waiting event {event_id} is damaged")
        leaf = merkle.leaf_hash(event.entry)
        leaves.append({"seq": edge.size, "event_id": event_id, "leaf_hash": leaf})
        nodes.extend(node._asdict() for node in edge.append(leaf))
    connection.execute(insert(ledger_leaves), leaves)
    if nodes:
        connection.execute(insert(ledger_nodes), nodes)
    placed = connection.execute(
        update(audit_events)
        .values(seq=ledger_leaves.c.seq)
        .where(
            audit_events.c.id == ledger_leaves.c.event_id,
            audit_events.c.seq.is_(None),  # the small index of waiting events serves, however large the table
            ledger_leaves.c.seq.between(size, edge.size - 1),
        )
    )
    if placed.rowcount != len(waiting):
        raise VerificationFailed(ErrorCode.LEDGER_EDITED, "a waiting event has an id that is not text")


def _check_continues(last: StoredCheckpoint, log: VerifierKey, size: int, read: merkle.NodeReader) -> None:
    """Refuse to sign over a ledger that does not begin with the one of its last checkpoint."""
    signed = open_checkpoint(last.note, log)
    if (signed.size, signed.root) != (last.size, last.root):
        raise VerificationFailed(ErrorCode.CHECKPOINT_INVALID, "the last checkpoint differs from its note")
    if size < signed.size:
        raise VerificationFailed(ErrorCode.LEDGER_TRUNCATED, f"{signed.size} entries were signed, {size} are left")
    if merkle.root_at(signed.size, read) != signed.root:
        raise VerificationFailed(ErrorCode.LEDGER_FORKED, f"the first {signed.size} entries are not those signed")


def _entries(connection: Connection, size: int) -> Iterator[ProvableEvent]:
    """Read entries 0 to `size`, each checked against its leaf."""
    for start in range(0, size, BATCH):
        query = (
            select(ledger_leaves.c.seq, raw(ledger_leaves.c.leaf_hash, connection), *raw_event(connection))
            .select_from(ledger_leaves.join(audit_events, audit_events.c.seq == ledger_leaves.c.seq))
            .where(ledger_leaves.c.seq >= start, ledger_leaves.c.seq < min(start + BATCH, size))
            .order_by(ledger_leaves.c.seq)
        )
        expected = start
        for seq, leaf, *fields in connection.execute(query):
            event = provable(fields)
            if seq != expected or event is None or octets_of(leaf) != merkle.leaf_hash(event.entry):
                raise VerificationFailed(ErrorCode.LEDGER_EDITED, f"entry {expected} does not give its leaf")
            yield event
            expected += 1
        if expected != min(start + BATCH, size):
            raise VerificationFailed(ErrorCode.LEDGER_REMOVED, f"entry {expected} is gone")
