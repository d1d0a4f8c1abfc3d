"""Lists for programs and for spreadsheets: a JSON object a line, or CSV."""

import csv
import io
from collections.abc import Iterable
from enum import StrEnum, unique
from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@unique
class LineFormat(StrEnum):
    """How lines are written."""

    NDJSON = "ndjson"
    CSV = "csv"

    @property
    def media_type(self) -> str:
        """The Content-Type."""
        return "application/x-ndjson" if self is LineFormat.NDJSON else "text/csv; charset=utf-8; header=present"


def csv_line(values: Iterable[object]) -> bytes:
    """Write a line (RFC 4180: CRLF, all quoted, quotes doubled) that no spreadsheet takes a formula from.

    An apostrophe goes before what could begin one. None is empty, a truth value `true` or `false`.
    """
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow([_cell(value) for value in values])
    return line.getvalue().encode()


def _cell(value: object) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
