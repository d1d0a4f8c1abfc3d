"""Delta lists (RFC 5280 §5.2.4): what changed since a base, one entry for each certificate.

A base is kept for `delta_base_life`, and its deltas only grow: whoever has any list since then needs no other list.
Then the latest list becomes the base. Which certificates changed is told by three that need not agree: the feed of
changes, the delta before, and the register beside the published list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from ca.errors import CrlRegression
from ca.status.changes import listed_since
from ca.status.crl import encode_removal, read_crl, read_entry, split_entries
from ca.status.list_rows import ListedRow, ListHead, list_times, listed_rows
from pki.certificates import serial_hex

MOST_ENTRIES: Final = 1000  # a delta that has more of them is the last to its base: 53 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The list that a delta adds to, and where it stands in the feed."""

    number: int
    position: int


def choose_base(
    connection: Connection,
    place: tuple[str, int],
    last: ListHead,
    last_delta: ListHead | None,
    *,
    now: datetime,
    life: timedelta,
) -> Base | None:
    """Return the base of the next delta: that of the one before while it lives, else the latest list.

    None where the latest list has no place in the feed: it is of before there was one, or was told to a restored
    database. A list without a delta ends the deltas of before.
    """
    if last_delta is None or last_delta.number < last.number:
        last_delta = None
    if last_delta is not None and last_delta.base is not None and last_delta.entries <= MOST_ENTRIES:
        times = list_times(connection, *place, last_delta.base)
        if times is not None and times[1] is not None and timedelta() <= now - times[0] < life:
            return Base(number=last_delta.base, position=times[1])
    return None if last.position is None else Base(number=last.number, position=last.position)


def delta_entries(
    connection: Connection,
    place: tuple[str, int],
    base: Base,
    last_delta: ListHead | None,
    differing: Iterable[bytes],
) -> tuple[bytes, ...]:
    """Encode what changed since the base: an entry as the lists have it, or removeFromCRL for a hold that was lifted.

    CrlRegression where a certificate is no longer listed and nothing on record says why.
    """
    before: dict[str, bytes] = {}
    if last_delta is not None and last_delta.base == base.number:
        before = {_named(octets): told for octets, told in split_entries(read_crl(last_delta.frame).entries).items()}
    changed = {_named(octets) for octets in differing}
    changed.update(before, listed_since(connection, *place, base.position))
    rows = listed_rows(connection, place[0], sorted(changed))
    entries = []
    for serial in sorted(changed - rows.keys()):
        raise CrlRegression(f"the delta would lose certificate {serial}")
    for serial, row in rows.items():
        if row.entry is not None:
            entries.append(row.entry)
        elif row.released_at is not None and _may_go(row, row.released_at, before.get(serial)):
            entries.append(encode_removal(int(serial, 16), row.released_at))
        else:
            raise CrlRegression(f"the delta would lose certificate {serial}")
    return tuple(entries)


def _named(serial: bytes) -> str:
    return serial_hex(int.from_bytes(serial, "big"))


def _may_go(row: ListedRow, released_at: datetime, told: bytes | None) -> bool:
    """Whether a certificate that has no entry is in force on record, and what the delta before told was its hold."""
    if row.listed or told is None:
        return not row.listed
    entry = read_entry(told)
    return entry.is_removal or (entry.on_hold and released_at >= entry.since)
