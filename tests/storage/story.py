"""A ledger's cast: a seal key in memory, events, and the checkpoints they end up under."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ed25519

from pki.audit import AuditAction, AuditEvent
from pki.keys import SignatureAlgorithm
from pki.notes import VerifierKey
from storage.engine import Database
from storage.ledger import Ledger
from storage.ledger_entries import EventId

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ORIGIN = "ledger.example/mohr"
SIZES = (5, 12, 21)
COVERED = SIZES[-1]
BEYOND = 3  # entries after the last checkpoint
# What tells of key uses must agree with rows beside it: `tests.storage.key_use_story` tells that story.
_OF_KEY_USES = (AuditAction.KEYS_USED, AuditAction.KEY_JOURNAL_GAP, AuditAction.KEY_GAP_ACKNOWLEDGED)
_ACTIONS = tuple(action for action in AuditAction if action not in _OF_KEY_USES)


class SealKey:
    """An Ed25519 signing key in memory."""

    algorithm = SignatureAlgorithm.EDDSA

    def __init__(self, seed: bytes = b"\7" * 32) -> None:
        self._key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)

    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


KEY = SealKey()
PUBLIC = KEY.public_key()
LOG = VerifierKey(name=ORIGIN, public_key=PUBLIC)


def event_number(number: int) -> AuditEvent:
    """Return the n-th event of a history; no two are alike."""
    return AuditEvent(
        action=_ACTIONS[number % len(_ACTIONS)],
        at=NOW + timedelta(milliseconds=250 * number),
        actor=f"officer-{number % 3}",
        subject=f"serial:{number:x}",
        facts={"n": number, "profile": "clin-sign", "pilot": number % 2 == 0, "note": None},
    )


def record(database: Database, first: int, count: int) -> list[EventId]:
    """Record events in one transaction; return their ids."""
    with database.begin() as unit:
        return [unit.audit.enter(event_number(number)) for number in range(first, first + count)]


def build_history(database: Database, *sizes: int, pending: int = 0) -> list[str]:
    """Let the ledger grow to each size in turn, with a checkpoint at each; return the notes."""
    ledger, notes, size = Ledger(database), [], 0
    for wanted in sizes:
        record(database, size, wanted - size)
        while grown := ledger.sequence():
            size += grown
        notes.append(ledger.checkpoint(KEY, ORIGIN, NOW))
    if pending:
        record(database, size, pending)
    return notes


def build_victim(database: Database) -> str:
    """Fill a database for attacks: checkpoints at `SIZES`, `BEYOND` more entries, two waiting events.

    Return the last checkpoint, which the attacker cannot reach.
    """
    note = build_history(database, *SIZES)[-1]
    record(database, COVERED, BEYOND)
    Ledger(database).sequence()
    record(database, COVERED + BEYOND, 2)
    return note
