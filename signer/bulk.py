"""Many files: found in folders, their verdicts kept in a file from which a run goes on, and as a table.

A results file is JSON Lines: the run it belongs to, then a verdict a line as `mohr verify --json` prints it. A run
that was broken off goes on behind the last whole line; a file whose octets are no longer those is judged again.
"""

import csv
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from pki.errors import Conflict, ErrorCode, InvalidInput
from pki.jose import json_object
from signer.files import is_same_file
from signer.validation.verdict import Indication

MAX_FILES: Final = 1_000_000
_HEAD: Final = b'{"run"'
_MAX_HEAD: Final = 1 << 16
_COLUMNS: Final = ("file", "sha256", "format", "indication", "sub_indication", "signatures", "signer", "signed_at")
_TOLD: Final = frozenset({"format", "sub_indication", "signatures"})
_TABLE_HEAD: Final = ("\ufeff" + ",".join(_COLUMNS)).encode()
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # also in full width


def files_under(paths: Iterable[Path], but: Iterable[Path] = ()) -> list[Path]:
    """Return files as named, and of folders every regular file below, sorted; links are not followed into folders.

    What cannot be read is returned too, to be told. `but` are files that are written: in a folder they are left out,
    named themselves they are refused. InvalidInput for that, and for more than `MAX_FILES`.
    """
    written = list(but)
    found: list[Path] = []
    for path in paths:
        if _is_folder(path):
            found += sorted(one for one in _inside(path) if not any(is_same_file(one, other) for other in written))
        elif any(is_same_file(path, other) for other in written):
            raise InvalidInput(ErrorCode.FILE_UNWRITABLE, f"{path.name} is to be read")
        else:
            found.append(path)
        if len(found) > MAX_FILES:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"more than {MAX_FILES} files")
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False


def _inside(folder: Path) -> Iterator[Path]:
    closed: list[Path] = []
    for top, _, names in os.walk(folder, onerror=lambda error: closed.append(Path(str(error.filename)))):
        for name in names:
            path = Path(top) / name
            try:
                if path.is_file() or (path.is_symlink() and not path.exists()):
                    yield path
            except OSError:
                yield path
    yield from closed


def spelled(path: Path) -> str:
    """Write a file's name, whatever its octets are, so that no two names become one."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Results:
    """An open results file, and what it held already: verdicts by file and digest."""

    def __init__(self, file: BinaryIO, run: Mapping[str, Any]) -> None:
        self._file = file
        self.run: Mapping[str, Any] = run
        self.known: dict[tuple[str, str], Indication] = {}
        self._names: set[str] = set()

    @staticmethod
    def open(path: Path, run: Mapping[str, Any]) -> "Results":
        """Begin a results file, or go on with one; Conflict for one of another run, InvalidInput for no such file.

        A run is what was asked but when: the validation time of the first sitting is that of all.
        """
        try:
            file = path.open("a+b")
        except OSError as error:
            raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name) from error
        try:
            return Results._read(file, run, path.name)
        except BaseException:
            file.close()
            raise

    @staticmethod
    def _read(file: BinaryIO, run: Mapping[str, Any], name: str) -> "Results":
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a device may be read without an end
            raise InvalidInput(ErrorCode.FILE_UNWRITABLE, f"{name} is no regular file")
        file.seek(0)
        first = file.readline(_MAX_HEAD)
        if not first.endswith(b"\n"):  # new, or not even its first line was written
            if first[: len(_HEAD)] != _HEAD[: len(first)]:
                raise Conflict(ErrorCode.CONFLICT, f"{name} holds something else")
            file.truncate(0)
            results = Results(file, run)
            results._write(json.dumps({"run": run}).encode())
            return results
        said = json_object(first).get("run")
        if not isinstance(said, dict) or {**said, "at": None} != {**run, "at": None}:
            raise Conflict(ErrorCode.CONFLICT, f"{name} holds the results of another run")
        results = Results(file, said)
        end = file.tell()
        for line in file:
            if not line.endswith(b"\n"):  # a crash left it in the middle: its file is judged again
                break
            end += len(line)
            results._take(json_object(line), name)
        file.truncate(end)
        return results

    def _take(self, verdict: dict[str, Any], name: str) -> None:
        file, digest = verdict.get("file"), verdict.get("sha256")
        try:
            indication = Indication(verdict["indication"])
        except (KeyError, ValueError):
            indication = None
        if indication is None or not (isinstance(file, str) and isinstance(digest, str)) or not verdict.keys() >= _TOLD:
            raise Conflict(ErrorCode.CONFLICT, f"{name} holds a line that is no verdict")
        self.known[file, digest] = indication
        self._names.add(file)

    def add(self, line: bytes) -> None:
        """Keep one verdict."""
        self._write(line)

    def names(self, file: str) -> bool:
        """Whether a file was judged before, whatever its octets were."""
        return file in self._names

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """Yield what the file holds now, one after the other: of each file judged the last verdict, sorted."""
        self._file.seek(0)
        at = len(self._file.readline())
        places: dict[str, int] = {}  # a million verdicts are too many to keep
        for line in self._file:
            places[json_object(line)["file"]] = at
            at += len(line)
        for _, at in sorted(places.items()):
            self._file.seek(at)
            yield json_object(self._file.readline())

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
            self._file.flush()
        except OSError as error:
            raise InvalidInput(ErrorCode.FILE_UNWRITABLE, error.strerror or "") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def check_table(path: Path) -> None:
    """Refuse a place for a table that holds something else (`file-unwritable`): it may be what is to be read."""
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            held = file.read(len(_TABLE_HEAD))
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, path.name) from error
    if held and held != _TABLE_HEAD:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, f"{path.name} holds something else")


def table(verdicts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Write verdicts as lines of CSV (RFC 4180), a file a line; no cell is a formula to a spreadsheet.

    With the mark that spreadsheets need to read Persian as UTF-8; text stands in quotes, since some take semicolons to
    part cells.
    """
    yield "\ufeff" + ",".join(_COLUMNS) + "\r\n"
    for verdict in verdicts:
        signatures: Sequence[Mapping[str, Any]] = verdict["signatures"]
        first: Mapping[str, Any] = signatures[0] if signatures else {}
        signer = first.get("signer") or {}
        yield _row(
            (
                verdict["file"],
                verdict.get("sha256"),
                verdict["format"],
                verdict["indication"],
                verdict["sub_indication"],
                len(signatures),
                signer.get("subject"),
                first.get("best_signature_time"),
            )
        )


def _row(cells: Iterable[object]) -> str:
    line = StringIO()
    csv.writer(line, quoting=csv.QUOTE_NONNUMERIC).writerow([_cell(cell) for cell in cells])
    return line.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
