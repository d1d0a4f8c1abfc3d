"""Writing a verdict as it was asked for: a JSON line or text, and a report."""

import json
import re
from hashlib import sha256
from typing import Final

from signer.isolation.order import Answer, Form, Order, ReportKind
from signer.validation.report import ReportedFile, verdict_json
from signer.validation.report_text import report_text
from signer.validation.verdict import FileVerdict

_STEERING: Final = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What would steer a terminal; in JSON it stands in strings alone, where it can be escaped."""
_STEERING_OCTETS: Final = (b"\x7f", b"\xc2", b"\xe2")
"""What anything of it begins with in UTF-8: most lines have none of these, which is told far sooner."""


def render(verdict: FileVerdict, order: Order) -> Answer:
    """Write the verdict on an order's file; lone surrogates of a file's name or of a stranger's text become `?`."""
    if order.form is Form.TEXT:
        text = report_text(verdict, order.name)
    else:
        line = verdict_json(verdict, order.name) | {"sha256": sha256(order.data).hexdigest()}
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        octets = text.encode("utf-8", "replace")
        if any(first in octets for first in _STEERING_OCTETS):
            text = _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return Answer(indication=verdict.indication, text=text.encode("utf-8", "replace"), report=_report(verdict, order))


def _report(verdict: FileVerdict, order: Order) -> bytes:
    """Write the report that is wanted; what writes it is loaded then, for most verdicts are wanted without one."""
    if order.report is None:
        return b""
    file = ReportedFile(name=order.name.rpartition("/")[2], size=len(order.data), sha256=sha256(order.data).hexdigest())
    match order.report:
        case ReportKind.HTML:
            from signer.validation.report_html import report_html

            return report_html(verdict, file).encode("utf-8", "replace")
        case ReportKind.JSON:
            from signer.validation.report_json import report_json

            return report_json(verdict, file)
        case ReportKind.PDF:
            from signer.validation.report_pdf import report_pdf

            return report_pdf(verdict, file)
        case ReportKind.XML:
            from signer.validation.report_xml import report_xml

            return report_xml(verdict)
