"""Keeping what the custodians' journals say: taken in segments, each with its audit event, in one transaction.

A journal is read on from the place that the database knows; only what is committed here may be released there.
Taking the same lines twice changes nothing. A journal that does not go on where it should is an alarm: the break is
recorded once, its lines are kept as a new chain, and the gap stays open until an officer has looked into it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from pki.audit import AuditAction, AuditEvent
from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound
from pki.journal import JournalEntry, line_hash, parse_line
from storage.engine import Database
from storage.key_use_events import JournalPlace, KeyTotal, SegmentTally, add_use, gap_facts
from storage.key_use_tables import key_journal_gaps, key_use_segments, key_use_totals, key_uses
from storage.ledger_tables import audit_events
from storage.unit_of_work import UnitOfWork, take_turn

ACTOR: Final = "mohr"  # nobody asks for this
MAX_REASON_CHARACTERS: Final = 500

_segments, _gaps, _totals = key_use_segments.c, key_journal_gaps.c, key_use_totals.c


class JournalLine(NamedTuple):
    """A line as it came, and what it says."""

    line: bytes
    hash: bytes
    entry: JournalEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalGap:
    """A journal that went on elsewhere than it should; `id` is the audit event's, `at` when it was found."""

    id: str
    custodian: str
    at: datetime
    expected: JournalPlace
    found: JournalPlace


def continuing(place: JournalPlace, lines: Sequence[bytes]) -> list[JournalLine]:
    """Return the lines that go on from `place`, up to the first that does not."""
    sequence, previous = place.sequence, place.hash
    found: list[JournalLine] = []
    for line in lines:
        try:
            entry = parse_line(line)
        except InvalidInput:
            break
        if (entry.sequence, entry.previous) != (sequence + 1, previous):
            break
        sequence, previous = entry.sequence, line_hash(line)
        found.append(JournalLine(line, previous, entry))
    return found


