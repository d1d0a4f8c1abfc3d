"""What outlived a database, read as one ledger: a followed ledger's files or an export, checkpoint by checkpoint.

Everything comes in blocks: the events and rows before one checkpoint. A block that no checkpoint closes is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.notes import MAX_NOTE_OCTETS
from storage.ledger_entries import ProvableEvent
from storage.ledger_export import CHECKPOINT, EVENTS, event_of_line
from storage.ledger_segments import (
    CHECKPOINT_START,
    ROW_START,
    first_entry,
    read_checkpoint_line,
    segment_files,
)

MAX_LINE: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBlock:
    """Entries from `first` on, the rows beside them (JSON), and the note of the checkpoint that covers them."""

    first: int
    events: list[ProvableEvent] = field(repr=False)
    rows: list[bytes] = field(repr=False)
    checkpoint: str

    @property
    def size(self) -> int:
        """The ledger's size where the block ends."""
        return self.first + len(self.events)


def read_blocks(folder: Path) -> Iterator[LedgerBlock]:
    """Read an export, or the files of a followed ledger, in order.

    InvalidInput (`file-unreadable`) where the folder is neither or cannot be read; VerificationFailed where a line is
    damaged or a file is missing in between.
    """
    try:
        if (folder / EVENTS).is_file():
            yield _read_export(folder)
            return
        files = segment_files(folder)
        if not files:
            raise InvalidInput(ErrorCode.FILE_UNREADABLE, f"{folder.name} holds no ledger")
        expected = first_entry(files[0])
        for path in files:
            if first_entry(path) != expected:
                raise VerificationFailed(ErrorCode.LEDGER_REMOVED, f"{path.name} does not follow entry {expected}")
            for block in _read_segment(path):
                expected = block.size
                yield block
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, f"{folder.name}: {error.strerror}") from error


def _read_export(folder: Path) -> LedgerBlock:
    note = (folder / CHECKPOINT).read_bytes()[: MAX_NOTE_OCTETS + 1].decode("utf-8", "replace")
    with (folder / EVENTS).open("rb") as file:
        events = [_event(line.removesuffix(b"\n"), seq) for seq, line in enumerate(file)]
    return LedgerBlock(first=0, events=events, rows=[], checkpoint=note)


def _read_segment(path: Path) -> Iterator[LedgerBlock]:
    first = first_entry(path)
    events: list[ProvableEvent] = []
    rows: list[bytes] = []
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            if not line.endswith(b"\n"):
                return  # torn off by a crash: nothing closes it
            text = line[:-1]
            if text.startswith(CHECKPOINT_START):
                note, size = read_checkpoint_line(text)
                if size != first + len(events):
                    raise VerificationFailed(ErrorCode.LEDGER_EDITED, f"{path.name}: {size} entries are not here")
                yield LedgerBlock(first=first, events=events, rows=rows, checkpoint=note)
                first, events, rows = size, [], []
            elif text.startswith(ROW_START):
                rows.append(text)
            else:
                events.append(_event(text, first + len(events)))


def _event(line: bytes, seq: int) -> ProvableEvent:
    found = event_of_line(line)
    if found is None:
        raise VerificationFailed(ErrorCode.LEDGER_EDITED, f"entry {seq} cannot be read")
    return found
