"""A custodian's journal of key uses: one line an entry, each holding the hash of the line before.

A line is canonical JSON (sorted members, no white space, UTF-8) without its line feed, so that it has one
spelling and its hash is the hash of its octets. Sequence numbers rise by one; the first entry of a chain
holds 32 zero octets in place of a hash. Whoever reads on from `(sequence, hash)` sees anything that was
edited, removed or put in between; what was cut off at the end shows against the custodian's own head.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.jose import json_object

START: Final = bytes(32)
DONE: Final = "done"
CLOCK: Final = "clock"  # an operator accepted the clock as it was then, though entries before are of a later time
ADMINISTRATION: Final = frozenset(("adopt", "bind", CLOCK, "generate"))  # acts that sign nothing for anyone
MAX_LINE_OCTETS: Final = 1024
MAX_KEY_OCTETS: Final = 64
MAX_NUMBER: Final = 2**53 - 1  # what every JSON reader keeps exactly

_MEMBERS: Final = frozenset(
    ("act", "at", "count", "digest", "key", "outcome", "previous", "role", "sequence", "uid"),
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}", re.ASCII)
_KEY: Final = re.compile(rf"[\x21-\x7e]{{0,{MAX_KEY_OCTETS}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """One use of a key, or a refusal of one.

    `at` is aware UTC; `key` its label, empty where none was named; `digest` the SHA-256 of the message, of the
    messages' SHA-256s one after the other when `count` is more than one; `outcome` is `DONE` or an error code. A key
    counts as used when its device is asked to sign: when nothing came of it, a second entry says why.
    """

    at: datetime
    role: str
    uid: int
    key: str
    act: str
    count: int
    digest: bytes
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One line, read; `previous` is the hash of the line before it."""

    sequence: int
    previous: bytes
    use: KeyUse


def is_name(text: str) -> bool:
    """Tell whether `text` can be a role, an act or an outcome in a journal."""
    return _NAME.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Tell whether `text` can stand for a key in a journal: printable ASCII without spaces, or nothing."""
    return _KEY.fullmatch(text) is not None


@lru_cache(maxsize=4)  # entries that are made together are of one instant
def instant_text(at: datetime) -> str:
    """Write an aware instant as a journal does: `2026-11-22T09:00:00.000000Z`, microseconds always there."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:-6] + "Z"


def journal_line(sequence: int, previous: bytes, use: KeyUse) -> bytes:
    """Write one entry, without a line feed. The names are not checked: `parse_line` does that."""
    key = encode_basestring(use.key)
    return (
        f'{{"act":"{use.act}","at":"{instant_text(use.at)}","count":{use.count},"digest":"{use.digest.hex()}",'
        f'"key":{key},"outcome":"{use.outcome}","previous":"{previous.hex()}","role":"{use.role}",'
        f'"sequence":{sequence},"uid":{use.uid}}}'
    ).encode()


def line_hash(line: bytes) -> bytes:
    """Return the hash that the next line holds as its `previous`."""
    return sha256(line).digest()


def parse_line(line: bytes) -> JournalEntry:
    """Read one line that is spelled exactly as `journal_line` writes it; InvalidInput for anything else."""
    if len(line) > MAX_LINE_OCTETS:
        raise _malformed("a line of a journal is too long")
    members = json_object(line)
    if members.keys() != _MEMBERS:
        raise _malformed("not the members of a journal's entry")
    try:
        entry = JournalEntry(
            sequence=_number(members["sequence"], 1),
            previous=_hash(members["previous"]),
            use=_use(members),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise _malformed("a member of a journal's entry is malformed") from error
    if journal_line(entry.sequence, entry.previous, entry.use) != line:
        raise _malformed("a journal's entry is not in its canonical form")
    return entry


def next_entry(line: bytes, sequence: int, previous: bytes) -> JournalEntry:
    """Read the line that must follow the one of this sequence and hash; VerificationFailed (`hsm-journal-gap`)."""
    try:
        entry = parse_line(line)
    except InvalidInput as error:
        raise _gap(sequence, f"is followed by no entry: {error.detail}") from error
    if entry.sequence != sequence + 1:
        raise _gap(sequence, f"is followed by entry {entry.sequence}")
    if entry.previous != previous:
        raise _gap(sequence, "is not what the next one holds the hash of")
    return entry


def check_continues(lines: Iterable[bytes], sequence: int, previous: bytes) -> tuple[int, bytes]:
    """Return the sequence and hash that `lines` lead to from those of the line before them.

    VerificationFailed (`hsm-journal-gap`) at the first line that does not follow. After an alarm a reader may
    begin again at any line: its own `sequence - 1` and `previous` are where it continues from.
    """
    for line in lines:
        sequence, previous = next_entry(line, sequence, previous).sequence, line_hash(line)
    return sequence, previous


def _use(members: dict[str, Any]) -> KeyUse:
    if not all(is_name(members[name]) for name in ("act", "outcome", "role")) or not is_key(members["key"]):
        raise ValueError("not a name")
    at = datetime.fromisoformat(members["at"])
    if at.tzinfo is None:
        raise ValueError("time without zone")
    return KeyUse(
        at=at.astimezone(UTC),
        role=members["role"],
        uid=_number(members["uid"], 0),
        key=members["key"],
        act=members["act"],
        count=_number(members["count"], 1),
        digest=_hash(members["digest"]),
        outcome=members["outcome"],
    )


def _number(value: object, least: int) -> int:
    if type(value) is not int or not least <= value <= MAX_NUMBER:
        raise ValueError("not a number")
    return value


def _hash(value: str) -> bytes:
    octets = bytes.fromhex(value)
    if len(octets) != 32:
        raise ValueError("not a SHA-256")
    return octets


def _malformed(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, detail)


def _gap(sequence: int, what: str) -> VerificationFailed:
    return VerificationFailed(ErrorCode.HSM_JOURNAL_GAP, f"entry {sequence} {what}")
