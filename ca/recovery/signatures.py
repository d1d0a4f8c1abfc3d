"""Signatures that custodians gave and no row explains: certificates known by the digest of their content alone."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, select

from ca.recovery.rows import Finding
from ca.tables import certificates
from pki.journal import DONE, KeyUse, parse_line
from storage.key_use_tables import key_use_segments, key_uses
from storage.ledger_tables import audit_events

CERTIFICATE: Final = "certificate"  # the custodians' word for the act of signing one
KIND: Final = "signed-unknown"
_ROUND: Final = 500
_APART: Final = timedelta(minutes=10)  # at most, between an intent and its signature
_c = certificates.c


def unexplained(connection: Connection, begun_at: datetime) -> list[Finding]:
    """Return what was signed, as custodians told after a database was put back, and is no row's certificate."""
    uses = [use for use in _told_since(connection, begun_at) if use.act == CERTIFICATE and use.outcome == DONE]
    if not uses:
        return []
    known = _single(connection, [use.digest for use in uses if use.count == 1])
    known |= _together(connection, min(use.at for use in uses) - _APART)
    return [
        Finding(KIND, use.digest.hex(), f"{use.count} by {use.key} at {use.at.isoformat()}")
        for use in uses
        if use.digest not in known
    ]


def _told_since(connection: Connection, begun_at: datetime) -> Iterator[KeyUse]:
    s, k = key_use_segments.c, key_uses.c
    query = (
        select(k.line)
        .join(key_use_segments, (s.custodian == k.custodian) & (s.chain == k.chain))
        .join(audit_events, audit_events.c.id == s.event_id)
        .where(audit_events.c.at >= begun_at, k.sequence.between(s.first, s.last))
        .order_by(k.custodian, k.chain, k.sequence)
    )
    for line in connection.execute(query).scalars():
        yield parse_line(bytes(line)).use


def _single(connection: Connection, digests: Iterable[bytes]) -> set[bytes]:
    wanted, found = list(digests), set[bytes]()
    for start in range(0, len(wanted), _ROUND):
        there = select(_c.tbs_sha256).where(_c.tbs_sha256.in_(wanted[start : start + _ROUND]))
        found.update(bytes(digest) for digest in connection.execute(there).scalars())
    return found


def _together(connection: Connection, since: datetime) -> set[bytes]:
    """Return what the journal says of groups: the digest of their certificates' digests, in the order of signing."""
    groups: dict[str, list[bytes]] = {}
    query = (
        select(_c.sign_group, _c.tbs_sha256)
        .where(_c.sign_group.is_not(None), _c.intended_at >= since)
        .order_by(_c.sign_group, _c.sign_position)
    )
    for group, digest in connection.execute(query):
        groups.setdefault(group, []).append(bytes(digest))
    return {sha256(b"".join(digests)).digest() for digests in groups.values()}
