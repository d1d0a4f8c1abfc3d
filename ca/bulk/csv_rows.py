"""The file of a bulk enrolment as CSV: a header that names the columns, then one registration a row.

Columns are the members of a registration, `profile` and `csr` (see `ca.bulk.format`); an empty cell is an absent
member. Lists stand in one cell: `hosts` apart by spaces, `evidence` as `WHAT:SHA256`, apart by `|`. Rows are counted
behind the header. No message repeats what a cell says: it may be somebody's identifier.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from ca.bulk.format import MAX_OCTETS, MAX_ROW_OCTETS, MAX_ROWS, malformed
from pki.errors import ErrorCode, InvalidInput
from pki.jose import canonical_json

COLUMNS: Final = frozenset(
    {
        *("kind", "key_storage", "evidence", "province", "realm", "profile", "csr"),
        *("national_code", "given_name", "surname", "profession", "council_number"),
        *("siam_id", "name", "centre_kind", "legal_id", "city", "unit"),
        *("organization", "common_name", "hosts", "officer_id"),
    }
)
_MAX_ROW_CHARS: Final = 8 * MAX_ROW_OCTETS  # with the quotes and spaces that are none of it
_SEPARATORS: Final = (",", ";", "\t")  # a spreadsheet's choice follows its language


def split_csv(data: bytes) -> tuple[bytes, ...]:
    """Split a file into rows as JSON, for `parse_row`.

    UTF-8, with or without a byte order mark. InvalidInput (`input-too-large`, `bulk-malformed` with the row's number)
    as `split_rows`; also for a column that is not known or comes twice, and a row of another length than the header.
    """
    if len(data) > MAX_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "a bulk file has at most 128 MiB")
    records = _records(data)
    columns = _columns(next(records, []))
    rows: list[bytes] = []
    for cells in records:
        number = len(rows) + 1
        if number > MAX_ROWS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"a bulk file has at most {MAX_ROWS} rows")
        rows.append(_row(number, columns, cells))
    if not rows:
        raise malformed("no row follows the header")
    return tuple(rows)


class _TooLong(Exception):
    pass


class _Lines:
    """Lines of a text, of which a row may take so many characters."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.taken = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(_MAX_ROW_CHARS)
        self.taken += len(line)
        if self.taken >= _MAX_ROW_CHARS:
            raise _TooLong
        if not line:
            raise StopIteration
        return line


def _records(data: bytes) -> Iterator[list[str]]:
    header = data[:_MAX_ROW_CHARS].partition(b"\n")[0]
    separator = max(_SEPARATORS, key=lambda one: header.count(one.encode()))
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")  # never the whole file as text
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):  # noqa: B007 - told when the next one breaks
            yield cells
            lines.taken = 0
    except _TooLong as error:
        raise malformed(f"row {number} is longer than 32 KiB") from error
    except csv.Error as error:
        raise malformed(f"row {number}: its quotes or a cell's length are wrong") from error
    except UnicodeDecodeError as error:
        raise malformed("the file is not UTF-8; spreadsheets call it CSV UTF-8") from error


def _columns(header: list[str]) -> list[str]:
    columns = [cell.strip() for cell in header]
    for place, column in enumerate(columns, 1):
        if column not in COLUMNS:
            raise malformed(f"column {place} of the header is not known")
        if column in columns[: place - 1]:
            raise malformed(f"column {place} of the header comes twice")
    if not columns:
        raise malformed("there is no header")
    return columns


def _row(number: int, columns: list[str], cells: list[str]) -> bytes:
    members = {
        column: _member(column, cell.strip()) for column, cell in zip(columns, cells, strict=False) if cell.strip()
    }
    if not members:
        raise malformed(f"row {number} is empty")
    if len(cells) != len(columns):
        raise malformed(f"row {number} has {len(cells)} cells, the header {len(columns)}")
    row = canonical_json(members)
    if len(row) > MAX_ROW_OCTETS:
        raise malformed(f"row {number} is longer than 32 KiB")
    return row


def _member(column: str, cell: str) -> Any:
    match column:
        case "hosts":
            return cell.split()
        case "evidence":
            items = [item.rpartition(":") for item in cell.split("|")]
            return [{"what": what.strip(), "sha256": digest.strip()} for what, _, digest in items]
    return cell