class KeyUses:
    """The key uses of one database; safe to share between threads and programs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def place(self, custodian: str) -> JournalPlace:
        """Return where the journal of `custodian` is to be read on."""
        with self._database.read() as connection:
            return _place(connection, custodian)

    def take(self, custodian: str, known: JournalPlace, lines: Sequence[JournalLine], now: datetime) -> JournalPlace:
        """Keep lines that go on from `known` (see `continuing`), and return where to read on.

        Nothing is kept when the database is no longer at `known`: another program was faster.
        """
        with self._database.begin() as unit:
            place = _own_turn(unit.connection, custodian)
            return _keep(unit, custodian, place, lines, now) if place == known and lines else place

    def begin_chain(
        self, custodian: str, known: JournalPlace, found: tuple[int, bytes], lines: Sequence[bytes], now: datetime
    ) -> JournalPlace:
        """Record that the journal does not go on from `known` but from `found`, and keep its `lines` from there.

        `found` is the sequence and the hash of the last entry before `lines`. Return where to read on; nothing is
        kept when the database is no longer at `known`.
        """
        with self._database.begin() as unit:
            place = _own_turn(unit.connection, custodian)
            if place != known:
                return place
            begin = JournalPlace(place.chain + 1, *found)
            _record_gap(unit, custodian, place, begin, now)
            taken = continuing(begin, lines)
            return _keep(unit, custodian, begin, taken, now) if taken else begin

    def kept_hashes(self, custodian: str, chain: int, first: int, last: int) -> dict[int, bytes]:
        """Return the hashes of the kept lines of a chain, by sequence."""
        query = select(key_uses.c.sequence, key_uses.c.line_hash).where(
            key_uses.c.custodian == custodian, key_uses.c.chain == chain, key_uses.c.sequence.between(first, last)
        )
        with self._database.read() as connection:
            return {row.sequence: row.line_hash for row in connection.execute(query)}

    def open_gaps(self) -> tuple[JournalGap, ...]:
        """List the gaps that nobody has looked into, oldest first."""
        with self._database.read() as connection:
            query = _GAP_QUERY.where(_gaps.acknowledgement.is_(None)).order_by(audit_events.c.at, _gaps.event_id)
            return tuple(_gap(row) for row in connection.execute(query))

    def acknowledge(
        self,
        gap_id: str,
        officer: str,
        reason: str,
        now: datetime,
        leave: Callable[[UnitOfWork], None] = lambda _unit: None,
    ) -> None:
        """Record that `officer` looked into a gap, and what was found; NotFound, Conflict when it is closed already.

        `leave` is asked in the transaction and refuses by raising.
        """
        if not reason.strip() or len(reason) > MAX_REASON_CHARACTERS or not reason.isprintable():
            detail = f"a reason has 1 to {MAX_REASON_CHARACTERS} printable characters"
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail)
        with self._database.begin() as unit:
            take_turn(unit.connection, key_use_segments)
            query = select(_gaps.acknowledgement).where(_gaps.event_id == gap_id)
            row = unit.connection.execute(query).one_or_none()
            if row is None:
                raise NotFound(ErrorCode.NOT_FOUND, "no such gap")
            if row.acknowledgement is not None:
                raise Conflict(ErrorCode.CONFLICT, "the gap is acknowledged already")
            leave(unit)
            event = AuditEvent(
                action=AuditAction.KEY_GAP_ACKNOWLEDGED, at=now, actor=officer, subject=gap_id, facts={"reason": reason}
            )
            values = {"acknowledgement": unit.audit.enter(event)}
            unit.connection.execute(update(key_journal_gaps).where(_gaps.event_id == gap_id).values(values))

    def totals(self) -> Mapping[str, KeyTotal]:
        """Return what was signed with each key, as far as it was taken."""
        with self._database.read() as connection:
            rows = connection.execute(select(key_use_totals))
            return {row.key: KeyTotal(count=row.uses, last_use=row.last_use) for row in rows}


_GAP_QUERY: Final = select(
    _gaps.event_id,
    _gaps.custodian,
    _gaps.chain,
    _gaps.expected_sequence,
    _gaps.expected_hash,
    _gaps.found_sequence,
    _gaps.found_hash,
    audit_events.c.at,
).join(audit_events, audit_events.c.id == _gaps.event_id)


def _gap(row: Any) -> JournalGap:
    return JournalGap(
        id=row.event_id,
        custodian=row.custodian,
        at=row.at,
        expected=JournalPlace(row.chain - 1, row.expected_sequence, row.expected_hash),
        found=JournalPlace(row.chain, row.found_sequence, row.found_hash),
    )


def _own_turn(connection: Connection, custodian: str) -> JournalPlace:
    take_turn(connection, key_use_segments)
    return _place(connection, custodian)


def _place(connection: Connection, custodian: str) -> JournalPlace:
    segment = connection.execute(
        select(_segments.chain, _segments.last, _segments.head)
        .where(_segments.custodian == custodian)
        .order_by(_segments.chain.desc(), _segments.first.desc())
        .limit(1)
    ).first()
    gap = connection.execute(
        select(_gaps.chain, _gaps.found_sequence, _gaps.found_hash)
        .where(_gaps.custodian == custodian)
        .order_by(_gaps.chain.desc())
        .limit(1)
    ).first()
    latest = segment if gap is None or (segment is not None and segment.chain >= gap.chain) else gap
    return JournalPlace() if latest is None else JournalPlace(*latest)


def _keep(
    unit: UnitOfWork, custodian: str, place: JournalPlace, lines: Sequence[JournalLine], now: datetime
) -> JournalPlace:
    entries = [line.entry for line in lines]
    end = JournalPlace(place.chain, entries[-1].sequence, lines[-1].hash)
    tally = SegmentTally()
    for entry in entries:
        tally.add(entry)
    event = AuditEvent(action=AuditAction.KEYS_USED, at=now, actor=ACTOR, subject=custodian, facts=tally.facts(end))
    _insert_segment(unit.connection, custodian, end.chain, lines, unit.audit.enter(event))
    return end


def _insert_segment(
    connection: Connection, custodian: str, chain: int, lines: Sequence[JournalLine], event_id: str
) -> None:
    rows = [
        {
            "custodian": custodian,
            "chain": chain,
            "sequence": line.entry.sequence,
            "line": line.line,
            "line_hash": line.hash,
        }
        for line in lines
    ]
    connection.execute(insert(key_uses), rows)
    connection.execute(
        insert(key_use_segments).values(
            custodian=custodian,
            chain=chain,
            first=lines[0].entry.sequence,
            last=lines[-1].entry.sequence,
            head=lines[-1].hash,
            event_id=event_id,
        )
    )
    _add_totals(connection, [line.entry for line in lines])


def _add_totals(connection: Connection, entries: Sequence[JournalEntry]) -> None:
    used = {entry.use.key for entry in entries}
    rows = connection.execute(select(key_use_totals).where(_totals.key.in_(used)))
    totals = {row.key: KeyTotal(count=row.uses, last_use=row.last_use) for row in rows}
    known = dict(totals)
    for entry in entries:
        add_use(totals, entry.use)
    for key, total in totals.items():
        values = {"uses": total.count, "last_use": total.last_use}
        if key not in known:
            connection.execute(insert(key_use_totals).values(key=key, **values))
        elif total != known[key]:
            connection.execute(update(key_use_totals).where(_totals.key == key).values(values))


def _record_gap(unit: UnitOfWork, custodian: str, expected: JournalPlace, found: JournalPlace, now: datetime) -> None:
    event = AuditEvent(
        action=AuditAction.KEY_JOURNAL_GAP,
        at=now,
        actor=ACTOR,
        subject=custodian,
        facts=gap_facts(expected, found),
    )
    unit.connection.execute(
        insert(key_journal_gaps).values(
            custodian=custodian,
            chain=found.chain,
            expected_sequence=expected.sequence,
            expected_hash=expected.hash,
            found_sequence=found.sequence,
            found_hash=found.hash,
            event_id=unit.audit.enter(event),
        )
    )


def keep_again(
    connection: Connection, event_id: str, custodian: str, facts: Mapping[str, Any], lines: Sequence[bytes]
) -> bool:
    """Keep lines that were taken before, under the audit event that tells of them; False where they are not those.

    For a database that lost them and has the event again.
    """
    chain, first, last, head = (facts[name] for name in ("chain", "first", "last", "head"))
    if not lines:
        return False
    before = parse_line(lines[0])
    if before.sequence != first:
        return False
    taken = continuing(JournalPlace(chain, first - 1, before.previous), lines)
    if len(taken) != len(lines) or taken[-1].entry.sequence != last or taken[-1].hash.hex() != head:
        return False
    there = select(_segments.event_id).where(_segments.event_id == event_id)
    if connection.execute(there).first() is None:
        _insert_segment(connection, custodian, chain, taken, event_id)
    return True


def keep_gap_again(connection: Connection, event_id: str, custodian: str, facts: Mapping[str, Any]) -> None:
    """Keep a gap that was recorded before, under the audit event that tells of it."""
    if connection.execute(select(_gaps.event_id).where(_gaps.event_id == event_id)).first() is None:
        values = {
            "custodian": custodian,
            "chain": facts["chain"],
            "expected_sequence": facts["expected_sequence"],
            "expected_hash": bytes.fromhex(facts["expected_hash"]),
            "found_sequence": facts["found_sequence"],
            "found_hash": bytes.fromhex(facts["found_hash"]),
            "event_id": event_id,
        }
        connection.execute(insert(key_journal_gaps).values(values))


def acknowledge_again(connection: Connection, gap_id: str, event_id: str) -> None:
    """Close a gap by the audit event that closed it before."""
    open_gap = (_gaps.event_id == gap_id, _gaps.acknowledgement.is_(None))
    connection.execute(update(key_journal_gaps).where(*open_gap).values(acknowledgement=event_id))
