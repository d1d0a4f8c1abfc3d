"""What a report for people is made of, whatever it is written as: headings, rows and lines of spans."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique

from signer.validation.verdict import Indication


@unique
class Language(StrEnum):
    """A language that reports are written in."""

    FA = "fa"
    EN = "en"


@unique
class Way(StrEnum):
    """How a span lies in its line: as text of the report, or isolated as a code or as a stranger's words."""

    TEXT = "text"
    CODE = "code"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Span:
    """Text that is written in one way."""

    text: str
    way: Way = Way.TEXT
    strong: bool = False


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1 to 6."""

    level: int
    line: Line


@dataclass(frozen=True, slots=True)
class Banner:
    """A verdict that nobody may overlook."""

    indication: Indication
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    line: Line


@dataclass(frozen=True, slots=True)
class Row:
    """A label, and what is said under it: a line each."""

    label: Line
    values: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """A table of labels and values."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """Detail that a page may fold away under its heading."""

    heading: Heading
    parts: "tuple[Part, ...]"


Part = Heading | Banner | Paragraph | Rows | Fold


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report in one language; its parts are told as they are asked for, once."""

    language: Language
    parts: Iterator[Part]
