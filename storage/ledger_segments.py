"""The ledger followed on disk: an append-only copy of its entries outside of the database, checkpoint by checkpoint.

    0000000000000000.jsonl    named by its first entry; the next file goes on where it ends

An event has the line that it has in an export (`storage.ledger_export`). Lines that begin with `{"row":` say what the
database held beside the events; a line that begins with `{"checkpoint":` closes what came before it, and is durable
before anything else is written. What stands behind the last of these was torn off by a crash: it is cut, and written
again. Events and rows name people: owner only.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, func, select

from pki.errors import ErrorCode, InvalidInput, Unavailable, VerificationFailed
from pki.jose import canonical_json, json_object
from storage.engine import Database
from storage.ledger_entries import ProvableEvent
from storage.ledger_export import event_line
from storage.ledger_rows import StoredCheckpoint, checkpoint_of, provable, raw_checkpoint, raw_event
from storage.ledger_tables import audit_events, checkpoints

SUFFIX: Final = ".jsonl"
SEGMENT_OCTETS: Final = 64 * 1024 * 1024
MOST_ENTRIES: Final = 20_000  # in one look, unless one checkpoint covers more
CHECKPOINT_START: Final = b'{"checkpoint":'
ROW_START: Final = b'{"row":'

_SLICE: Final = 1000
_DIGITS: Final = 16
_TAIL_OCTETS: Final = 1024 * 1024

Attach = Callable[[Connection, Sequence[ProvableEvent]], Iterable[bytes]]
"""Return the lines (without line feeds) that say what the database holds beside these events."""


def segment_files(folder: Path) -> list[Path]:
    """List the files of a followed ledger, oldest first."""
    found = (path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit() and len(path.stem) == _DIGITS)
    return sorted(found)


def first_entry(path: Path) -> int:
    """Tell from its name which entry a file begins with."""
    return int(path.stem)


def checkpoint_line(note: str, size: int) -> bytes:
    """Write the line that closes what came before it."""
    return canonical_json({"checkpoint": note, "size": size})


def read_checkpoint_line(line: bytes) -> tuple[str, int]:
    """Return the note and the size that a closing line names; InvalidInput."""
    members = json_object(line)
    note, size = members.get("checkpoint"), members.get("size")
    if members.keys() != {"checkpoint", "size"} or not isinstance(note, str) or type(size) is not int or size < 0:
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not the checkpoint of a followed ledger")
    return note, size


class LedgerSegments:
    """Writes what the ledger has and the folder has not; one program at a time does so, others find nothing to do."""

    def __init__(
        self, database: Database, folder: Path, attach: Attach, *, segment_octets: int = SEGMENT_OCTETS
    ) -> None:
        self._database, self._folder, self._attach = database, folder, attach
        self._segment_octets = segment_octets
        self._at: tuple[Path, int, int] | None = None  # the newest file, its sound end, the size that it closes

    def follow(self) -> int:
        """Write the entries under the ledger's last checkpoint that are not in the folder; return its size there.

        Unavailable (`file-unwritable`) where the disk refuses; VerificationFailed (`ledger-truncated`) where the
        folder holds more than the database: nothing is written over it.
        """
        try:
            with self._alone() as free:
                if not free:
                    return 0
                return self._follow()
        except OSError as error:
            self._at = None
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, f"the ledger's folder: {error.strerror}") from error

    def _follow(self) -> int:
        path, end, size = self._at or self._find_end()
        if path.stat().st_size != end:
            os.truncate(path, end)
        with self._database.read() as connection:
            target = _next_checkpoint(connection, size)
            if target is None or target.size == size:
                return size
            if target.size < size:
                detail = f"{size} entries were kept, {target.size} are left"
                raise VerificationFailed(ErrorCode.LEDGER_TRUNCATED, detail)
            if end >= self._segment_octets:
                path, end = self._begin(size), 0
            with path.open("ab") as file:
                self._write(connection, file, size, target.size)
                file.write(checkpoint_line(target.note, target.size) + b"\n")
                file.flush()
                os.fdatasync(file.fileno())
                end = file.tell()
        self._at = path, end, target.size
        return target.size

    def _write(self, connection: Connection, file: BinaryIO, size: int, target: int) -> None:
        for start in range(size, target, _SLICE):
            query = (
                select(*raw_event(connection))
                .where(audit_events.c.seq >= start, audit_events.c.seq < min(start + _SLICE, target))
                .order_by(audit_events.c.seq)
            )
            events = [_sound(fields, start + place) for place, fields in enumerate(connection.execute(query).all())]
            if len(events) != min(_SLICE, target - start):
                raise VerificationFailed(ErrorCode.LEDGER_REMOVED, f"entries after {start} are missing")
            lines = [*map(event_line, events), *self._attach(connection, events)]
            file.write(b"".join(line + b"\n" for line in lines))

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield True
                return
            yield False
        finally:
            os.close(descriptor)

    def _find_end(self) -> tuple[Path, int, int]:
        files = segment_files(self._folder)
        if not files:
            return self._begin(0), 0, 0
        end, size = _sound_end(files[-1])
        return files[-1], end, first_entry(files[-1]) if size is None else size

    def _begin(self, size: int) -> Path:
        path = self._folder / f"{size:0{_DIGITS}}{SUFFIX}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return path


def _next_checkpoint(connection: Connection, size: int) -> StoredCheckpoint | None:
    """Return the checkpoint up to which to write: not too far on where there is much to write, else the last."""
    c = checkpoints.c
    near = select(func.max(c.size)).where(c.size > size, c.size <= size + MOST_ENTRIES)
    wanted = connection.execute(near).scalar()
    if wanted is None:
        wanted = connection.execute(select(func.min(c.size)).where(c.size > size)).scalar()
    if wanted is None:
        wanted = connection.execute(select(func.max(c.size))).scalar()
    if wanted is None:
        return checkpoint_of((0, b"", "")) if size else None
    return checkpoint_of(connection.execute(select(*raw_checkpoint(connection)).where(c.size == wanted)).one())


def _sound(fields: Sequence[Any], seq: int) -> ProvableEvent:
    event = provable(fields)
    if event is None:
        raise VerificationFailed(ErrorCode.LEDGER_EDITED, f"the event of entry {seq} is damaged")
    return event


def _sound_end(path: Path) -> tuple[int, int | None]:
    """Return where the last closing line of a file ends, and the size that it names; 0 and None without one."""
    with path.open("rb") as file:
        limit = file.seek(0, os.SEEK_END)
        taken = 0
        while taken < limit:
            taken = min(limit, max(_TAIL_OCTETS, taken * 4))
            file.seek(limit - taken)
            found = _last_closing(file.read(taken), whole=taken == limit)
            if found is not None:
                return limit - taken + found[0], found[1]
    return 0, None


def _last_closing(tail: bytes, *, whole: bool) -> tuple[int, int] | None:
    end = tail.rfind(b"\n") + 1
    while end > 0:
        start = tail.rfind(b"\n", 0, end - 1) + 1
        if start == 0 and not whole:
            return None
        if tail.startswith(CHECKPOINT_START, start):
            with suppress(InvalidInput):
                return end, read_checkpoint_line(tail[start : end - 1])[1]
        end = start
    return None
