"""The custodian's own journal of key uses: appended in memory, durable in groups, kept until it was taken.

`append` chains an entry; a commit makes all that were appended durable with one write and one fdatasync. It has a
beginning and an end, so that its caller need not wait for the disk: what is appended between goes with the next. A
signature leaves the custodian after the commit of its entry, so nothing that was ever given out is missing here:
what a crash tears off at the end was not given out and is cut at the next start, like the zeros reserved there.
Files that were taken (`release`) are deleted whole. A file that was damaged is moved aside, and a new chain begins
behind a gap in the sequence, which every reader sees.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from hsm.custodian.disk_sync import DiskSync
from hsm.custodian.journal_segment import (
    KeyUseCount,
    Standing,
    begin_segment,
    first_sequence,
    read_segment,
    segment_lines,
    segments,
)
from hsm.custodian.refusal_flood import RefusalFlood
from hsm.errors import HsmUnavailable
from pki.journal import DONE, START, KeyUse, journal_line, line_hash

SEGMENT_OCTETS: Final = 1024 * 1024
RESERVE_OCTETS: Final = 256 * 1024  # of zeros behind the end: writing over them is a third faster than growing a file
DAMAGED: Final = "damaged"


class _Written(NamedTuple):
    """What a commit under way makes durable, and where the file ends then."""

    sequence: int
    hash: bytes
    uses: list[KeyUse]
    size: int


class Journal:
    """One custodian's journal in a folder of its own. Used by one thread of one process."""

    def __init__(
        self,
        folder: Path,
        monotonic: Callable[[], float],
        *,
        sync: DiskSync | None = None,
        segment_octets: int = SEGMENT_OCTETS,
    ) -> None:
        """Go on with the journal in `folder`, or begin one; HsmUnavailable when it cannot be written.

        Without `sync` every commit waits for the disk. `incident` says what had to be moved aside, if anything.
        """
        self._folder, self._sync, self._segment_octets = folder, sync, segment_octets
        self._flood = RefusalFlood(monotonic)
        self._lines: list[bytes] = []
        self._uses: list[KeyUse] = []
        self._written: _Written | None = None
        self._file = -1
        self._torn = False
        self.incident = ""
        self._lock = _locked(folder)
        try:
            self._standing = self._start()
        except OSError as error:
            self._close_files()
            raise _unwritable(error) from error
        except HsmUnavailable:
            self._close_files()
            raise
        self._sequence, self._hash = self._standing.sequence, self._standing.hash

    # --- writing ---

    def append(self, use: KeyUse) -> None:
        """Chain one entry in memory. Many refusals alike within a second are told together when it is over."""
        if use.outcome != DONE:
            self._tell_flood()
            told = self._flood.take(use)
            if told is None:
                return
            use = told
        self._chain(use)

    def _chain(self, use: KeyUse) -> None:
        self._sequence += 1
        line = journal_line(self._sequence, self._hash, use)
        self._hash = line_hash(line)
        self._lines.append(line)
        self._uses.append(use)

    def _tell_flood(self) -> None:
        if self._flood.ended:
            for use in self._flood.end():
                self._chain(use)

    @property
    def has_to_tell(self) -> bool:
        """True when refusals were held back for long enough: the next commit tells of them."""
        return self._flood.ended

    def commit(self) -> None:
        """Make everything appended durable; HsmUnavailable: none of it is, and none of it will be."""
        if self.begin_commit():
            self.end_commit()

    def begin_commit(self) -> bool:
        """Begin to make everything appended durable; False when that is done already, or there was nothing.

        After True, `end_commit` comes before anything else but `append` and reading. HsmUnavailable as from `commit`.
        """
        self._tell_flood()
        if not self._lines:
            return False
        data = b"\n".join(self._lines) + b"\n"
        try:
            self._make_room(len(data))
            _write_at(self._file, data, self._size)
            self._written = _Written(self._sequence, self._hash, self._uses, self._size + len(data))
            self._lines, self._uses = [], []
            if self._sync is not None and self._sync.begin(self._file):
                return True
            os.fdatasync(self._file)
        except OSError as error:
            self._fail()
            raise _unwritable(error) from error
        except HsmUnavailable:
            self._fail()
            raise
        self._stand()
        return False

    def end_commit(self) -> None:
        """End the commit that was begun, which waits until `descriptor` can be read.

        HsmUnavailable: none of what was appended before or since is durable, or will be.
        """
        if self._sync is None or self._written is None:
            raise AssertionError("no commit is under way")
        try:
            self._sync.end()
        except OSError as error:
            self._fail()
            raise _unwritable(error) from error
        self._stand()

    @property
    def descriptor(self) -> int | None:
        """What can be read when a commit under way has ended; None where none ever is under way."""
        return None if self._sync is None else self._sync.descriptor

    def _stand(self) -> None:
        if self._written is None:
            return
        written, self._written = self._written, None
        self._size = written.size
        self._standing.advance(written.sequence, written.hash, written.uses)

    def _make_room(self, octets: int) -> None:
        if self._torn:
            self._mend()
        if self._size >= self._segment_octets and self._size > self._header:
            self._begin(self._standing)
        missing = self._size + octets - self._reserved
        if missing > 0:
            self._reserve(missing)

    def _reserve(self, missing: int) -> None:
        """Put zeros behind the end; on a disk that is nearly full, as few as will do."""
        try:
            _write_at(self._file, bytes(missing + RESERVE_OCTETS), self._reserved)
            os.fdatasync(self._file)
            self._reserved += missing + RESERVE_OCTETS
        except OSError as error:
            os.ftruncate(self._file, self._reserved)
            if error.errno != errno.ENOSPC:
                raise
            _write_at(self._file, bytes(missing), self._reserved)
            os.fdatasync(self._file)
            self._reserved += missing

    def _fail(self) -> None:
        self._torn = True
        self._forget()

    def _forget(self) -> None:
        self._lines, self._uses, self._written = [], [], None
        self._sequence, self._hash = self._standing.sequence, self._standing.hash

    def _mend(self) -> None:
        """Cut what a write that failed may have left at the end."""
        os.ftruncate(self._file, self._size)
        os.fdatasync(self._file)
        self._reserved = self._size
        self._torn = False

    def close(self) -> None:
        """Tell what was held back, and let go of the files. What was not committed is forgotten."""
        if self._file >= 0:
            if self._written is not None:
                with suppress(HsmUnavailable):  # what waits for it is not given out
                    self.end_commit()
            self._forget()
            for use in self._flood.end():
                self._chain(use)
            with suppress(HsmUnavailable):  # refusals not told yet: nothing was given out for them
                self.commit()
        self._close_files()

    def _close_files(self) -> None:
        if self._file >= 0:
            self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
        self._file = self._lock = -1

    # --- reading ---

    @property
    def head(self) -> tuple[int, bytes]:
        """The sequence and hash of the last durable entry."""
        return self._standing.sequence, self._standing.hash

    @property
    def last_at(self) -> datetime | None:
        """The latest instant of any durable entry."""
        return self._standing.last_at

    @property
    def uses(self) -> Mapping[str, KeyUseCount]:
        """How often each key was used, over the journal's whole life."""
        return self._standing.uses

    def read(self, after: int, limit: int) -> list[bytes]:
        """Return at most `limit` durable lines that follow entry `after`, from one file: ask again for more.

        The oldest that are kept when `after` was released before. HsmUnavailable.
        """
        files = segments(self._folder)
        following = [*(first_sequence(path) for path in files[1:]), self._standing.sequence + 1]
        for path, next_first in zip(files, following, strict=True):
            if after + 1 < next_first:
                first = first_sequence(path)
                lines = segment_lines(path)[max(0, after + 1 - first) : next_first - first]
                if lines:
                    return lines[:limit]
        return []

    def release(self, through: int) -> None:
        """Delete the files whose entries are all at or before `through`; the newest file always stays."""
        files = segments(self._folder)
        for path, following in pairwise(files):
            if first_sequence(following) - 1 > through:
                break
            path.unlink(missing_ok=True)

    # --- starting ---

    def _start(self) -> Standing:
        behind = 0
        for path in reversed(segments(self._folder)):
            found = read_segment(path)
            if found is not None and not found.damaged and not behind:
                self._open(path, found.end)
                return found.standing
            if found is None or found.damaged:
                behind = max(behind, first_sequence(path) + len(segment_lines(path)))
                self._move_aside(path)
            if found is not None:
                return self._begin(
                    Standing(
                        sequence=behind,
                        hash=START,
                        uses=found.standing.uses,
                        last_at=found.standing.last_at,
                    )
                )
        return self._begin(Standing(sequence=behind, hash=START, uses={}, last_at=None))

    def _move_aside(self, path: Path) -> None:
        aside = self._folder / DAMAGED
        aside.mkdir(mode=0o700, exist_ok=True)
        names = (aside / f"{path.name}.{number}" for number in range(1_000_000))
        path.rename(next(name for name in names if not name.exists()))
        self.incident = f"damaged: {path.name}"

    def _begin(self, standing: Standing) -> Standing:
        path, size = begin_segment(self._folder, standing)
        self._open(path, size)
        return standing

    def _open(self, path: Path, end: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if self._file >= 0:
            self._let_go()
        self._file, self._size, self._reserved = descriptor, end, end
        with path.open("rb") as file:
            self._header = len(file.readline())
        if os.fstat(descriptor).st_size != end:
            os.ftruncate(descriptor, end)
            os.fsync(descriptor)

    def _let_go(self) -> None:
        """Close the file, without what was reserved in it."""
        with suppress(OSError):  # the next start cuts it off
            os.ftruncate(self._file, self._size)
        os.close(self._file)


def _locked(folder: Path) -> int:
    """Hold the folder, made if need be, for one process."""
    descriptor = -1
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise HsmUnavailable("another custodian writes this journal") from error
        raise _unwritable(error) from error
    return descriptor


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _unwritable(error: OSError) -> HsmUnavailable:
    return HsmUnavailable(f"the journal cannot be written: {error.strerror}")
