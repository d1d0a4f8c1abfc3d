"""What a worker is asked, and what it answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique

from pki.jose import json_object
from signer.validation.verdict import FileVerdict, Indication


@unique
class Form(StrEnum):
    """How a verdict is written."""

    JSON = "json"
    TEXT = "text"


@unique
class ReportKind(StrEnum):
    """What a report for keeping is written as."""

    HTML = "html"
    JSON = "json"
    PDF = "pdf"
    XML = "xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One file to judge. `name` is shown as the file's; `content` and `at` replace the context's where given."""

    data: bytes = field(repr=False)
    name: str
    form: Form = Form.JSON
    report: ReportKind | None = None
    content: bytes | None = field(default=None, repr=False)
    at: datetime | None = None

    def parts(self) -> tuple[bytes, ...]:
        """Write the order for the line."""
        head = {
            "name": self.name,
            "form": self.form,
            "report": self.report,
            "content": self.content is not None,
            "at": None if self.at is None else self.at.isoformat(),
        }
        return json.dumps(head).encode("ascii"), self.content or b"", self.data

    @staticmethod
    def of(parts: tuple[bytes, ...]) -> "Order":
        """Read an order from the line."""
        head_octets, content, data = parts
        head = json_object(head_octets)
        return Order(
            data=data,
            name=head["name"],
            form=Form(head["form"]),
            report=None if head["report"] is None else ReportKind(head["report"]),
            content=content if head["content"] else None,
            at=None if head["at"] is None else datetime.fromisoformat(head["at"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verdict as it is written: `text` in the form that was asked for, `report` where it was asked for, UTF-8.

    `spent`: who gave it has little memory left and is to be ended.
    """

    indication: Indication
    text: bytes
    report: bytes = b""
    spent: bool = False

    def parts(self) -> tuple[bytes, ...]:
        """Write the answer for the line."""
        return self.indication.encode(), self.text, self.report, b"spent" if self.spent else b""

    @staticmethod
    def of(parts: tuple[bytes, ...]) -> "Answer":
        """Read an answer from the line; ValueError for one that no worker of ours gives."""
        indication, text, report, spent = parts
        return Answer(indication=Indication(indication.decode("ascii")), text=text, report=report, spent=bool(spent))


Render = Callable[[FileVerdict, Order], Answer]
