"""Moving the custodians' journals of key uses into the database, a page at a time.

A page is committed before its custodian may let go of it: killed in between, the next sweep finds the journal where
the database is, and tells the custodian again. A journal that does not go on where it should is recorded as a gap.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from hsm.client import JournalPart
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, ServiceError, Unavailable, VerificationFailed
from pki.journal import DONE, line_hash, parse_line
from storage.key_use_events import JournalPlace, KeyTotal, add_use
from storage.key_uses import JournalLine, KeyUses, continuing

PAGE_LINES: Final = 1000
MAX_PAGES: Final = 20  # of one custodian in one sweep: the other sweeps have their turn
NOTE_REST: Final = timedelta(minutes=5)
NOTE: Final = "note"


@runtime_checkable
class JournalSource(Protocol):
    """Whoever reaches the custodians; they are counted from 0."""

    @property
    def custodians(self) -> int:
        """How many there are."""
        ...

    def journal(self, index: int, after: int, limit: int) -> JournalPart:
        """Return at most `limit` lines that follow entry `after`, or the oldest that are kept; HsmUnavailable."""
        ...

    def release_journal(self, index: int, through: int) -> None:
        """Allow the custodian to forget the entries up to `through`; HsmUnavailable."""
        ...


def custodian_name(index: int) -> str:
    """Name a custodian as the ledger knows it."""
    return f"custodian-{index}"


class JournalTaker:
    """Takes every custodian's journal; owned by one thread. Several programs may do so at once.

    `name` says how the ledger knows a custodian: another device than the service's has names of its own.
    """

    def __init__(
        self, uses: KeyUses, source: JournalSource, clock: Clock, *, name: Callable[[int], str] = custodian_name
    ) -> None:
        self._uses, self._source, self._clock, self._name = uses, source, clock, name
        self._released: dict[int, JournalPlace] = {}

    def sweep(self) -> None:
        """Take what is there. A custodian that is away holds no other back; its failure is raised last."""
        failures: list[ServiceError] = []
        for index in range(self._source.custodians):
            try:
                self._take(index)
            except ServiceError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _take(self, index: int) -> None:
        custodian = self._name(index)
        place = self._uses.place(custodian)
        for _ in range(MAX_PAGES):
            page = self._source.journal(index, place.sequence, PAGE_LINES)
            now = self._clock.now()
            lines = continuing(place, page.lines)
            if lines and not _may_rest(lines, now):
                place = self._uses.take(custodian, place, lines, now)
            elif lines or (not page.lines and (page.sequence, page.hash) == (place.sequence, place.hash)):
                self._release(index, place)
                return
            else:
                found, new_lines = self._where_it_goes_on(index, place, page)
                place = self._uses.begin_chain(custodian, place, found, new_lines, now)
            self._release(index, place)

    def _release(self, index: int, place: JournalPlace) -> None:
        """Let the custodian forget what is in the database; told once, and once more by each new program."""
        if self._released.get(index) != place:
            self._source.release_journal(index, place.sequence)
            self._released[index] = place

    def _where_it_goes_on(
        self, index: int, place: JournalPlace, page: JournalPart
    ) -> tuple[tuple[int, bytes], Sequence[bytes]]:
        """Find where a journal that does not continue `place` goes on, and the lines from there.

        Lines after the next place mean that some were lost; else the journal forked or began anew, and is read from
        its start.
        """
        lines = _readable(page.lines)
        if lines and parse_line(lines[0]).sequence > place.sequence + 1:
            return _before(lines[0]), lines
        after = -1
        while (page := self._source.journal(index, max(after, 0), PAGE_LINES)).lines:
            lines = _readable(page.lines)
            new = self._not_kept(index, place, lines)
            if new:
                return _before(new[0]), new
            last = parse_line(lines[-1]).sequence
            if last <= after:
                break
            after = last
        return (page.sequence, page.hash), ()

    def _not_kept(self, index: int, place: JournalPlace, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Leave out the lines at the start that were kept before the journal forked."""
        begin = parse_line(lines[0]).sequence
        kept = self._uses.kept_hashes(self._name(index), place.chain, begin, begin + len(lines))
        known = 0
        while known < len(lines) and kept.get(begin + known) == line_hash(lines[known]):
            known += 1
        return _readable(lines[known:])


def waiting_totals(uses: KeyUses, source: JournalSource) -> tuple[dict[str, KeyTotal], int]:
    """Return what was signed with each key, taken or still with the custodians, and how many of these do not answer."""
    totals, silent = dict(uses.totals()), 0
    for index in range(source.custodians):
        place = uses.place(custodian_name(index))
        try:
            while lines := continuing(place, source.journal(index, place.sequence, PAGE_LINES).lines):
                for line in lines:
                    add_use(totals, line.entry.use)
                place = JournalPlace(place.chain, lines[-1].entry.sequence, lines[-1].hash)
        except Unavailable:
            silent += 1
    return totals, silent


def _readable(lines: Sequence[bytes]) -> Sequence[bytes]:
    """Return the lines from the first that can be read; VerificationFailed when there are some and none can."""
    for place, line in enumerate(lines):
        try:
            parse_line(line)
        except InvalidInput:
            continue
        return lines[place:]
    if lines:
        raise VerificationFailed(ErrorCode.HSM_JOURNAL_GAP, "no line of the journal can be read")
    return ()


def _before(line: bytes) -> tuple[int, bytes]:
    """Return the sequence and hash of the entry that `line` follows."""
    entry = parse_line(line)
    return entry.sequence - 1, entry.previous


def _may_rest(lines: Sequence[JournalLine], now: datetime) -> bool:
    """Tell whether nothing but fresh checkpoints were signed: to record these at once would call for the next one."""
    if any(line.entry.use.act != NOTE or line.entry.use.outcome != DONE for line in lines):
        return False
    return timedelta() <= now - lines[0].entry.use.at < NOTE_REST
