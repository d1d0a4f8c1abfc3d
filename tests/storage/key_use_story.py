"""A history of key uses: segments of two custodians, a gap that was looked into, all of it under a checkpoint."""

from __future__ import annotations

from datetime import timedelta

from pki.journal import START
from storage.engine import Database
from storage.key_use_events import JournalPlace
from storage.key_uses import KeyUses, continuing
from storage.ledger import Ledger
from tests.storage.story import KEY, NOW, ORIGIN, record
from tests.support.journals import MemoryJournal, key_use

FIRST, SECOND = "custodian-0", "custodian-1"


def take(database: Database, custodian: str, journal: MemoryJournal) -> JournalPlace:
    """Take what the journal holds beyond the known place."""
    uses = KeyUses(database)
    place = uses.place(custodian)
    lines = continuing(place, journal.read(place.sequence, 1000).lines)
    return uses.take(custodian, place, lines, NOW)


def break_chain(database: Database, custodian: str, journal: MemoryJournal) -> str:
    """Find that a journal began anew; return the gap's id."""
    uses = KeyUses(database)
    uses.begin_chain(custodian, uses.place(custodian), (0, START), journal.read(0, 1000).lines, NOW)
    return uses.open_gaps()[-1].id


def build_uses(database: Database) -> str:
    """Fill a database with key uses; return the checkpoint that covers their events."""
    record(database, 0, 2)
    journals = {FIRST: MemoryJournal(), SECOND: MemoryJournal()}
    for custodian, journal in journals.items():
        for size in (3, 1, 4):
            journal.write_many(size, key=f"key-of-{custodian}")
            journal.write(key_use(99, act="ocsp", outcome="hsm-purpose-refused"), key_use(100, "token", "token", 20))
            take(database, custodian, journal)
    anew = MemoryJournal()
    anew.write_many(2)
    gap = break_chain(database, FIRST, anew)
    anew.write_many(3)
    take(database, FIRST, anew)
    KeyUses(database).acknowledge(gap, "officer-1", "the disk was replaced", NOW + timedelta(minutes=1))
    Ledger(database).sequence()
    return Ledger(database).checkpoint(KEY, ORIGIN, NOW)
