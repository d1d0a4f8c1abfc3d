"""What a signer is shown, read from the exact bytes that will be signed; nothing is normalised or kept back.

FHIR JSON is shown field by field, other JSON by path, a PDF by its facts (a viewer shows its pages), anything
else by digest and size. What is read here is shown to the signer alone and never logged.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput
from pki.jose import exact_json
from pki.messages import Message
from signer.elements import Element
from signer.fhir import fhir_fields
from signer.fields import Field, Lines, detail_fields, text_findings
from signer.findings import Finding
from signer.formats.signing import check_size

__all__ = ["LEGAL_EFFECT", "Document", "DocumentKind", "Field", "Finding", "read_document"]

MAX_JSON_OCTETS: Final = 10 * 1024 * 1024
MAX_ELEMENTS: Final = 20_000

# The fixed statement shown with every document before it is signed (21 CFR 1311.120(b)(9), F16).
LEGAL_EFFECT: Final = Message(
    "با امضا، این محتوا به نام شما ثبت می‌شود و در حکم امضای دست‌نویس شماست.",
    "By signing you adopt this content as yours; it has the effect of your handwritten signature.",
)


@unique
class DocumentKind(StrEnum):
    """How a document is shown."""

    FHIR = "fhir"
    JSON = "json"
    PDF = "pdf"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document about to be signed: its digest and size, its lines in order, and what to warn of."""

    kind: DocumentKind
    content_type: str
    sha256: bytes
    size: int
    fields: tuple[Field, ...] = field(repr=False)
    warnings: tuple[Finding, ...] = ()


def read_document(data: bytes) -> Document:
    """Read what `data` says; InvalidInput for empty, oversized or ambiguous bytes.

    JSON with duplicate members, half characters or trailing text is refused (`json-malformed`), whatever
    starts like JSON and is none too; so is a broken PDF (`input-malformed`).
    """
    check_size(data)
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"{", b"[")):
        kind, content_type, fields, warnings = _read_json(data)
    elif b"%PDF-" in data[:1024]:
        kind, content_type, fields, warnings = _read_pdf(data)
    else:
        kind, content_type, fields, warnings = DocumentKind.OTHER, "application/octet-stream", (), ()
    return Document(
        kind=kind,
        content_type=content_type,
        sha256=hashlib.sha256(data).digest(),
        size=len(data),
        fields=fields,
        warnings=warnings,
    )


_Reading = tuple[DocumentKind, str, tuple[Field, ...], tuple[Finding, ...]]


def _read_json(data: bytes) -> _Reading:
    if len(data) > MAX_JSON_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "JSON above 10 MiB is not shown, so not signed")
    value: Any = exact_json(data)
    root = Element(value, "", set())
    if sum(1 for _ in root.leaves()) > MAX_ELEMENTS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "too many elements to be shown")
    if root.get("resourceType").peek():
        fields, warnings = fhir_fields(value)
        return DocumentKind.FHIR, "application/fhir+json", fields, warnings
    return DocumentKind.JSON, "application/json", detail_fields(root), tuple(text_findings(root))


def _read_pdf(data: bytes) -> _Reading:
    from signer.formats.pades import inspect_pdf  # pyHanko takes long to import and only PDF needs it

    facts, lines = inspect_pdf(data), Lines()
    lines.add("تعداد صفحه", "Pages", "" if facts.pages is None else str(facts.pages))
    return DocumentKind.PDF, "application/pdf", lines.fields(), facts.findings
