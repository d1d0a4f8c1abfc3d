"""Pre-signed OCSP answers, found by the octets of a request without database, device or parsing.

An answer is kept with the version of the status that it tells. Whoever changes a status withdraws what is older than
the change; what is signed from rows that somebody read before it can then no longer be put in its place. So writers
need not know of each other: of two that disagree, the later version stays.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from ca.status.answer_file import WAIT_SECONDS, identity_of, make_file, open_file, set_aside
from ca.status.answer_place import Place
from ca.status.kept_answers import KeptAnswers, kept_answers
from ca.status.ocsp import REQUEST_HEADS, REQUEST_PREFIX, delegate_part, join_response
from pki.certificates import Certificate, serial_hex
from pki.errors import ErrorCode, Unavailable

_PLACE: Final = "SELECT value FROM facts WHERE name='place'"
_FILLED: Final = "SELECT value FROM facts WHERE name='filled'"
_FIND: Final = """
SELECT delegate, this_update, next_update, signed, checksum, (SELECT ended FROM delegates WHERE id=delegate)
FROM answers WHERE serial=? AND issuer=?
"""
_WITHDRAW: Final = """
INSERT INTO answers (serial, issuer, version) VALUES (?, ?, ?)
ON CONFLICT (serial, issuer) DO UPDATE SET
    version=excluded.version, delegate=NULL, this_update=NULL, next_update=NULL, signed=NULL, checksum=NULL
