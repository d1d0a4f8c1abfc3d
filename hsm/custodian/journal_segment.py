"""One file of a custodian's journal: a header and the lines after it.

The header carries what must survive when the files before this one are released: where the chain stands, how
often each key was used, when the last entry was made. So the newest file alone says everything that a
custodian needs at its start. A header is written before its file has its name; lines are appended.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hsm.errors import HsmUnavailable
from hsm.private_files import write_private
from pki.errors import InvalidInput, VerificationFailed
from pki.jose import canonical_json, json_object
from pki.journal import CLOCK, DONE, MAX_LINE_OCTETS, KeyUse, instant_text, line_hash, next_entry, parse_line

SUFFIX: Final = ".journal"
_DIGITS: Final = 16
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class KeyUseCount:
    """How many messages a key has signed, and when the last."""

    count: int
    last_at: datetime


@dataclass(slots=True, kw_only=True)
class Standing:
    """Where a chain stands: its last entry's sequence and hash, and what all entries so far come to.

    It is moved on in place, since that is done for every few signatures.
    """

    sequence: int
    hash: bytes
    uses: dict[str, KeyUseCount]
    last_at: datetime | None

    def advance(self, sequence: int, last_hash: bytes, entries: Iterable[KeyUse]) -> None:
        """Go on to the entry of this sequence and hash, over `entries`."""
        self.sequence, self.hash = sequence, last_hash
        for use in entries:
            accepted = use.act == CLOCK and use.outcome == DONE  # what was later is known to be wrong
            if self.last_at is None or use.at > self.last_at or accepted:
                self.last_at = use.at
            if use.outcome == DONE and use.key:
                before = self.uses.get(use.key)
                self.uses[use.key] = KeyUseCount(use.count + (before.count if before else 0), use.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRead:
    """A file as it was found: where the chain stands after its last sound line, which ends at octet `end`.

    `damaged` when there is more than what a broken-off write leaves behind.
    """

    standing: Standing
    end: int
    damaged: bool


def segments(folder: Path) -> list[Path]:
    """List the files of a journal, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit() and len(path.stem) == _DIGITS)


def first_sequence(path: Path) -> int:
    """Tell from its name which entry a file begins with."""
    return int(path.stem)


def begin_segment(folder: Path, standing: Standing) -> tuple[Path, int]:
    """Make the file that goes on from `standing`, durably; return it and its size. HsmUnavailable."""
    path = folder / f"{standing.sequence + 1:0{_DIGITS}}{SUFFIX}"
    header = {
        "first": standing.sequence + 1,
        "last_at": standing.last_at and instant_text(standing.last_at),
        "previous": standing.hash.hex(),
        "uses": {label: [use.count, instant_text(use.last_at)] for label, use in standing.uses.items()},
        "version": _VERSION,
    }
    data = canonical_json(header) + b"\n"
    write_private(path, data)
    return path, len(data)


def read_segment(path: Path) -> SegmentRead | None:
    """Read the file that is appended to; None when not even its header can be read. HsmUnavailable."""
    data = _octets(path)
    header, feed, body = data.partition(b"\n")
    standing = _header(header, path) if feed else None
    if standing is None:
        return None
    sequence, previous, end = standing.sequence, standing.hash, len(header) + 1
    uses: list[KeyUse] = []
    *whole, rest = body.split(b"\n")
    for index, line in enumerate(whole):
        try:
            entry = next_entry(line, sequence, previous)
        except VerificationFailed:
            damaged = not _broken_off(whole[index:])
            break
        sequence, previous, end = entry.sequence, line_hash(line), end + len(line) + 1
        uses.append(entry.use)
    else:
        damaged = len(rest.rstrip(b"\0")) > MAX_LINE_OCTETS
    standing.advance(sequence, previous, uses)
    return SegmentRead(standing=standing, end=end, damaged=damaged)


def segment_lines(path: Path) -> list[bytes]:
    """Return the lines of a file without judging them. HsmUnavailable."""
    return _octets(path).split(b"\n")[1:-1]


def _broken_off(lines: list[bytes]) -> bool:
    """Tell whether lines that do not follow can be what a power loss left of one write: pages of zeros."""
    return b"\0" in lines[0] and not any(_readable(line) for line in lines)


def _readable(line: bytes) -> bool:
    try:
        parse_line(line)
    except InvalidInput:
        return False
    return True


def _header(line: bytes, path: Path) -> Standing | None:
    try:
        raw: dict[str, Any] = json_object(line)
        if raw["version"] != _VERSION or raw["first"] != first_sequence(path):
            return None
        last_at = raw["last_at"]
        previous = bytes.fromhex(raw["previous"])
        if len(previous) != 32:
            return None
        return Standing(
            sequence=raw["first"] - 1,
            hash=previous,
            uses={label: KeyUseCount(int(count), _instant(at)) for label, (count, at) in raw["uses"].items()},
            last_at=None if last_at is None else _instant(last_at),
        )
    except (InvalidInput, KeyError, TypeError, ValueError, AttributeError):
        return None


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HsmUnavailable(f"the journal cannot be read: {error.strerror}") from error
