"""The ledger as a folder of files, and its audit without a database.

    events.jsonl    {"salt":"HEX","event":{...}}: the events as they were; may name people, so owner only
    entries.jsonl   the ledger entries: what the leaves hash; names nobody
    leaves.txt      the leaf hashes, hex
    checkpoint      the signed note that covers them all

Line n is entry n in each. Standard library and `pki` only: an auditor runs `verify_export` on a laptop.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pki.errors import Conflict, ErrorCode, InvalidInput
from pki.merkle import leaf_hash
from pki.notes import MAX_NOTE_OCTETS, VerifierKey
from storage.ledger_audit import LedgerAudit, LedgerReport
from storage.ledger_entries import ProvableEvent, entry_of

EVENTS, ENTRIES, LEAVES, CHECKPOINT = "events.jsonl", "entries.jsonl", "leaves.txt", "checkpoint"

_MAX_LINE: Final = 1_048_576
_EVENT_START, _EVENT_MIDDLE, _EVENT_END = b'{"salt":"', b'","event":', b"}"
_SALT_DIGITS: Final = 32


def write_export(folder: Path, events: Iterable[ProvableEvent], checkpoint: str) -> int:
    """Write the files into `folder`, made if missing; return the number of entries.

    Conflict when one of them is there already, InvalidInput (`file-unreadable`) when the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as undo:
            count = _write_files(folder, events, checkpoint, undo)
            undo.pop_all()  # complete: nothing to undo
    except FileExistsError as error:
        raise Conflict(ErrorCode.CONFLICT, "the folder holds an export already") from error
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, "the export cannot be written") from error
    return count


def _write_files(folder: Path, events: Iterable[ProvableEvent], checkpoint: str, undo: ExitStack) -> int:
    count = 0
    with ExitStack() as files:
        opened = []
        for name in (EVENTS, ENTRIES, LEAVES, CHECKPOINT):
            opened.append(files.enter_context(_new_file(folder / name)))
            undo.callback((folder / name).unlink)
        events_file, entries_file, leaves_file, checkpoint_file = opened
        for item in events:
            events_file.write(event_line(item) + b"\n")
            entries_file.write(item.entry + b"\n")
            leaves_file.write(leaf_hash(item.entry).hex().encode() + b"\n")
            count += 1
        checkpoint_file.write(checkpoint.encode())
    return count


def event_line(item: ProvableEvent) -> bytes:
    """Write an event's line, without a line feed."""
    return _EVENT_START + item.salt.hex().encode() + _EVENT_MIDDLE + item.event + _EVENT_END


def event_of_line(line: bytes) -> ProvableEvent | None:
    """Read an event's line; None when it is malformed."""
    salt_end = len(_EVENT_START) + _SALT_DIGITS
    event_start = salt_end + len(_EVENT_MIDDLE)
    framed = line.startswith(_EVENT_START) and line[salt_end:event_start] == _EVENT_MIDDLE
    if not framed or not line.endswith(_EVENT_END):
        return None
    event, salt = line[event_start : -len(_EVENT_END)], _unhex(line[len(_EVENT_START) : salt_end])
    try:
        return ProvableEvent(event=event, salt=salt, entry=entry_of(event, salt))
    except InvalidInput:
        return None


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def verify_export(folder: Path, public_key: Ed25519PublicKey, origin: str, checkpoint: str | None) -> LedgerReport:
    """Audit an export, and against `checkpoint`, a note kept elsewhere, if there is one.

    InvalidInput (`file-unreadable`) when a file is missing; whatever else is wrong is a finding of the report.
    """
    audit = LedgerAudit(log=VerifierKey(name=origin, public_key=public_key), external_checkpoint=checkpoint)
    try:
        with ExitStack() as files:
            opened = {
                name: files.enter_context((folder / name).open("rb")) for name in (EVENTS, ENTRIES, LEAVES, CHECKPOINT)
            }
            note = opened[CHECKPOINT].read(MAX_NOTE_OCTETS + 1)
            covered = audit.expect(note.decode("utf-8", "replace"))
            lines = (_lines(opened[name]) for name in (EVENTS, ENTRIES, LEAVES))
            for seq, (event, entry, leaf) in enumerate(zip_longest(*lines)):
                _take_lines(audit, seq, event, entry, leaf)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, "a file of the export cannot be read") from error
    if covered is not None and covered.size < audit.size:
        audit.report(ErrorCode.LEDGER_EDITED, "entries follow that the checkpoint does not cover", seq=covered.size)
    return audit.conclude()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Read lines without their newline; one that is too long comes in pieces, which no check accepts."""
    while line := file.readline(_MAX_LINE):
        yield line[:-1] if line.endswith(b"\n") else line + b"?"


def _take_lines(audit: LedgerAudit, seq: int, event: bytes | None, entry: bytes | None, leaf: bytes | None) -> None:
    computed = None if event is None else _entry_of_line(event)
    if entry is None or (computed is not None and entry != computed):
        code = ErrorCode.LEDGER_REMOVED if entry is None else ErrorCode.LEDGER_EDITED
        audit.report(code, "the entry's line is not what its event gives", seq=seq)
    audit.entry(
        seq,
        stored=None if leaf is None else _unhex(leaf),
        recomputed=None if computed is None else leaf_hash(computed),
        event_id=None,
    )


def _unhex(text: bytes) -> bytes:
    """Decode lower-case hex; empty when it is anything else."""
    try:
        value = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""
    return value if value.hex().encode() == text else b""


def _entry_of_line(line: bytes) -> bytes:
    """Compute the entry of an event's line; empty when the line is malformed."""
    found = event_of_line(line)
    return b"" if found is None else found.entry