WHERE excluded.version > version
"""
_PUT: Final = """
INSERT INTO answers (serial, issuer, version, delegate, this_update, next_update, signed, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (serial, issuer) DO UPDATE SET
    version=excluded.version, delegate=excluded.delegate, this_update=excluded.this_update,
    next_update=excluded.next_update, signed=excluded.signed, checksum=excluded.checksum
WHERE excluded.version > version
    OR (excluded.version = version AND (signed IS NULL OR excluded.this_update >= this_update))
"""
_END_DELEGATE: Final = "UPDATE delegates SET version=?, ended=? WHERE serial=? AND version < ?"
_SET_EMPTY: Final = "UPDATE answers SET delegate=NULL, this_update=NULL, next_update=NULL, signed=NULL, checksum=NULL"
_Identity = tuple[int, int]
LOOK_SECONDS: Final = 0.1  # how long a file that was set aside may go on being read
WITHDRAW_SECONDS: Final = 1.0  # how long other writers may hold up a change before this process trusts no stored answer


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A whole OCSPResponse and the times that it names, in POSIX seconds."""

    der: bytes
    this_update: int
    next_update: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAnswer:
    """What a delegate signed about one certificate: the content of `SEQUENCE { tbs, algorithm, signature }`."""

    serial_hex: str
    version: int
    this_update: int
    next_update: int
    signed: bytes


@dataclass(frozen=True, slots=True)
class ChangedStatus:
    """A certificate whose status is of this version now, and whether it is told as good."""

    issuer: str
    serial_hex: str
    version: int
    good: bool


class _Reader:
    """One open file with what it holds once; one thread uses it at a time."""

    def __init__(self, path: Path, identity: _Identity) -> None:
        self.identity = identity
        self.connection = open_file(path)
        self.prefixes: dict[bytes, int] = {}
        self.delegates: dict[int, bytes] = {}

    def issuer(self, prefix: bytes) -> int | None:
        """Return the number of the issuer that a request names so; numbers are never used again."""
        found = self.prefixes.get(prefix)
        if found is None:
            row = self.connection.execute("SELECT id FROM issuers WHERE prefix=?", (prefix,)).fetchone()
            if row is None:
                return None
            found = self.prefixes[prefix] = int(row[0])
        return found

    def delegate(self, number: int) -> bytes:
        """Return the encoded certificate of a delegate; numbers are never used again."""
        found = self.delegates.get(number)
        if found is None:
            row = self.connection.execute("SELECT der FROM delegates WHERE id=?", (number,)).fetchone()
            if row is None:
                raise sqlite3.DatabaseError("the file is damaged: a delegate is missing")
            found = self.delegates[number] = delegate_part(row[0])
        return found


class AnswerStore:
    """The answers of one deployment on this machine; threads may share it, and other processes have the file too.

    `find` never raises: what cannot be read is not there. Everything else raises Unavailable (`file-unreadable`)
    when the file refuses, and puts an empty one in place of one that is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[_Reader] = []
        self._seen: tuple[float, _Identity | None] = (-LOOK_SECONDS, None)
        self._writing = threading.Lock()
        self._distrusted = False

    # -- reading -----------------------------------------------------------------------------------

    def find(self, request: bytes, now: float) -> StoredAnswer | None:
        """Return the answer to a plain request about one certificate, if one holds now (POSIX seconds)."""
        size = len(request) - REQUEST_PREFIX.stop - 2
        if self._distrusted or request[: REQUEST_PREFIX.start] != REQUEST_HEADS.get(size):
            return None
        if request[REQUEST_PREFIX.stop] != 2 or request[REQUEST_PREFIX.stop + 1] != size:
            return None
        try:
            with self._connected(self._seen_identity()) as reader:
                return self._answer(reader, request[REQUEST_PREFIX], request[REQUEST_PREFIX.stop + 2 :], int(now))
        except Unavailable:
            return None

    def _answer(self, reader: _Reader, prefix: bytes, serial: bytes, now: int) -> StoredAnswer | None:
        issuer = reader.issuer(prefix)
        row = None if issuer is None else reader.connection.execute(_FIND, (serial, issuer)).fetchone()
        if row is None or row[3] is None:
            return None
        if _checksum(serial, *row[:4]) != row[4]:
            reader.connection.execute(
                f"{_SET_EMPTY} WHERE serial=? AND issuer=? AND checksum=?", (serial, issuer, row[4])
            )
            return None
        if row[5] or not row[1] <= now < row[2]:
            return None
        return StoredAnswer(join_response(row[3], reader.delegate(row[0])), row[1], row[2])

    def _seen_identity(self) -> _Identity | None:
        now, seen = time.monotonic(), self._seen
        if now - seen[0] >= LOOK_SECONDS:
            seen = self._seen = now, identity_of(self.path)
        return seen[1]

    def _reader(self, identity: _Identity | None) -> _Reader:
        while self._idle:
            try:
                reader = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if reader.identity == identity:
                return reader
            reader.connection.close()
        if identity is None:
            raise FileNotFoundError(self.path)
        return _Reader(self.path, identity)

    def close(self) -> None:
        """Close what nobody uses now; the store can be used again."""
        while self._idle:
            self._idle.pop().connection.close()

    # -- trust -------------------------------------------------------------------------------------

    def distrust(self) -> None:
        """Answer nothing from here until somebody follows the feed again: a change could not be written."""
        self._distrusted = True

    def trust(self) -> None:
        """Answer again: what the feed tells is written."""
        self._distrusted = False

    # -- following ---------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether there is a file."""
        return identity_of(self.path) is not None

    def check(self) -> None:
        """Read the whole file, and put an empty one in its place if it is damaged."""
        with suppress(Unavailable), self._connected() as reader:
            if reader.connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")

    def place(self, *, make: bool = False) -> Place | None:
        """Return up to where the feed was followed; None in a new file, which is made when there is none."""
        if make and not self.exists():
            try:
                make_file(self.path)
            except (OSError, sqlite3.Error) as error:
                raise _unusable() from error
        with self._connected() as reader:
            row = reader.connection.execute(_PLACE).fetchone()
            return None if row is None else Place.read(str(row[0]))

    def begin(self, place: Place) -> None:
        """Forget every answer; follow from a place on, which is before any row is read."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM answers")
            connection.execute("DELETE FROM facts")
            _go_to(connection, place)

    def withdraw(self, changes: Sequence[ChangedStatus], place: Place | None = None) -> None:
        """Take away what is older than these changes; `place`: up to where the feed is followed with them.

        What an ended delegate signed is told no more. Unavailable when others write for longer than may be waited.
        """
        with self._transaction(WITHDRAW_SECONDS) as connection:
            numbers = _numbers(connection, {change.issuer for change in changes})
            rows = [(_octets(change.serial_hex), numbers[change.issuer], change.version) for change in changes]
            connection.executemany(_WITHDRAW, rows)
            connection.executemany(_END_DELEGATE, [(c.version, not c.good, c.serial_hex, c.version) for c in changes])
            if place is not None:
                _go_to(connection, place)

    # -- signing -----------------------------------------------------------------------------------

    def put(self, issuer: str, prefix: bytes, delegate: Certificate, answers: Sequence[SignedAnswer]) -> None:
        """Store answers of one issuer, whose requests begin by `prefix`; those of an older version are passed over."""
        with self._transaction() as connection:
            number = _numbers(connection, {issuer}, prefix)[issuer]
            signer = _delegate_number(connection, delegate)
            connection.executemany(_PUT, [_row(answer, number, signer) for answer in answers])

    def withdrawn(self, issuer: str, limit: int) -> list[str]:
        """List serial numbers that have no answer now."""
        return self._serials("signed IS NULL", "1", issuer, limit)

    def by_ended(self, issuer: str, limit: int) -> list[str]:
        """List serial numbers whose answer is by a delegate that is good no longer."""
        ended = "signed IS NOT NULL AND delegate IN (SELECT id FROM delegates WHERE ended)"
        return self._serials(ended, "delegate", issuer, limit)

    def ending(self, issuer: str, before: float, limit: int) -> list[str]:
        """List serial numbers whose answer ends before an instant (POSIX seconds), the first to end first."""
        return self._serials("signed IS NOT NULL AND next_update < ?", "next_update", issuer, limit, before)

    def _serials(self, condition: str, order: str, issuer: str, limit: int, *values: float) -> list[str]:
        statement = (
            f"SELECT serial FROM answers WHERE issuer=(SELECT id FROM issuers WHERE label=?) AND {condition}"  # noqa: S608 - our own words
            f" ORDER BY {order} LIMIT ?"
        )
        with self._connected() as reader:
            rows = reader.connection.execute(statement, (issuer, *values, limit)).fetchall()
        return [serial_hex(int.from_bytes(row[0], "big")) for row in rows]

    def ending_after(self, issuer: str, after: float, limit: int) -> list[str]:
        """List serial numbers whose answer ends after an instant (POSIX seconds), the first to end first."""
        return self._serials("signed IS NOT NULL AND next_update > ?", "next_update", issuer, limit, after)

    def clear(self, issuer: str, serials: Sequence[str]) -> None:
        """Drop the answers about certificates and keep which version of their status was told."""
        if not serials:
            return
        with self._transaction() as connection:
            number = _numbers(connection, {issuer})[issuer]
            rows = [(_octets(serial), number) for serial in serials]
            connection.executemany(f"{_SET_EMPTY} WHERE serial=? AND issuer=?", rows)

    def kept(self) -> tuple[KeptAnswers, ...]:
        """Say of each issuer how fresh what is stored is; Unavailable where there is no file."""
        with self._connected() as reader:
            return kept_answers(reader.connection)

    def forget(self, issuer: str, serials: Sequence[str]) -> None:
        """Drop what is kept of certificates that are answered for no longer."""
        with self._transaction() as connection:
            number = _numbers(connection, {issuer})[issuer]
            connection.executemany(
                "DELETE FROM answers WHERE serial=? AND issuer=?", [(_octets(serial), number) for serial in serials]
            )

    def filled(self) -> str | None:
        """Return up to which serial number all were signed once; None when that is done."""
        with self._connected() as reader:
            row = reader.connection.execute(_FILLED).fetchone()
        return "" if row is None else row[0]

    def fill(self, up_to: str | None) -> None:
        """Note how far the first signing of all has come; None when it is done."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('filled', ?)", (up_to,))

    # -- the file ----------------------------------------------------------------------------------

    @contextmanager
    def _connected(self, identity: _Identity | None = None) -> Iterator[_Reader]:
        """Use the file, which is the one just seen if that is said; one that turns out to be damaged is set aside."""
        identity = identity or identity_of(self.path)
        try:
            reader = self._reader(identity)
            try:
                yield reader
            except BaseException:
                reader.connection.close()
                raise
            self._idle.append(reader)
        except (OSError, sqlite3.OperationalError) as error:  # busy, full, read-only: what it holds is whole
            raise _unusable() from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # also what SQLite quotes of a damaged schema
            with suppress(OSError, sqlite3.Error):
                set_aside(self.path, identity)
            raise _unusable() from error

    @contextmanager
    def _transaction(self, seconds: float = WAIT_SECONDS) -> Iterator[sqlite3.Connection]:
        until = time.monotonic() + seconds
        if not self._writing.acquire(timeout=seconds):
            raise _unusable()
        try:
            with self._connected() as reader:
                reader.connection.execute(f"PRAGMA busy_timeout={max(int((until - time.monotonic()) * 1000), 1)}")
                reader.connection.execute("BEGIN IMMEDIATE")
                yield reader.connection
                reader.connection.execute("COMMIT")
        finally:
            self._writing.release()


