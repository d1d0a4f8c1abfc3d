"""What the audit events of key uses say: one for each segment of a journal that was taken, one for each gap.

Made from journal entries alone, so that an auditor can make them again and compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pki.journal import ADMINISTRATION, DONE, START, JournalEntry, KeyUse

MAX_LISTED_KEYS: Final = 300  # of 64 octets at most, all of them escaped: what the facts of an event can hold

Facts = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """A place in a custodian's journal: after the entry `sequence`, whose line has `hash`, of the `chain`.

    Chains are counted here, not by the custodian: each break of its journal begins the next.
    """

    chain: int = 1
    sequence: int = 0
    hash: bytes = START


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTotal:
    """What was signed with a key: how many messages, and when last."""

    count: int
    last_use: datetime


def add_use(totals: dict[str, KeyTotal], use: KeyUse) -> None:
    """Count a use towards its key, unless it was refused or signed nothing."""
    if use.outcome != DONE or use.act in ADMINISTRATION or not use.key:
        return
    known = totals.get(use.key)
    if known is None:
        totals[use.key] = KeyTotal(count=use.count, last_use=use.at)
    else:
        totals[use.key] = KeyTotal(count=known.count + use.count, last_use=max(known.last_use, use.at))


class SegmentTally:
    """Entries that follow each other, summed up one by one."""

    def __init__(self) -> None:
        self.first: int | None = None
        self._totals: dict[str, KeyTotal] = {}
        self._administered = self._refused = 0

    def add(self, entry: JournalEntry) -> None:
        """Count the next entry."""
        self.first = entry.sequence if self.first is None else self.first
        add_use(self._totals, entry.use)
        if entry.use.outcome != DONE:
            self._refused += entry.use.count
        elif entry.use.act in ADMINISTRATION:
            self._administered += 1

    def facts(self, end: JournalPlace) -> Facts:
        """Tell of the entries that lead to `end`: where they lie, what was signed with which key, what else was done.

        `administered` keys were made, adopted or bound, or the clock was accepted; `refused` messages were not signed.
        """
        listed = sorted(self._totals)[:MAX_LISTED_KEYS]
        return {
            "chain": end.chain,
            "first": end.sequence if self.first is None else self.first,
            "last": end.sequence,
            "head": end.hash.hex(),
            "keys": " ".join(f"{key}={self._totals[key].count}" for key in listed),
            "more_keys": len(self._totals) - len(listed),
            "administered": self._administered,
            "refused": self._refused,
        }


def gap_facts(expected: JournalPlace, found: JournalPlace) -> Facts:
    """Tell of a journal that should go on after `expected` and goes on after `found`."""
    return {
        "chain": found.chain,
        "expected_sequence": expected.sequence,
        "expected_hash": expected.hash.hex(),
        "found_sequence": found.sequence,
        "found_hash": found.hash.hex(),
    }
