"""Instants as text: RFC 3339 in UTC, whole seconds when written."""

import re
from datetime import UTC, datetime
from typing import Final

from pki.errors import ErrorCode, InvalidInput

_FORM: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def format_instant(instant: datetime) -> str:
    """Write an aware instant as `2026-11-22T09:00:00Z`; fractions of a second are cut off."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 §5.6 date-time with its offset as aware UTC; InvalidInput (`input-malformed`) otherwise."""
    if not _FORM.fullmatch(text):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "an instant is written like 2026-11-22T09:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "there is no such date or time of day") from error