def _unusable() -> Unavailable:
    return Unavailable(ErrorCode.FILE_UNREADABLE, "the stored OCSP answers")


def _octets(serial: str) -> bytes:
    """Return a serial number as the content of its INTEGER."""
    number = int(serial, 16)
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _numbers(connection: sqlite3.Connection, labels: set[str], prefix: bytes | None = None) -> dict[str, int]:
    """Return issuers' numbers; one with another key than before has a new number, and nothing signed."""
    found = {}
    for label in labels:
        connection.execute("INSERT INTO issuers (label, prefix) VALUES (?, x'') ON CONFLICT DO NOTHING", (label,))
        number, known = connection.execute("SELECT id, prefix FROM issuers WHERE label=?", (label,)).fetchone()
        if prefix is not None and known != prefix:
            connection.execute("DELETE FROM issuers WHERE id=?", (number,))
            added = connection.execute("INSERT INTO issuers (label, prefix) VALUES (?, ?)", (label, prefix))
            connection.execute(f"{_SET_EMPTY}, issuer=? WHERE issuer=?", (added.lastrowid, number))
            number = added.lastrowid
        found[label] = int(number)
    return found


def _delegate_number(connection: sqlite3.Connection, delegate: Certificate) -> int:
    connection.execute(
        "INSERT INTO delegates (serial, der) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (serial_hex(delegate.serial), delegate.der),
    )
    number, ended = connection.execute("SELECT id, ended FROM delegates WHERE der=?", (delegate.der,)).fetchone()
    if ended:
        raise Unavailable(ErrorCode.UNAVAILABLE, "the OCSP responder's certificate is good no longer")
    return int(number)


def _row(answer: SignedAnswer, issuer: int, delegate: int) -> tuple[Any, ...]:
    serial = _octets(answer.serial_hex)
    told = (delegate, answer.this_update, answer.next_update, answer.signed)
    return (serial, issuer, answer.version, *told, _checksum(serial, *told))


def _checksum(serial: bytes, delegate: int, this_update: int, next_update: int, signed: bytes) -> int:
    """Tell octets that changed on the disk from those that were written: an answer is never told past its end."""
    return crc32(signed, crc32(b"%b %d %d %d" % (serial, delegate, this_update, next_update)))


def _go_to(connection: sqlite3.Connection, place: Place) -> None:
    connection.execute(
        "INSERT INTO facts VALUES ('place', ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value", (str(place),)
    )
