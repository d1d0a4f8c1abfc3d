"""The lines a signer is shown, and what to warn of in any tree of text."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Final

from persiantools.jdatetime import JalaliDate, JalaliDateTime

from signer.elements import Element
from signer.findings import Finding, FindingCode
from signer.visible import mark_hidden, mixes_digits

# Iran keeps UTC+03:30 all year since 2022; earlier summers were an hour ahead.
_TEHRAN: Final = timezone(timedelta(hours=3, minutes=30), "Tehran")
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/=_\s-]{2000,}")
_SHORTENED_TO: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One line of what is signed. `value` holds people's data: it is not in the repr and is never logged.

    `detail` lines are the remaining elements by their path, so that nothing is hidden.
    """

    label_fa: str
    label_en: str
    value: str = field(repr=False)
    detail: bool = False


class Lines:
    """Collects fields; an empty value leaves no line."""

    def __init__(self) -> None:
        self._fields: list[Field] = []
        self._fa = self._en = ""

    def section(self, fa: str = "", en: str = "") -> None:
        """Put a prefix before the labels that follow."""
        self._fa, self._en = (f"{fa}، " if fa else ""), (f"{en}, " if en else "")

    def add(self, fa: str, en: str, *values: str) -> None:
        """Add one line for each value."""
        for value in values:
            if value:
                self._fields.append(Field(label_fa=self._fa + fa, label_en=self._en + en, value=value))

    def fields(self) -> tuple[Field, ...]:
        """Return the lines so far."""
        return tuple(self._fields)


def moment(text: str) -> str:
    """Return a FHIR date or instant as written, with its Jalali date (and the time in Tehran) behind it."""
    jalali = _jalali(text)
    return f"{text} ({jalali})" if jalali else text


def _jalali(text: str) -> str:
    try:
        if len(text) == 10:
            day = JalaliDate(date.fromisoformat(text))  # type: ignore[no-untyped-call]  # untyped upstream
            return str(day.strftime("%Y/%m/%d"))
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            return ""
        local = instant.astimezone(_TEHRAN).replace(tzinfo=None)
        jalali = JalaliDateTime(local)  # type: ignore[no-untyped-call]  # untyped upstream
        return f"{jalali.strftime('%Y/%m/%d %H:%M')} Tehran"
    except (ValueError, OverflowError):
        return ""  # a partial or impossible date is shown as it is written


def detail_fields(root: Element) -> tuple[Field, ...]:
    """Return a line for every leaf that was not shown yet, by its path; encoded blobs are shortened."""
    return tuple(
        Field(label_fa=leaf.path, label_en=leaf.path, value=_leaf_text(leaf), detail=True)
        for leaf in root.leaves()
        if not leaf.shown
    )


def _leaf_text(leaf: Element) -> str:
    if not leaf.is_value:
        return "null" if leaf.value is None else "{}" if isinstance(leaf.value, dict) else "[]"
    if _is_blob(leaf):
        raw = leaf.peek()
        return f"{raw[:_SHORTENED_TO]}… ({len(raw)} characters, SHA-256 {hashlib.sha256(raw.encode()).hexdigest()})"
    return leaf.text() or '""'


def _is_blob(leaf: Element) -> bool:
    return len(leaf.peek()) >= 2000 and _ENCODED.fullmatch(leaf.peek()) is not None


def text_findings(root: Element) -> Iterator[Finding]:
    """Report hidden characters, mixed digits and shortened values, each with its path."""
    for leaf in root.leaves():
        text = leaf.peek()
        if text and mark_hidden(text)[1]:
            yield Finding(code=FindingCode.HIDDEN_CHARACTERS, where=leaf.path)
        if text and mixes_digits(text):
            yield Finding(code=FindingCode.MIXED_DIGITS, where=leaf.path)
        if _is_blob(leaf) and not leaf.shown:
            yield Finding(code=FindingCode.VALUE_SHORTENED, where=leaf.path)
